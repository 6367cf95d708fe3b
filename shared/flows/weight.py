"""How much the options of a node weigh as JSON, known before any placeholder is filled: what was never built needs no
memory, and what is too heavy for one message is never sent."""

from collections.abc import Mapping
from typing import Any

from shared.flows.expand import PLACEHOLDER, WrongOption, has_placeholder
from shared.flows.model import Node
from shared.flows.opts import overlay

HEAVIEST_OPTS = 4 * 1024 * 1024
"""Bytes of all that a node sees together (FLOWS N-01)."""
_AROUND = 4


def check_weight(
    run_opts: Mapping[str, Any] | None, event_opts: Mapping[str, Any] | None, node: Node, most: int = HEAVIEST_OPTS
) -> None:
    """Raises WrongOption when the node's effective opts and its own definition would weigh more than `most` bytes.

    An estimate: quotes and escapes are not counted exactly. Takes time in proportion to the unfilled options.
    """
    literal = {key: value for key, value in node.opts.items() if not has_placeholder(value)}
    seen = overlay(run_opts, event_opts, literal)
    weights = {key: _weight(value) for key, value in seen.items()}
    total = sum(weights.values()) + sum(map(len, weights)) + _AROUND * len(weights)
    folded = {key.lower(): weight for key, weight in weights.items()}
    total += sum(_filled(value, folded) for key, value in node.opts.items() if key not in literal)
    if total > most:
        raise WrongOption(f"its options are together {total // 1024} KiB, and {most // 1024} KiB are the most")


def _filled(value: Any, weights: Mapping[str, int]) -> int:
    if isinstance(value, str):
        return _weight(value) + sum(weights.get(key.lower(), 0) for key in PLACEHOLDER.findall(value))
    if isinstance(value, Mapping):
        return sum(_AROUND + len(key) + _filled(inner, weights) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return sum(_AROUND + _filled(inner, weights) for inner in value)
    return _weight(value)


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return _AROUND + (len(value) if value.isascii() else len(value.encode(errors="replace")))
    if isinstance(value, Mapping):
        return sum(_AROUND + _weight(key) + _weight(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return sum(_AROUND + _weight(inner) for inner in value)
    return _AROUND + (value.bit_length() // 3 if isinstance(value, int) else 20)
