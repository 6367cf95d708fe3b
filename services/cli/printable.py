"""Text from tasks made fit for a terminal: no control bytes, no escape sequences (RELIABILITY §4, log → terminal)."""

import re

LONGEST_LINE = 64 * 1024

# CSI, then OSC, DCS, SOS, PM, APC up to their terminator, then two-byte escapes; unfinished ones at the end go as well.
_SEQUENCES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text without control bytes (newline and tab stay) and without marks that turn the writing direction."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))


class Lines:
    """Bytes as they come, made into printable lines. A carriage return ends a line as well: progress bars do that."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now; of a line without end, what is more than 64 KiB."""
        text = self._rest + data
        held = text.endswith(b"\r")
        whole = text[:-1] if held else text
        *lines, rest = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = rest + (b"\r" if held else b"")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        return [_text(line) for line in lines]

    def finish(self) -> list[str]:
        """What is left when nothing more will come."""
        rest, self._rest = self._rest.rstrip(b"\r"), b""
        return [_text(rest)] if rest else []


def _text(line: bytes) -> str:
    return printable(line.decode("utf-8", "replace"))
