"""The live view of a run on a terminal: output scrolls by, the nodes with their states and times stand below it."""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cli.progress import NodeProgress, Progress

_MARKS = {
    "idle": ("·", "dim"),
    "queued": ("○", "dim"),
    "running": ("●", "cyan"),
    "waiting": ("◌", "magenta"),
    "cancelled": ("–", "yellow"),
    "lost": ("✗", "red"),
    "good": ("✓", "green"),
    "bad": ("✗", "red"),
    "error": ("✗", "red"),
}
_MOST_ROWS = 16
_REDRAW_SECONDS = 0.1


class LiveView:
    """A `View` on stderr; output goes above it, or to stdout when that leads elsewhere."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._elsewhere = not sys.stdout.isatty()
        self._drawn_at = 0.0
        self._lines: list[Text] = []

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._draw(everything=True)
        self._live.stop()

    def line(self, node: str, text: str) -> None:
        if self._elsewhere:
            sys.stdout.write(f"[{node}] {text}\n")
        else:
            self._lines.append(Text.assemble((f"[{node}] ", "dim"), text))
        self.tick()

    def raw(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)

    def say(self, text: str) -> None:
        if not text.endswith((" queued", " waits for a host")):
            self._lines.append(Text(text, style="bold" if text.startswith("type: ") else "dim"))
        self.tick()

    def tick(self) -> None:
        if time.monotonic() - self._drawn_at >= _REDRAW_SECONDS:
            self._draw()

    def _draw(self, everything: bool = False) -> None:
        self._drawn_at = time.monotonic()
        if self._elsewhere:
            sys.stdout.flush()
        if self._lines:
            lines, self._lines = self._lines, []
            self._console.print(Text("\n").join(lines), soft_wrap=True)
        self._live.update(self._table(everything), refresh=True)

    def _table(self, everything: bool) -> Table:
        now = time.monotonic()
        table = Table.grid(padding=(0, 2))
        nodes = list(self._progress.nodes.values())
        shown = nodes if everything or len(nodes) <= _MOST_ROWS else _most_telling(nodes)
        for node in shown:
            mark, style = _MARKS.get(node.result or node.status, ("?", ""))
            word = node.result or node.status
            last = node.last_line if node.status == "running" else ""
            table.add_row(
                Text(f"{mark} {node.id}", style=style),
                Text(word, style=style),
                Text(node.elapsed(now), style="dim"),
                Text(last, style="dim", no_wrap=True, overflow="ellipsis"),
            )
        if len(shown) < len(nodes):
            done = sum(1 for node in nodes if node.result)
            table.add_row(Text(f"  {done} of {len(nodes)} nodes done", style="dim"))
        return table


def _most_telling(nodes: list[NodeProgress]) -> list[NodeProgress]:
    """What fails, runs or waits first; in the flow's order."""
    rank = {"bad": 0, "error": 0, "lost": 0, "running": 1, "waiting": 1, "queued": 2}
    chosen = sorted(nodes, key=lambda node: rank.get(node.result or node.status, 3))[:_MOST_ROWS]
    return [node for node in nodes if node in chosen]
