"""What a hub keeps in memory of definitions: programs by snapshot, and the armed flows of one generation."""

from collections.abc import Sequence

from services.hub.adopt import chained_flows
from shared.flows.model import Flow, definition_hash
from shared.remembered import Remembered
from shared.runs.program import GraphProgram
from shared.store.port import HubStore, StoredFlow

CACHED_PROGRAMS = 500


class Knowledge:
    """A cache that can be thrown away at any time: snapshots never change, flows carry a generation."""

    def __init__(self, store: HubStore, task_timeout_seconds: float) -> None:
        self._store = store
        self._task_timeout = task_timeout_seconds
        self._programs: Remembered[str, GraphProgram] = Remembered(CACHED_PROGRAMS)
        self._generation = -1
        self._flows: dict[str, StoredFlow] = {}
        self._hashes: dict[str, str] = {}
        self.chained: frozenset[str] = frozenset()

    async def program(self, definition: str) -> GraphProgram:
        """The program of a snapshot. Raises NotFound."""
        found = self._programs.get(definition)
        if found is None:
            found = self.learn(definition, await self._store.definition(definition))
        return found

    def learn(self, definition: str, flow: Flow) -> GraphProgram:
        """Keep a program whose snapshot is at hand."""
        found = self._programs.get(definition)
        if found is None:
            found = GraphProgram(flow, self._task_timeout or None)
            self._programs.put(definition, found)
        return found

    async def refresh(self, generation: int) -> None:
        """Read the flows again if they changed since."""
        if generation == self._generation:
            return
        self._generation, flows = await self._store.latest_flows()
        self._flows = {stored.flow.id: stored for stored in flows}
        self._hashes = {stored.flow.id: definition_hash(stored.flow) for stored in flows}
        self.chained = chained_flows(flows)

    def flows(self) -> Sequence[StoredFlow]:
        """The latest version of every armed flow, in order of id."""
        return list(self._flows.values())

    async def named(self, flow: str, ver: int | None) -> Sequence[StoredFlow]:
        """The flow of that name: its latest version, or the one asked for. Empty when there is none."""
        latest = self._flows.get(flow)
        if ver is None or (latest is not None and latest.flow.ver == ver):
            return [latest] if latest is not None else []
        stored = await self._store.flow_version(flow, ver)
        return [stored] if stored is not None else []

    async def pends(self, flow: str, trigger: str) -> bool:
        """Whether a run of that trigger still waits for a host (FLOWS T-04)."""
        return await self._store.pending_of_trigger(flow, trigger)

    def hash_of(self, flow: Flow) -> str:
        """The snapshot's name; known by heart for the latest versions."""
        latest = self._flows.get(flow.id)
        if latest is not None and latest.flow is flow:
            return self._hashes[flow.id]
        return definition_hash(flow)
