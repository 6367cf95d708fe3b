"""An api at work: the embedded store, the in-process bus, a tiny hub, and a client with the token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from services.api.config import ApiConfig
from services.api.docs import describe
from services.api.service import ApiService
from shared.bus.memory import MemoryBus
from shared.flows.model import Flow
from shared.flows.parse import parse_flow
from shared.runs.refs import RunRef
from shared.store.sqlite import SqliteStore
from tests.services.api.contract_check import ContractCheck
from tests.services.api.tiny_hub import TinyHub

TOKEN = "an-admin-token-for-tests"
CONFIG = ApiConfig(TOKEN, port=0, poll_seconds=0.2, keep_alive_seconds=0.5, log_grace_seconds=0.4, stop_seconds=1.0)


@dataclass(frozen=True, slots=True)
class House:
    """What a test works with. `client` speaks with the token, below the prefix, and holds every answer but an event
    stream against the contract."""

    bus: MemoryBus
    store: SqliteStore
    hub: TinyHub
    api: ApiService
    client: httpx.AsyncClient
    contract: ContractCheck

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
    contract = ContractCheck(describe(api.app))

    async def check(answer: httpx.Response) -> None:
        if answer.headers.get("content-type", "").partition(";")[0] != "text/event-stream":
            await answer.aread()
            contract.check(answer)

    headers, hooks = {"Authorization": f"Bearer {TOKEN}"}, {"response": [check]}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=10, event_hooks=hooks) as client:
        yield House(bus, store, hub, api, client, contract)
    await api.stop()
    await hub.stop()
    await bus.close()
    await store.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A running api with the flows below."""
    async with open_house(tmp_path / "store") as opened:
        for name, text in FLOWS.items():
            await opened.store.put_flow(read_flow(name, text), source="api")
        yield opened


BUILD = """
name: Build
triggers: [{type: data, id: start}]
tasks:
  - {id: compile, type: exec, opts: {cmd: "true"}, listen: trigger.good}
  - {id: done, type: end, listen: task.compile.good}
"""
_FIELDS = "[{id: who, required: true}, {id: n, type: number, value: 3}, {id: size, type: select, options: [s, m]}]"
CHAT = f"""
triggers: [{{type: data, id: start, opts: {{form: {{title: Who, fields: {_FIELDS}}}}}}}]
tasks: [{{id: done, type: end, listen: trigger.good}}]
"""
FORM = f"""
triggers: [{{type: data, id: start}}]
tasks:
  - {{id: sign, type: data, listen: trigger.good, opts: {{form: {{title: Who, fields: {_FIELDS}}}}}}}
  - {{id: done, type: end, listen: task.sign.good}}
"""
TIMED = """
triggers: [{type: timer, id: every, opts: {period: 3600}}]
tasks: [{id: done, type: end, listen: trigger.good}]
"""
PAIR = """
triggers: [{type: data, id: start}, {type: data, id: again}, {type: timer, id: nightly, opts: {period: 86400}}]
tasks:
  - {id: a, type: exec, opts: {cmd: "true"}, listen: trigger.good}
  - {id: b, type: exec, opts: {cmd: "true"}, listen: trigger.good}
  - {id: both, type: all, class: merge, wait: [task.a.good, task.b.good]}
  - {id: done, type: end, listen: merge.both.good}
"""
FLOWS = {"build": BUILD, "chat": CHAT, "form": FORM, "timed": TIMED, "pair": PAIR}


def read_flow(name: str, text: str) -> Flow:
    """One of the flows above."""
    document = parse_flow(text, default_id=name)
    assert document.flows
    assert not document.problems
    return document.flows[0]
