"""Pruning deletes what is too old with all that belongs to it, and nothing else."""

from datetime import timedelta

import pytest

from shared.errors import NotFound
from shared.runs.refs import RunRef
from shared.store.port import LogChunk, RunDetail, Store
from tests.store.make import a_flow, a_trigger, adopt, an_activation, end, step

pytestmark = pytest.mark.anyio


async def old_run(store: Store, **how: object) -> RunRef:
    """A run that ended forty days ago."""
    (run,) = await adopt(store, flow=a_flow(cmd="old"))
    ref = run.facts.ref
    now, _ = await store.agents()
    await step(store, ref, an_activation(1))
    await store.append_output([LogChunk(ref, 1, 0, b"abc")])
    await end(store, ref, ended_at=now - timedelta(days=40), **how)
    return ref


async def test_old_runs_go_with_all_that_is_theirs(store: Store) -> None:
    gone = await old_run(store)
    (kept,) = await adopt(store)
    await end(store, kept.facts.ref)
    definition = (await run_of(store, gone)).definition
    assert await store.prune(30, 0, 10) > 5
    assert await store.prune(30, 0, 10) == 0
    assert await store.run(gone) is None
    assert await store.events(gone, 0, 10) == []
    assert await store.activations(gone, "t0") == []
    assert await store.output(gone, 1, 0, 10) == b""
    with pytest.raises(NotFound):
        await store.definition(definition)
    assert (await run_of(store, kept.facts.ref)).row.phase == "archive"
    assert await store.definition(kept.facts.definition) == a_flow()


async def run_of(store: Store, ref: RunRef) -> RunDetail:
    detail = await store.run(ref)
    assert detail is not None
    return detail


async def test_what_lives_or_has_processes_is_kept(store: Store) -> None:
    out = await old_run(store, out=1)
    young = await old_run(store)
    assert await store.prune(0, 0, 10) == 0
    assert await store.prune(50, 0, 10) == 0
    assert await store.prune(30, 0, 10) > 0
    assert await store.run(young) is None
    assert await store.run(out) is not None


async def test_runs_go_in_batches(store: Store) -> None:
    for _ in range(3):
        await old_run(store)
    batches = []
    while (gone := await store.prune(30, 0, 1)) > 0:
        batches.append(gone)
    assert len(batches) == 3


async def test_old_triggers_go_but_not_those_in_the_inbox(store: Store) -> None:
    now, _ = await store.agents()
    old = now - timedelta(days=40)
    await store.put_inbox(a_trigger("waits", state="inbox", received_at=old))
    async with store.transaction() as transaction:
        settled = [a_trigger("old", received_at=old), a_trigger("new", received_at=now)]
        await transaction.save(settled, [], {})
    assert await store.prune(0, 30, 10) == 1
    assert await store.prune(0, 30, 10) == 0
    assert [await store.trigger(each) is None for each in ("old", "new", "waits")] == [True, False, False]
