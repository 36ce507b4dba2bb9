import asyncio
import hashlib
import io
import os
import tarfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from cache.errors import Failure
from daemon.builds import Build, BuildRequest, BuildState
from daemon.ecosystems.step import SOURCE_TIME, Step
from daemon.engine.engine import Limits
from daemon.errors import BadOutput, DeadlinePassed, EngineUnavailable, OutputTooLarge
from daemon.pipeline.sandboxes import BuildSandboxes, SandboxSettings
from daemon.pipeline.spool import copied, regular_files, spooled
from daemon.tarball import Member, stream
from tests.fakes.engine import FakeEngine
from tests.fakes.engine import Step as FakeStep


class Reader:
    """A reader that remembers."""

    def __init__(self) -> None:
        self.heard = b""
        self.closed = False

    def feed(self, _stream: object, piece: bytes) -> None:
        self.heard += piece

    def close(self) -> None:
        self.closed = True

    def failure(self, code: int) -> Failure:
        return Failure(f"it ended with {code}")


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    made.add_image("toolchain")
    return made


def sandboxes(engine: FakeEngine, **limits: float) -> BuildSandboxes:
    build = Build(
        id="b7", sequence=7, request=BuildRequest(tree=""), state=BuildState.RUNNING, created_at=time.time(), attempt=2
    )
    settings = SandboxSettings(
        instance="0123456789ab", limits=Limits(**limits), runtime="runsc", removal_pauses=(0.0, 0.0)
    )
    return BuildSandboxes(engine.sandboxes, settings, build)


async def test_a_sandbox_can_be_told_by_its_labels_and_has_the_daemons_limits(engine: FakeEngine):
    async with sandboxes(engine, memory=1 << 30) as mine, mine.sandbox("cook", "toolchain", {"A": "b"}):
        (container,) = engine.containers.values()
        assert container.spec.labels == {
            "bloomery.instance": "0123456789ab",
            "bloomery.build": "b7",
            "bloomery.attempt": "2",
            "bloomery.step": "cook",
        }
        assert container.spec.name == "bloomery-01234567-b7-2-1-cook"
        assert (container.spec.limits.memory, container.spec.runtime) == (1 << 30, "runsc")
        assert container.spec.command == ("/bin/sh", "/bloomery/step")
        assert str(container.spec.network) == "none"
    assert engine.containers == {}


async def test_a_step_is_put_with_its_members_before_it_runs(engine: FakeEngine):
    def script(step: FakeStep) -> int:
        assert step.read("/bloomery/step") == b"#!/bin/sh\ntrue\n"
        assert step.read("/work/x") == b"y"
        assert step.files["/bloomery/step"].mtime == SOURCE_TIME
        step.print("said")
        return 0

    engine.script(script)
    reader = Reader()
    member = Member(path="work/x", mode=0o644, mtime=SOURCE_TIME, content=b"y")
    async with sandboxes(engine) as mine, mine.sandbox("cook", "toolchain", {}) as sandbox:
        seconds = await mine.run(sandbox, Step(script="#!/bin/sh\ntrue\n", members=[member]), reader)

    assert (reader.heard, reader.closed) == (b"said", True)
    assert seconds >= 0


async def test_a_step_that_ends_badly_fails_as_its_reader_says(engine: FakeEngine):
    engine.script(lambda _step: 7)

    async with sandboxes(engine) as mine:
        with pytest.raises(Failure, match="it ended with 7"):
            async with mine.sandbox("cook", "toolchain", {}) as sandbox:
                await mine.run(sandbox, Step(script=""), Reader())
    assert engine.containers == {}


async def test_a_step_that_is_ended_for_its_limits_has_its_last_line_heard(engine: FakeEngine):
    async def hangs(step: FakeStep) -> int:
        step.print("no newline")
        await asyncio.sleep(60)
        return 0

    engine.script(hangs)
    reader = Reader()
    async with sandboxes(engine, deadline=0.05) as mine:
        with pytest.raises(DeadlinePassed):
            async with mine.sandbox("cook", "toolchain", {}) as sandbox:
                await mine.run(sandbox, Step(script=""), reader)

    assert (reader.heard, reader.closed) == (b"no newline", True)


