import asyncio
from pathlib import Path

import pytest

from daemon.errors import EngineUnavailable
from daemon.toolchains import labels
from daemon.toolchains.current import CurrentToolchains
from daemon.toolchains.kept import KeptFacts
from tests.fakes.engine import FakeEngine, Step
from tests.fakes.toolchain import PROBE_ANSWER


class Rig:
    """An engine with toolchains in it, a clock that is set, and who asks."""

    def __init__(self, directory: Path, default: str = "") -> None:
        self.engine = FakeEngine()
        self.engine.script(self._probe)
        self.now = 0.0
        self.probed = 0
        self.seen: list[str] = []
        engine = self.engine
        self.current = CurrentToolchains(
            {}, default, survey=engine.survey, images=engine.images, sandboxes=engine.sandboxes,
            facts=KeptFacts(directory), seen=lambda toolchain: self.seen.append(toolchain.name), seconds=30,
            clock=lambda: self.now,
        )  # fmt: skip

    def _probe(self, step: Step) -> int:
        self.probed += 1
        step.print(PROBE_ANSWER)
        return 0

    def make(self, name: str) -> None:
        reference = f"bloomery/toolchain:{name}"
        self.engine.add_image(reference, labels=labels.of(name, reference, ()))

    async def names(self) -> list[str]:
        return [toolchain.name for toolchain in await self.current.offered()]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def test_the_list_is_remembered_for_a_while(rig: Rig):
    rig.make("stable")
    assert await rig.names() == ["stable"]
    rig.make("nightly")
    assert await rig.names() == ["stable"]
    rig.now = 31
    assert await rig.names() == ["nightly", "stable"]


async def test_who_wants_to_know_is_told_of_what_was_asked_of_the_engine_and_not_of_what_is_remembered(rig: Rig):
    rig.make("stable")
    await rig.names()
    await rig.names()
    assert rig.seen == ["stable"]


async def test_a_refresh_sees_what_was_just_made(rig: Rig):
    rig.make("stable")
    await rig.names()
    rig.make("nightly")
    await rig.current.refresh()
    assert await rig.names() == ["nightly", "stable"]


async def test_that_there_is_none_is_not_remembered(rig: Rig):
    assert await rig.names() == []
    rig.make("stable")
    assert await rig.names() == ["stable"]


async def test_a_failure_is_not_remembered(rig: Rig):
    rig.make("stable")
    rig.engine.fail("images", EngineUnavailable("start it"))
    with pytest.raises(EngineUnavailable):
        await rig.names()
    assert await rig.names() == ["stable"]


async def test_who_leaves_does_not_end_the_probe_for_others(rig: Rig):
    rig.make("stable")
    impatient = asyncio.create_task(rig.names())
    await asyncio.sleep(0)
    patient = asyncio.create_task(rig.names())
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == ["stable"]
    assert rig.probed == 1


async def test_closing_ends_a_probe(rig: Rig):
    rig.make("stable")
    waiting = asyncio.create_task(rig.names())
    await asyncio.sleep(0)
    await rig.current.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize(
    ("configured", "made", "default"),
    [("", [], "stable"), ("", ["nightly"], "nightly"), ("", ["nightly", "stable"], "stable"), ("beta", ["a"], "beta")],
)
async def test_what_sources_get_that_pick_none(tmp_path: Path, configured: str, made: list[str], default: str):
    rig = Rig(tmp_path, configured)
    for name in made:
        rig.make(name)
    await rig.names()
    assert rig.current.default == default
