"""T-03 and §6 data: forms and what is answered to them."""

from typing import Any

import pytest

from shared.flows.forms import (
    check_values,
    complete_at_start,
    defaults,
    form_of,
    missing,
    prefill,
    read_form,
    trigger_opts,
)
from shared.flows.model import Form, FormField, Node

RAW = {
    "title": "Release",
    "fields": [
        {"id": "version", "prompt": "Which?", "required": True},
        {"id": "count", "type": "number", "value": 2},
        {"id": "good", "type": "bool", "required": True},
        {"id": "where", "type": "select", "options": ["test", "live", 3], "value": "test"},
        {"id": "notes", "type": "multiline"},
    ],
}
FORM, WRONG = read_form(RAW)


def test_t03_a_form_is_read() -> None:
    assert WRONG == []
    assert FORM.title == "Release"
    assert FORM.fields[0] == FormField("version", "Which?", "text", None, (), True)
    assert FORM.fields[3].options == ("test", "live", 3)
    assert form_of(Node("n", "n", "task", "data", opts={"form": RAW})) == FORM
    assert form_of(Node("n", "n", "task", "data")) == Form()


@pytest.mark.parametrize("raw", [5, [], "x", {"fields": 5}, {"fields": [5]}, {"fields": [{"id": []}]}])
def test_t03_a_form_that_is_none_has_no_fields_and_says_why(raw: object) -> None:
    form, wrong = read_form(raw)
    assert wrong or form.fields
    assert form_of(Node("n", "n", "task", "data", opts={"form": raw})) == form


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("version", "1", "1"),
        ("version", "", ""),
        ("count", 5, 5),
        ("count", 2.5, 2.5),
        ("count", "7", 7),
        ("count", "-7.5", -7.5),
        ("good", True, True),
        ("good", "false", False),
        ("good", "True", True),
        ("where", "live", "live"),
        ("where", 3, 3),
        ("where", "3", 3),
        ("notes", "a\nb", "a\nb"),
    ],
)
def test_t03_values_are_taken_in_their_fields_type(field: str, value: Any, expected: Any) -> None:
    clean, errors = check_values(FORM, {field: value})
    assert errors == []
    assert clean == {field: expected}
    assert type(clean[field]) is type(expected)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", 1, "must be text"),
        ("count", "many", "must be a number"),
        ("count", True, "must be a number"),
        ("count", float("inf"), "must be a number"),
        ("count", "nan", "must be a number"),
        ("count", "9" * 5000, "must be a number"),
        ("good", "yes", "must be true or false"),
        ("good", 1, "must be true or false"),
        ("good", "", "must be true or false"),
        ("where", "nowhere", "must be one of test, live, 3"),
        ("where", True, "must be one of test, live, 3"),
        ("versoin", "1", "the form has no such field; did you mean version?"),
        ("zzz", "1", "the form has no such field"),
    ],
)
def test_t03_errors_name_the_field(field: str, value: Any, message: str) -> None:
    assert check_values(FORM, {field: value}) == ({}, [(field, message)])


def test_t03_defaults_fill_in_and_other_opts_pass() -> None:
    opts, errors = trigger_opts(FORM, {"version": "1", "good": "true", "more": [1]})
    assert errors == []
    assert opts == {"more": [1], "version": "1", "good": True, "count": 2, "where": "test"}
    assert trigger_opts(Form(), {"a": 1}) == ({"a": 1}, [])


def test_t03_what_lacks_is_an_error_by_field() -> None:
    _, errors = trigger_opts(FORM, {"good": "maybe"})
    assert errors == [("good", "must be true or false"), ("version", "is required")]


def test_data_missing_required_fields_and_an_empty_text_counts() -> None:
    assert missing(FORM, {}) == ["version", "good"]
    assert missing(FORM, {"version": "", "good": False}) == []


def test_data_an_empty_number_is_no_answer() -> None:
    assert check_values(FORM, {"count": "", "where": None}) == ({}, [])


def test_data_text_opts_of_the_event_prefill() -> None:
    assert prefill(FORM, {"version": "1", "good": "false", "count": "x", "where": 3, "more": "m"}) == {
        "count": 2,
        "where": "test",
        "version": "1",
        "good": False,
    }
    assert defaults(FORM) == {"count": 2, "where": "test"}


def test_data_a_form_asks_unless_everything_required_was_given() -> None:
    assert not complete_at_start(FORM, {"version": "1"})
    assert complete_at_start(FORM, {"version": "1", "good": True})
    assert not complete_at_start(Form(fields=(FormField("a"),)), {"a": "x"})
    sign_off = Form(fields=(FormField("good", type="bool", value=True, required=True),))
    assert not complete_at_start(sign_off, defaults(sign_off))
