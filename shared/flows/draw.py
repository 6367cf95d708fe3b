"""A flow's graph as text, Mermaid, SVG or JSON: for `floe graph`, the api and pages, escaped for each."""

from html import escape
from typing import Any

from shared.flows.graph import edges, levels
from shared.flows.model import TRIGGER_GOOD, Flow, Node
from shared.flows.shape import tags_of

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 180, 44, 70, 22, 16
_SHAPES = {"trigger": ("([", "])"), "task": ("[", "]"), "merge": ("{{", "}}")}


def as_json(flow: Flow) -> dict[str, Any]:
    """`{levels: [[id]], edges: [{from, to, tag}]}`, the graph as the api has it."""
    return {
        "levels": [list(level) for level in levels(flow)],
        "edges": [{"from": start, "to": to, "tag": tag} for start, to, tag in edges(flow)],
    }


def as_text(flow: Flow) -> str:
    """The levels line by line, each node with what it is and what it waits for."""
    lines = [f"{flow.ref}  {flow.name}".rstrip()]
    for at, level in enumerate(levels(flow)):
        lines.append(f"level {at}")
        lines.extend("  " + _line(flow, node_id) for node_id in level)
    return "\n".join(lines) + "\n"


def _line(flow: Flow, node_id: str) -> str:
    node = flow.node(node_id)
    if node is None:
        return node_id
    waits = ", ".join(tags_of(node))
    return f"{node_id}  ({node.cls} {node.type})" + (f"  <- {waits}" if waits else "")


def as_mermaid(flow: Flow) -> str:
    """A Mermaid flowchart; edges carry what of the tag is not the emitter's id."""
    names = {node_id: f"n{at}" for at, node_id in enumerate(_all(flow))}
    lines = ["flowchart LR"]
    for node_id, name in names.items():
        node = flow.node(node_id)
        opening, closing = _SHAPES[node.cls if node else "task"]
        lines.append(f'  {name}{opening}"{_mermaid(_label(node, node_id))}"{closing}')
    for start, to, tag in edges(flow):
        lines.append(f'  {names[start]} -->|"{_mermaid(_short(tag))}"| {names[to]}')
    return "\n".join(lines) + "\n"


def _all(flow: Flow) -> list[str]:
    return [node_id for level in levels(flow) for node_id in level]


def _label(node: Node | None, node_id: str) -> str:
    return f"{node_id} · {node.type}" if node else node_id


def _short(tag: str) -> str:
    return "good" if tag == TRIGGER_GOOD else tag.rpartition(".")[2]


def _mermaid(text: str) -> str:
    """Mermaid's own entities: every character that is not plain becomes its number."""
    return "".join(c if c.isalnum() or c in " -_·" else f"#{ord(c)};" for c in text)


def as_svg(flow: Flow) -> str:
    """A drawing, levels from left to right; it stands alone, takes its colours from the page, and runs no script."""
    places: dict[str, tuple[int, int]] = {}
    columns = levels(flow)
    for column, level in enumerate(columns):
        for row, node_id in enumerate(level):
            places[node_id] = (MARGIN + column * (BOX_WIDTH + GAP_X), MARGIN + row * (BOX_HEIGHT + GAP_Y))
    width = 2 * MARGIN + max(1, len(columns)) * (BOX_WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + max(1, *(len(level) for level in columns), 1) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="13" fill="none" stroke="currentColor">',
        f"<title>{escape(f'{flow.ref} {flow.name}')}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>',
        *(_svg_edge(places[start], places[to], tag) for start, to, tag in edges(flow)),
        *(_svg_node(flow.node(node_id), node_id, place) for node_id, place in places.items()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _svg_node(node: Node | None, node_id: str, place: tuple[int, int]) -> str:
    x, y = place
    cls, kind = (node.cls, node.type) if node else ("task", "")
    radius = {"trigger": BOX_HEIGHT // 2, "merge": 0}.get(cls, 6)
    shown = node_id if len(node_id) <= 22 else node_id[:21] + "…"
    return (
        f'<g class="node {cls}" data-node="{escape(node_id)}"><title>{escape(f"{node_id} ({cls} {kind})")}</title>'
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="{radius}"/>'
        f'<text x="{x + BOX_WIDTH // 2}" y="{y + 19}" text-anchor="middle" fill="currentColor" stroke="none">'
        f"{escape(shown)}</text>"
        f'<text x="{x + BOX_WIDTH // 2}" y="{y + 35}" text-anchor="middle" fill="currentColor" stroke="none"'
        f' font-size="10" opacity="0.7">{escape(kind)}</text></g>'
    )


def _svg_edge(start: tuple[int, int], to: tuple[int, int], tag: str) -> str:
    x1, y1 = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT // 2
    x2, y2 = to[0], to[1] + BOX_HEIGHT // 2
    bend = max(GAP_X // 2, abs(x2 - x1) // 3)
    colour = "" if _short(tag) == "good" else ' stroke-dasharray="5 3"'
    return (
        f'<g class="edge" data-tag="{escape(tag)}"><title>{escape(tag)}</title>'
        f'<path d="M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" marker-end="url(#tip)"{colour}/></g>'
    )
