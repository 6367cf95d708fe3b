"""FLOWS D-01: a run's ref."""

import pytest

from shared.errors import InvalidInput
from shared.runs.refs import make_ref, number_of, parse_ref


@pytest.mark.parametrize(
    ("ref", "host", "number"), [("h1-42", "h1", 42), ("my-host-2-7", "my-host-2", 7), ("a_b-1", "a_b", 1)]
)
def test_d01_n_is_what_follows_the_last_hyphen(ref: str, host: str, number: int) -> None:
    assert parse_ref(ref) == (host, number)
    assert make_ref(host, number) == ref
    assert number_of(ref) == number


@pytest.mark.parametrize("text", ["", "h1", "h1-", "h1-0", "h1-01", "-1", "H1-1", "h1-1x", "../x-1", "h 1-1", "h1--"])
def test_d01_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a run ref"):
        parse_ref(text)
