"""Each image is tried once, beside the builds, and what was found is kept with its facts."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.behind import Behind
from daemon.ecosystems.rust.canary import LayoutFound
from daemon.errors import EngineUnavailable
from daemon.toolchains import record
from daemon.toolchains.errors import BadToolchain
from daemon.toolchains.git_repository import git_repository
from daemon.toolchains.kept import KeptFacts
from daemon.toolchains.probe import parse
from daemon.toolchains.toolchain import CANARY, Toolchain, ToolchainFacts
from daemon.toolchains.trials import Trials
from daemon.units.layout import Layout
from tests.fakes.toolchain import PROBE_ANSWER

IMAGE = f"sha256:{'1' * 64}"
FACTS = parse(PROBE_ANSWER, IMAGE, "some:image")
STABLE = Toolchain(name="stable", image_reference="some:image", facts=FACTS)


class Rig:
    """A canary that says what it is told to."""

    def __init__(self, directory: Path) -> None:
        self.facts = KeptFacts(directory)
        self.behind = Behind()
        self.trials = Trials(find=self._find, facts=self.facts, behind=self.behind)
        self.says: LayoutFound | Exception = LayoutFound(layout=Layout.V2, against={Layout.V1: "no"})
        self.asked: list[str] = []

    async def _find(self, facts: ToolchainFacts) -> LayoutFound:
        self.asked.append(facts.image_id)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    async def kept(self) -> ToolchainFacts | None:
        written = await self.facts.toolchain_facts(IMAGE)
        return None if written is None else record.read(written, IMAGE)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.behind.run())
        yield
        await self.behind.idle()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "facts")


async def test_what_was_found_is_kept_and_found_once(rig: Rig):
    async with rig.running():
        rig.trials.put(STABLE)
        rig.trials.put(replace(STABLE, name="another name"))

    assert rig.asked == [IMAGE]
    assert await rig.kept() == replace(FACTS, layout="v2", canary=CANARY)


async def test_that_no_layout_holds_is_kept_too(rig: Rig):
    rig.says = LayoutFound(layout=None, against={})
    async with rig.running():
        rig.trials.put(STABLE)

    assert await rig.kept() == replace(FACTS, layout="none", canary=CANARY)


async def test_an_image_that_was_tried_before_is_not_tried_again(rig: Rig):
    async with rig.running():
        rig.trials.put(replace(STABLE, facts=replace(FACTS, canary=CANARY)))

    assert rig.asked == []


async def test_an_older_canary_s_word_is_not_taken(rig: Rig):
    async with rig.running():
        rig.trials.put(replace(STABLE, facts=replace(FACTS, canary=CANARY - 1)))

    assert rig.asked == [IMAGE]


@pytest.mark.parametrize(
    ("failure", "times"),
    [(EngineUnavailable("away"), 2), (BadToolchain("does not work"), 1), (RuntimeError("a mistake"), 1)],
)
async def test_a_trial_that_fails_keeps_nothing_and_is_made_again_only_if_the_engine_was_away(
    rig: Rig, failure: Exception, times: int
):
    rig.says = failure
    async with rig.running():
        rig.trials.put(STABLE)
        await rig.behind.idle()
        rig.trials.put(STABLE)

    assert await rig.kept() is None
    assert rig.asked == [IMAGE] * times


def test_a_repository_that_was_made_here_is_one_to_git(tmp_path: Path):
    files = {"a/b/c.txt": b"deep", "a.txt": b"flat", "a/z": b"", "Cargo.toml": b"[workspace]\n"}
    made = git_repository(files)
    for path, content in made.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    def git(*words: str) -> str:
        command = ["git", "--git-dir", str(tmp_path), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert git("fsck", "--strict", "--no-dangling") == ""
    assert git("rev-parse", "HEAD").strip() == made.revision == git_repository(files).revision
    assert git("ls-tree", "-r", "--name-only", "HEAD").split() == sorted(files)
    assert git("show", "HEAD:a/b/c.txt") == "deep"
