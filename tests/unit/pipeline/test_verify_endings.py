"""The proof of reuse, beside builds and cut short: what runs meanwhile, and what is left however it ends."""

import asyncio
from typing import Any

import pytest

from cache.digest import Digest
from cache.errors import Blame, Failure
from cache.reuse import Rung
from daemon.builds import Reuse, Verified
from daemon.errors import EngineUnavailable, GroundRevoked
from daemon.verification import verifier
from tests.fakes.cargo import purpose_of
from tests.fakes.engine import Exit, Step
from tests.fakes.rust_projects import SIMPLE
from tests.fakes.workshop import Workshop
from tests.unit.pipeline.test_endings import Points, failing_at
from tests.unit.pipeline.test_verify import EDITED, TWICE, of_workspace, told, verified, wrong

# --- what runs meanwhile


async def test_what_stands_on_something_while_it_is_revoked_begins_again_and_leaves_nothing(yard: Workshop):
    await wrong(yard)
    compiling, go_on = asyncio.Event(), asyncio.Event()

    async def watched(step: Step) -> int | Exit:
        if purpose_of(step) == "compile" and "-verify-" not in step.spec.name:
            compiling.set()
            await go_on.wait()
        return await yard.cargo(step)

    yard.engine.script(watched)
    running = asyncio.create_task(yard.build(TWICE))
    await compiling.wait()
    await yard.verify()
    assert (await told(yard)).result is Verified.DIFFERENT
    go_on.set()

    with pytest.raises(GroundRevoked) as revoked:
        await running

    assert revoked.value.blame is Blame.INFRASTRUCTURE, "it is not tried again"
    await yard.harvest()
    assert await yard.store.workspaces() == ()
    assert await yard.layers() == set()
    assert (await yard.build(TWICE)).reuse.rung is Rung.UNITS
    await yard.maintenance.hold()  # what the engine did not remove while a build stood on it
    await yard.assert_nothing_is_left()


async def test_a_build_of_nothing_has_its_answer_meanwhile_and_its_cook_becomes_no_layer(yard: Workshop):
    await wrong(yard)
    cooking, go_on = asyncio.Event(), asyncio.Event()

    async def watched(step: Step) -> int | Exit:
        if purpose_of(step) == "cook" and "-verify-" not in step.spec.name:
            cooking.set()
            await go_on.wait()
        return await yard.cargo(step)

    yard.engine.script(watched)
    running = asyncio.create_task(yard.build(TWICE, reuse=Reuse.NOTHING))
    await cooking.wait()
    await yard.verify()
    go_on.set()

    await running

    await yard.harvest()
    assert await yard.layers() == set()
    await yard.assert_nothing_is_left()


async def test_a_build_that_begins_in_the_middle_of_a_revocation_leaves_nothing_and_one_after_it_does(yard: Workshop):
    attempts: Any = yard.attempts
    elsewhere = asyncio.create_task(yard.build(TWICE, scope="elsewhere", lineage="begun"))
    while not yard.engine.containers:  # noqa: ASYNC110 - a dictionary sets no event
        await asyncio.sleep(0)
    with attempts.revoking("default"):
        await yard.build()
        await yard.build(scope="elsewhere")
        await elsewhere
    await yard.harvest()
    assert [row.scope for row in await yard.store.workspaces()] == ["elsewhere"] * 2
    await yard.build()
    assert len(await yard.store.workspaces()) == 3
    await yard.assert_nothing_is_left()


# --- what ends it early


async def test_sources_that_are_gone_by_then_drop_it(yard: Workshop):
    await of_workspace(yard)
    yard.store.blobs.path(Digest.of(str(EDITED["src/main.rs"]).encode())).unlink()

    await yard.verify()

    assert (await told(yard)).result is Verified.DROPPED
    assert verified(yard, Verified.DROPPED) == 1
    await yard.assert_nothing_is_left()


async def test_its_sources_stay_until_it_is_done(yard: Workshop):
    await of_workspace(yard)
    names = {name.kind for name in yard.uses.in_use()}
    assert names == {"tree", "fetched"}

    await yard.verify()

    assert yard.uses.in_use() == frozenset()


