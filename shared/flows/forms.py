"""Forms: what is asked of a person, and whether an answer fits (FLOWS T-03, §6 data)."""

import math
from collections.abc import Mapping
from typing import Any, cast, get_args

from shared.errors import FloeError
from shared.flows.expand import text_of
from shared.flows.model import FieldType, Form, FormField, Node
from shared.flows.problems import nearest

FIELD_TYPES: tuple[str, ...] = get_args(FieldType)
_WORDS = {"true": True, "false": False}

FieldErrors = list[tuple[str, str]]


class Unfit(FloeError):
    """A value that does not fit its field, with what is wrong."""


def form_of(node: Node) -> Form:
    """The node's form as far as it makes sense; an empty one where it has none. Never raises: `read_form` says why."""
    return read_form(node.opts.get("form"))[0]


def read_form(raw: Any) -> tuple[Form, list[str]]:
    """A form from JSON values, and what is wrong with it in words; fields that cannot be used are left out."""
    if raw is None:
        return Form(), []
    if not isinstance(raw, Mapping):
        return Form(), ["a form is a mapping with `title` and `fields`"]
    wrong = [_unknown("the form", key, ("title", "fields")) for key in raw if key not in ("title", "fields")]
    fields: dict[str, FormField] = {}
    given = raw.get("fields") or []
    if not isinstance(given, list | tuple):
        return Form(text_of(raw.get("title") or "")), [*wrong, "a form's `fields` is a list"]
    for at, item in enumerate(given, 1):
        field = _read_field(item, at, wrong)
        if field and field.id in fields:
            wrong.append(f"the form has two fields `{field.id}`")
        elif field:
            fields[field.id] = field
    return Form(text_of(raw.get("title") or ""), tuple(fields.values())), wrong


_FIELD_KEYS = ("id", "prompt", "type", "value", "options", "required")


def _read_field(raw: Any, at: int, wrong: list[str]) -> FormField | None:
    if not isinstance(raw, Mapping) or raw.get("id") in (None, ""):
        wrong.append(f"field {at} of the form has no `id`")
        return None
    field_id = text_of(raw["id"])
    wrong.extend(_unknown(f"the form's field `{field_id}`", key, _FIELD_KEYS) for key in raw if key not in _FIELD_KEYS)
    field_type = _field_type(field_id, raw.get("type") or "text", wrong)
    options = raw.get("options") or []
    if not isinstance(options, list | tuple):
        wrong.append(f"the form's field `{field_id}`: `options` is a list")
        options = []
    if field_type == "select" and not options:
        wrong.append(f"the form's field `{field_id}` is a select without `options`")
    prompt, required = text_of(raw.get("prompt") or ""), raw.get("required") is True
    field = FormField(field_id, prompt, field_type, raw.get("value"), tuple(options), required)
    if field.value is not None:
        try:
            _fit(field, field.value)
        except Unfit as error:
            wrong.append(f"the form's field `{field_id}`: its default {error}")
    return field


def _field_type(field_id: str, given: Any, wrong: list[str]) -> FieldType:
    if given in FIELD_TYPES:
        return cast(FieldType, given)
    wrong.append(_unknown(f"the form's field `{field_id}`", text_of(given), FIELD_TYPES, "type"))
    return "text"


def _unknown(where: str, word: str, known: tuple[str, ...], what: str = "key") -> str:
    near = nearest(text_of(word), known)
    return f"{where} has an unknown {what} `{word}`" + (f"; did you mean `{near}`?" if near else "")


def defaults(form: Form) -> dict[str, Any]:
    """The fields' own values, for those that have one."""
    return {field.id: field.value for field in form.fields if field.value is not None}


def missing(form: Form, values: Mapping[str, Any]) -> list[str]:
    """The required fields without a value; an empty text is a value (FLOWS §6 data)."""
    return [field.id for field in form.fields if field.required and values.get(field.id) is None]


def complete_at_start(form: Form, values: Mapping[str, Any]) -> bool:
    """Whether a data task need not ask anybody: it has required fields, and all were given, not by default alone."""
    required = [field for field in form.fields if field.required]
    given = (values.get(field.id) is not None and values[field.id] != field.value for field in required)
    return bool(required) and all(given)


def check_values(form: Form, values: Mapping[str, Any]) -> tuple[dict[str, Any], FieldErrors]:
    """What was submitted, in its fields' types, and what does not fit as `(field, message)`.

    Looks at the given values only: `missing` says what lacks. A field that the form does not have is an error.
    """
    fields = {field.id: field for field in form.fields}
    clean: dict[str, Any] = {}
    errors: FieldErrors = []
    for key, value in values.items():
        field = fields.get(key)
        if field is None:
            near = nearest(key, fields)
            errors.append((key, "the form has no such field" + (f"; did you mean {near}?" if near else "")))
        else:
            _take(field, value, clean, errors)
    return clean, errors


def _take(field: FormField, value: Any, clean: dict[str, Any], errors: FieldErrors) -> None:
    try:
        fitting = _fit(field, value)
    except Unfit as error:
        errors.append((field.id, str(error)))
        return
    if fitting is not None:
        clean[field.id] = fitting


def trigger_opts(form: Form, opts: Mapping[str, Any]) -> tuple[dict[str, Any], FieldErrors]:
    """The opts of a data trigger with a form: defaults filled in, fields checked, other opts untouched (FLOWS T-03)."""
    ids = {field.id for field in form.fields}
    values, errors = check_values(form, {key: value for key, value in opts.items() if key in ids})
    values = {**defaults(form), **values}
    wrong = {key for key, _ in errors}
    errors.extend((key, "is required") for key in missing(form, values) if key not in wrong)
    return {**{key: value for key, value in opts.items() if key not in ids}, **values}, errors


def prefill(form: Form, opts: Mapping[str, Any]) -> dict[str, Any]:
    """A data task's values before anybody was asked: defaults, then text options that fit their fields (§6 data)."""
    ids = {field.id for field in form.fields}
    given, _ = check_values(form, {key: opts[key] for key in opts if key in ids and isinstance(opts[key], str)})
    return {**defaults(form), **given}


def _fit(field: FormField, value: Any) -> Any:
    """The value in the field's type; None where nothing was given. Raises Unfit."""
    if value is None or (value == "" and field.type in ("number", "bool", "select") and not field.required):
        return None
    match field.type:
        case "number":
            return _number(value)
        case "bool":
            return _bool(value)
        case "select":
            return _choice(field, value)
        case _:
            if not isinstance(value, str):
                raise Unfit("must be text")
            return value


def _number(value: Any) -> int | float:
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
        except ValueError:
            raise Unfit("must be a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unfit("must be a number")
    return value


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise Unfit("must be true or false")
    return value


def _choice(field: FormField, value: Any) -> Any:
    for option in field.options:
        if text_of(option) == text_of(value):
            return option
    raise Unfit("must be one of " + ", ".join(text_of(option) for option in field.options))
