"""F-01: ids and names."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.flows.names import ID, BadName, id_and_name, is_id


@pytest.mark.parametrize(
    ("given_id", "given_name", "expected"),
    [
        ("a-b", "", ("a-b", "a b")),
        ("", "a b.2", ("a-b-2", "a b.2")),
        ("a-b--", "", ("a-b", "a b")),
        ("--a-b..", "", ("a-b", "a b")),
        ("Build", "", ("build", "build")),
        ("", " My Flow. ", ("my-flow", "My Flow")),
        ("x", "Größe!", ("x", "Größe!")),
        ("", "a/b+c", ("a-b-c", "a/b+c")),
        ("1_a", "", ("1_a", "1_a")),
        ("a" * 64, "n", ("a" * 64, "n")),
    ],
)
def test_f01_the_table(given_id: str, given_name: str, expected: tuple[str, str]) -> None:
    assert id_and_name(given_id, given_name) == expected


@pytest.mark.parametrize(
    ("given_id", "given_name", "message"),
    [
        ("", "", "has neither an id nor a name"),
        (" .-", "--", "has neither an id nor a name"),
        ("a.b", "", "the id `a.b` holds a dot"),
        ("a b", "", "the id `a b` holds a space"),
        ("../x", "", "the id `../x` cannot be used"),
        ("a/b", "name", "the id `a/b` cannot be used"),
        ("_a", "", "the id `_a` cannot be used"),
        ("a" * 65, "", "has 65 characters; 64 are the most"),
        ("", "é", "the id `-` that its name makes cannot be used"),
    ],
)
def test_f01_what_is_fatal(given_id: str, given_name: str, message: str) -> None:
    with pytest.raises(BadName, match=re.escape(message)):
        id_and_name(given_id, given_name)


def test_f01_a_refused_id_comes_with_one_that_can_be_used() -> None:
    with pytest.raises(BadName) as caught:
        id_and_name("My Flow.v2", "")
    assert caught.value.hint == "my-flow-v2"
    assert is_id("my-flow-v2")


@given(st.text(), st.text())
def test_f01_an_id_is_a_directory_name_and_stays_what_it_is(given_id: str, given_name: str) -> None:
    try:
        flow_id, name = id_and_name(given_id, given_name)
    except BadName:
        return
    assert ID.fullmatch(flow_id)
    assert not set(flow_id) & set("/. \0")
    assert id_and_name(flow_id, name)[0] == flow_id.strip(" .-")