async def test_no_more_than_so_many_wait(yard: Workshop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(verifier, "_MOST", 2)
    yard.compose()
    await yard.build()
    for number in range(3):
        await yard.build({**SIMPLE, "src/main.rs": f"fn main() {{ let _ = {number}; }}\n"}, verify=True)

    assert len(await yard.store.verifications_in(Verified.WAITING)) == 2
    (dropped,) = await yard.store.verifications_in(Verified.DROPPED)
    assert (dropped.build, verified(yard, Verified.DROPPED)) == ("b4", 1)


async def test_what_an_earlier_daemon_left_is_dropped_at_the_start(yard: Workshop):
    await of_workspace(yard)
    yard.compose()
    starting = asyncio.create_task(yard.verifier.run())
    async with asyncio.timeout(10):
        while not await yard.store.verifications_in(Verified.DROPPED):  # noqa: ASYNC110 - a row sets no event
            await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait({starting})

    found = await told(yard)
    assert (found.result, found.detail) == (Verified.DROPPED, "the daemon ended before")
    assert verified(yard, Verified.DROPPED) == 1


async def test_a_store_that_refuses_costs_the_verification_and_not_the_build(
    yard: Workshop, monkeypatch: pytest.MonkeyPatch
):
    async def full(*_given: object) -> None:
        raise Failure("the disk is full")

    monkeypatch.setattr(yard.store, "record_verification", full)
    await of_workspace(yard)
    assert yard.verifier.behind._waiting.empty()

    monkeypatch.setattr(yard.store, "verifications_in", full)
    starting = asyncio.create_task(yard.verifier.run())
    await asyncio.sleep(0)
    assert not starting.done()
    starting.cancel()
    await asyncio.wait({starting})


async def test_an_engine_that_fails_once_anywhere_leaves_nothing(yard: Workshop):
    await of_workspace(yard)
    yard.engine.calls.clear()
    await yard.verify()
    calls = [method for method, _ in yard.engine.calls]
    assert len(calls) > 10
    ended = set()
    for at, method in enumerate(calls):
        await yard.build(EDITED, verify=True)
        with failing_at(yard, at):
            await yard.verify()
        waiting = await yard.store.verifications_in(Verified.WAITING)
        ended |= {Verified.FAILED} if verified(yard, Verified.FAILED) else set()
        assert not waiting, f"after {method}"
        await yard.build(EDITED, verify=True)
        await yard.verify()  # an image that stayed goes with the next
        await yard.assert_nothing_is_left()
    assert ended == {Verified.FAILED}
    assert verified(yard, Verified.DIFFERENT) + verified(yard, Verified.UNSTABLE) == 0


async def test_one_that_is_cut_off_anywhere_leaves_nothing(yard: Workshop):
    await of_workspace(yard)
    case = yard.verifier.behind._waiting.get_nowait()
    counting = Points()
    yard.compose(counting)
    clean = case.work.args[0]
    await yard.verifier.verify(clean)
    assert counting.count > 20
    for at in range(1, counting.count + 1):
        points = Points(at)
        yard.compose(points)
        working = asyncio.create_task(yard.verifier.verify(clean))
        points.act = working.cancel
        await asyncio.wait({working})
        yard.compose()
        await yard.assert_nothing_is_left()
    assert (await yard.build(EDITED)).reuse.rung is Rung.RESULT


async def test_a_layer_that_somebody_else_took_away_is_no_failure(yard: Workshop):
    await of_workspace(yard)

    async def pruned(step: Step) -> int | Exit:
        code = await yard.cargo(step)
        if purpose_of(step) == "compile":
            (image,) = [image for image in yard.engine.stored.values() if "bloomery/clean" in "".join(image.tags)]
            yard.engine.stored.pop(image.id, None)
        return code

    yard.engine.script(pruned)
    await yard.verify()

    assert (await told(yard)).result is Verified.FAILED
    yard.engine.script(yard.cargo)
    await yard.assert_nothing_is_left()


async def test_an_engine_that_is_away_fails_it(yard: Workshop):
    await of_workspace(yard)

    async def away(_step: Step) -> int:
        raise EngineUnavailable("The engine is restarting")

    yard.engine.script(away)
    await yard.verify()

    found = await told(yard)
    assert (found.result, found.detail) == (Verified.FAILED, "engine_unavailable: The engine is restarting")
    assert verified(yard, Verified.FAILED) == 1


async def test_a_bug_fails_it_and_is_in_the_log(yard: Workshop, monkeypatch: pytest.MonkeyPatch):
    async def bug(*_given: object) -> None:
        raise KeyError("bug")

    await of_workspace(yard)
    monkeypatch.setattr(yard.verifier._clean, "made", bug)
    await yard.verify()

    assert (await told(yard)).detail == "KeyError in the daemon"


async def test_a_second_clean_build_that_cannot_be_done_revokes_nothing(yard: Workshop):
    outcome = await wrong(yard)
    begun = 0

    async def once(step: Step) -> int | Exit:
        nonlocal begun
        begun += purpose_of(step) == "cook"
        if begun > 1:
            raise EngineUnavailable("The engine is restarting")
        return await yard.cargo(step)

    yard.engine.script(once)
    await yard.verify()
    yard.engine.script(yard.cargo)

    assert (await told(yard)).result is Verified.FAILED
    again = await yard.build(EDITED)
    assert (again.reuse.rung, again.images[0].digest) == (Rung.RESULT, outcome.images[0].digest)
