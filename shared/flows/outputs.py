"""What a task wrote to the file named in `FLOE_OUTPUT` (FLOWS N-06)."""

import re

from shared.errors import FloeError

OUTPUT_LIMIT = 64 * 1024

_KEY = re.compile(r"[^\s=<][^=<]{0,255}")


class BadOutputs(FloeError):
    """The file does not have the form `key=value` or `key<<EOF`; the text names the line."""


def parse_outputs(content: bytes) -> dict[str, str]:
    """The outputs by key, of a repeated key the last; an empty file has none.

    A line is `key=value`, the value as it stands up to the line's end, or `key<<WORD`, followed by the value's lines
    and a line that is WORD. Empty lines between them do not count. Raises BadOutputs for anything else, for NUL, for
    what is not UTF-8, and for more than 64 KiB.
    """
    if len(content) > OUTPUT_LIMIT:
        raise BadOutputs(f"FLOE_OUTPUT holds {len(content)} bytes; {OUTPUT_LIMIT} are the most")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise BadOutputs("FLOE_OUTPUT is not UTF-8 text") from None
    if "\0" in text:
        raise BadOutputs("FLOE_OUTPUT holds a NUL byte")
    return _entries(text.split("\n"))


def _entries(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at].removesuffix("\r")
        at += 1
        if not line.strip():
            continue
        key, separator, rest = _split(line)
        if not separator or not _KEY.fullmatch(key):
            raise BadOutputs(f"FLOE_OUTPUT line {at}: neither `key=value` nor `key<<EOF`")
        if separator == "=":
            found[key] = rest
            continue
        end = _end_of_block(lines, at, rest)
        found[key] = "\n".join(lines[at:end])
        at = end + 1
    return found


def _split(line: str) -> tuple[str, str, str]:
    equals, block = line.find("="), line.find("<<")
    if block >= 0 and (equals < 0 or block < equals):
        return line[:block].strip(), "<<", line[block + 2 :].strip()
    key, separator, value = line.partition("=")
    return key.strip(), separator, value


def _end_of_block(lines: list[str], start: int, word: str) -> int:
    if not word:
        raise BadOutputs(f"FLOE_OUTPUT line {start}: `<<` wants a word that ends the block")
    for at in range(start, len(lines)):
        if lines[at].removesuffix("\r") == word:
            return at
    raise BadOutputs(f"FLOE_OUTPUT line {start}: the block has no line `{word[:40]}` at its end")