async def test_a_sandbox_is_removed_beside_what_follows_and_the_end_waits_for_it(engine: FakeEngine):
    go_on = asyncio.Event()
    remove = engine.sandboxes.remove

    async def slow(sandbox: str) -> None:
        await go_on.wait()
        await remove(sandbox)

    engine.sandboxes.remove = slow
    async with sandboxes(engine) as mine:
        async with mine.sandbox("cook", "toolchain", {}):
            pass
        assert len(engine.containers) == 1, "what follows does not wait"
        go_on.set()
    assert engine.containers == {}


async def test_an_engine_that_is_away_for_a_moment_is_asked_again_to_remove(engine: FakeEngine):
    engine.fail("sandboxes.remove", EngineUnavailable("restarting"), times=2)

    async with sandboxes(engine) as mine, mine.sandbox("cook", "toolchain", {}):
        pass

    assert engine.containers == {}


async def test_a_removal_that_fails_does_not_fail_the_build(engine: FakeEngine):
    engine.fail("sandboxes.remove", EngineUnavailable("away"), times=9)

    async with sandboxes(engine) as mine, mine.sandbox("cook", "toolchain", {}):
        pass

    assert len(engine.containers) == 1


async def test_a_sandbox_whose_creation_was_not_answered_is_removed_by_its_name(engine: FakeEngine):
    create = engine.sandboxes.create

    async def unanswered(spec: object) -> str:
        await create(spec)
        raise EngineUnavailable("the connection broke")

    engine.sandboxes.create = unanswered

    with pytest.raises(EngineUnavailable):
        async with sandboxes(engine) as mine, mine.sandbox("cook", "toolchain", {}):
            pass
    assert engine.containers == {}


async def test_a_sandbox_that_is_created_while_its_build_is_cancelled_is_removed(engine: FakeEngine):
    create = engine.sandboxes.create
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(spec: object) -> str:
        asked.set()
        await go_on.wait()
        return await create(spec)

    async def build() -> None:
        async with sandboxes(engine) as mine, mine.sandbox("cook", "toolchain", {}):
            pass

    engine.sandboxes.create = slow
    running = asyncio.create_task(build())
    await asked.wait()
    running.cancel()
    await asyncio.sleep(0)
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert engine.containers == {}


async def test_what_is_taken_is_counted_on_its_way_and_gone_afterwards(tmp_path: Path):
    member = Member(path="out/app", mode=0o755, mtime=0, content=b"x" * 5000)
    async with spooled(stream([member]), tmp_path, 1 << 20, setting="binary") as archive:
        assert [(name, size) for name, size, _ in regular_files(archive)] == [("out/app", 5000)]
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a test may wait for a directory

    with pytest.raises(OutputTooLarge, match=r"raise \[limits\] binary"):
        async with spooled(stream([member]), tmp_path, 4096, setting="binary"):
            pass
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a test may wait for a directory


async def test_what_comes_in_small_pieces_is_whole_in_the_file(tmp_path: Path):
    content = os.urandom(3 << 20)
    member = Member(path="out/app", mode=0o755, mtime=0, content=content)

    async def small() -> AsyncGenerator[bytes, None]:
        async for piece in stream([member]):
            for start in range(0, len(piece), 40_000):
                yield piece[start : start + 40_000]

    async with spooled(small(), tmp_path, 4 << 20, setting="binary") as archive:
        assert [(name, taken.read()) for name, _, taken in regular_files(archive)] == [("out/app", content)]


def test_only_regular_files_are_looked_at(tmp_path: Path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (
            ("d", tarfile.DIRTYPE),
            ("l", tarfile.SYMTYPE),
            ("p", tarfile.FIFOTYPE),
            ("f", tarfile.REGTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type = kind
            tar.addfile(entry)

    assert [name for name, _, _ in regular_files(path)] == ["f"]


def test_a_sparse_file_is_refused(tmp_path: Path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        entry = tarfile.TarInfo("app")
        entry.type = tarfile.GNUTYPE_SPARSE
        tar.addfile(entry)

    with pytest.raises(BadOutput, match="sparse"):
        list(regular_files(path))


def test_a_copy_is_named_by_what_was_copied(tmp_path: Path):
    content = b"x" * 1_000_000

    digest = copied(io.BytesIO(content), tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == content
    assert str(digest) == f"sha256:{hashlib.sha256(content).hexdigest()}"
