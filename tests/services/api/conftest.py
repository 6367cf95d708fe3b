"""An api at work: the embedded store, the in-process bus, a tiny hub, and a client with the token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from services.api.config import ApiConfig
from services.api.service import ApiService
from shared.bus.memory import MemoryBus
from shared.flows.model import Flow, Form, Node
from shared.runs.refs import RunRef
from shared.store.sqlite import SqliteStore
from tests.services.api.tiny_hub import TinyHub

__all__ = ["Flow", "Form", "Node"]
TOKEN = "an-admin-token-for-tests"
CONFIG = ApiConfig(TOKEN, port=0, poll_seconds=0.2, keep_alive_seconds=0.5, log_grace_seconds=0.4, stop_seconds=1.0)


@dataclass(frozen=True, slots=True)
class House:
    """What a test works with. `client` speaks with the token, below the prefix."""

    bus: MemoryBus
    store: SqliteStore
    hub: TinyHub
    api: ApiService
    client: httpx.AsyncClient

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.api.port}"

    async def started(self, flow: str = "build", **body: object) -> RunRef:
        """Start a run and return its ref, pending."""
        answer = await self.client.post(f"/flows/{flow}/runs?wait=adopted", json=body)
        assert answer.status_code == 200, answer.text
        return RunRef(answer.json()["runs"][0]["ref"])


@asynccontextmanager
async def open_house(directory: Path, config: ApiConfig = CONFIG) -> AsyncIterator[House]:
    bus, store = MemoryBus(), SqliteStore(directory)
    await store.start(migrate=True)
    await bus.start()
    hub, api = TinyHub(bus, store), ApiService(bus, store, config)
    await hub.start()
    await api.start()
    base = f"http://127.0.0.1:{api.port}{config.base_url}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=10) as client:
        yield House(bus, store, hub, api, client)
    await api.stop()
    await hub.stop()
    await bus.close()
    await store.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A running api with the flows of `flows_for_tests`."""
    async with open_house(tmp_path / "store") as opened:
        for flow in flows_for_tests():
            await opened.store.put_flow(flow, source="api")
        yield opened


def flows_for_tests() -> list[Flow]:
    """build: one task; chat: a form; timed: no data trigger; pair: two tasks and a merge."""
    start = Node("start", "start", "trigger", "data")
    question = {"fields": [{"id": "who", "required": True}, {"id": "n", "type": "number", "value": 3}]}
    asked = Node("start", "start", "trigger", "data", opts={"form": question})
    return [
        Flow(
            "build",
            name="Build",
            triggers=(start,),
            tasks=(_exec("compile", "trigger.good"), _end("task.compile.good")),
        ),
        Flow(
            "chat",
            triggers=(asked,),
            tasks=(
                Node("sign", "sign", "task", "data", "trigger.good", opts={"form": question}),
                _end("task.sign.good"),
            ),
        ),
        Flow("timed", triggers=(Node("every", "every", "trigger", "timer", opts={"period": 3600}),), tasks=()),
        Flow(
            "pair",
            triggers=(start, Node("again", "again", "trigger", "data")),
            tasks=(
                _exec("a", "trigger.good"),
                _exec("b", "trigger.good"),
                Node("both", "both", "merge", "all", wait=("task.a.good", "task.b.good")),
                _end("merge.both.good"),
            ),
        ),
    ]


def _exec(name: str, listen: str) -> Node:
    return Node(name, name, "task", "exec", listen, opts={"cmd": "true"})


def _end(listen: str) -> Node:
    return Node("done", "done", "task", "end", listen)
