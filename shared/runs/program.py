"""What the machine asks of a definition. A graph flow is one kind of program; another kind would satisfy the same."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shared.flows.asking import asked_form, asked_period
from shared.flows.forms import complete_at_start, missing, prefill, read_form
from shared.flows.graph import listeners, tags_that_lead_back
from shared.flows.model import Flow, Node
from shared.flows.weight import check_weight


class Program(Protocol):
    """The machine's view of a definition: who reacts to a tag, and what a node is. Never changes during a run."""

    timeout_seconds: float | None
    """How long a run may be active (FLOWS N-08)."""

    def listeners(self, tag: str) -> Sequence[Node]:
        """Every node that listens to or waits for exactly this tag, in file order (FLOWS E-02, N-02)."""

    def node(self, node_id: str) -> Node | None:
        """The node of that id."""

    def leads_back(self, merge: Node, tag: str) -> bool:
        """Whether every way from a trigger to the tag's emitter goes through the merge: the tag says that a doing of
        the merge has come round (FLOWS N-10)."""

    def timeout_of(self, node: Node) -> float | None:
        """How long the node may take, its own word before the setting's default."""

    def check_opts(self, node: Node, run_opts: Mapping[str, Any], event_opts: Mapping[str, Any]) -> None:
        """Raises FloeError when what the node would see is more than can be sent to anyone."""

    def form(self, node: Node, run_opts: Mapping[str, Any], event_opts: Mapping[str, Any]) -> dict[str, Any]:
        """What a data node asks, as JSON values. Raises FloeError when its placeholders cannot be filled (N-07)."""

    def first_values(self, form: Mapping[str, Any], opts: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """A form's values before anyone was asked, and whether they are all that it wants (FLOWS §6 data)."""

    def missing_values(self, form: Mapping[str, Any], values: Mapping[str, Any]) -> Sequence[str]:
        """The required fields of a form that have no value yet."""

    def period(self, node: Node, run_opts: Mapping[str, Any], event_opts: Mapping[str, Any]) -> float:
        """How many seconds a timer node waits. Raises FloeError when that cannot be said."""


class GraphProgram:
    """A flow's graph as a program. Build it once per snapshot: the listeners are looked up, never searched."""

    def __init__(self, flow: Flow, task_timeout_seconds: float | None = None) -> None:
        self.flow = flow
        self.timeout_seconds = flow.timeout_seconds
        self._task_timeout = task_timeout_seconds or None
        by_id = {node.id: node for node in flow.tasks}
        self._nodes = by_id
        self._listeners = {tag: tuple(by_id[i] for i in ids) for tag, ids in listeners(flow).items()}
        self._back: dict[str, frozenset[str]] = {}

    def listeners(self, tag: str) -> Sequence[Node]:
        """See Program."""
        return self._listeners.get(tag, ())

    def node(self, node_id: str) -> Node | None:
        """See Program."""
        return self._nodes.get(node_id)

    def leads_back(self, merge: Node, tag: str) -> bool:
        """See Program. Worked out once per merge, when it is first asked."""
        found = self._back.get(merge.id)
        if found is None:
            found = self._back[merge.id] = tags_that_lead_back(self.flow, merge.id)
        return tag in found

    def timeout_of(self, node: Node) -> float | None:
        """See Program. The setting counts for tasks that have a process; a wait for people has no default end."""
        if node.timeout_seconds is not None:
            return node.timeout_seconds
        return self._task_timeout if needs_host(node) else None

    def check_opts(self, node: Node, run_opts: Mapping[str, Any], event_opts: Mapping[str, Any]) -> None:
        """See Program."""
        check_weight(run_opts, event_opts, node)

    def form(self, node: Node, run_opts: Mapping[str, Any], event_opts: Mapping[str, Any]) -> dict[str, Any]:
        """See Program."""
        return asked_form(node, run_opts, event_opts)

    def first_values(self, form: Mapping[str, Any], opts: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """See Program. Defaults first, then the event's text options."""
        asked, _ = read_form(form)
        values = prefill(asked, opts)
        return values, complete_at_start(asked, values)

    def missing_values(self, form: Mapping[str, Any], values: Mapping[str, Any]) -> Sequence[str]:
        """See Program."""
        return missing(read_form(form)[0], values)

    def period(self, node: Node, run_opts: Mapping[str, Any], event_opts: Mapping[str, Any]) -> float:
        """See Program."""
        return asked_period(node, run_opts, event_opts)


WITHOUT_HOST = frozenset({"data", "timer", "end", "all", "any"})


def needs_host(node: Node) -> bool:
    """Whether the node is done by a process on the run's host."""
    return node.type not in WITHOUT_HOST
