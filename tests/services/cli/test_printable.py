"""What tasks print reaches a terminal as text and nothing else (RELIABILITY §4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.printable import LONGEST_LINE, Lines, printable

PIECES = st.lists(
    st.binary(max_size=12) | st.sampled_from([b"\x1b[", b"\x1b]0;", b"\x07", b"\r", b"\n", b"\x9b"]), max_size=12
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r\x1b\\dcs", "dcs"),
        ("\x9b2Jc1", "c1"),
        ("\x1bcreset", "reset"),
        ("tab\tstays, bell\x07 goes", "tab\tstays, bell goes"),
        ("cut \x1b[3", "cut "),
        ("cut \x1b", "cut "),
        ("naïve – ✓ 漢字", "naïve – ✓ 漢字"),
        ("turned \u202etxet", "turned txet"),
    ],
)
def test_sequences_go_and_text_stays(text: str, left: str) -> None:
    assert printable(text) == left


@given(PIECES)
def test_no_control_character_is_left(pieces: list[bytes]) -> None:
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)] + lines.finish()
    for line in found:
        assert not any((char < " " and char != "\t") or "\x7f" <= char <= "\x9f" for char in line)


@given(PIECES)
def test_lines_do_not_depend_on_how_the_bytes_come(pieces: list[bytes]) -> None:
    one, many = Lines(), Lines()
    whole = one.feed(b"".join(pieces)) + one.finish()
    assert whole == [line for piece in pieces for line in many.feed(piece)] + many.finish()


def test_a_line_without_end_does_not_grow() -> None:
    lines = Lines()
    found = [line for _ in range(100) for line in lines.feed(b"x" * 10_000)]
    assert max(map(len, found)) <= LONGEST_LINE + 10_000
