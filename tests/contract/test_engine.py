"""What every engine must do, run on the fake and on the real one; then what only a real kernel can show."""

import asyncio
import contextlib
import gzip
import hashlib
import io
import itertools
import json
import os
import resource
import tarfile
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web

from daemon.engine.docker import DockerEngine
from daemon.engine.engine import (
    EngineImage,
    Exit,
    Limits,
    Network,
    OutputStream,
    Privilege,
    SandboxSpec,
    SandboxState,
)
from daemon.errors import (
    DeadlinePassed,
    EngineRefused,
    EngineUnavailable,
    ImageGone,
    OutputTooLarge,
    SandboxGone,
)
from daemon.tarball import Member, pieces, stream
from tests.fakes.engine import FakeEngine, Step
from tests.fakes.rootfs import rootfs

SESSION = uuid.uuid4().hex[:8]
IMAGE = f"bloomery-contract/root:{SESSION}"
LABEL = "bloomery.contract"
QUICK = Limits(memory=256 << 20, pids=64, deadline=60, silence=60)


@dataclass(frozen=True)
class Program:
    """The same program twice: for a shell in a real container, and as a script of the fake."""

    shell: str
    script: Callable[[Step], Any]

    @property
    def command(self) -> tuple[str, ...]:
        return ("/bin/sh", "-c", self.shell)


@dataclass
class Output:
    """A sink that keeps what it gets, and tells when something came."""

    stdout: bytes = b""
    stderr: bytes = b""

    def __post_init__(self) -> None:
        self.heard = asyncio.Event()

    def __call__(self, stream: OutputStream, data: bytes) -> None:
        if stream is OutputStream.STDOUT:
            self.stdout += data
        else:
            self.stderr += data
        self.heard.set()


class Rig:
    """An engine with an image that has a shell, and a name for each container."""

    def __init__(self, engine: DockerEngine | FakeEngine) -> None:
        self.engine = engine
        self._numbers = itertools.count()
        self._programs: dict[tuple[str, ...], Program] = {}
        if isinstance(engine, FakeEngine):
            engine.add_image(IMAGE, {"/bin/sh": Member(path="", mode=0o755, mtime=0, content=b"a shell")})
            engine.script(lambda step: self._programs[step.command].script(step))

    def spec(self, program: Program, **more: Any) -> SandboxSpec:
        self._programs[program.command] = program
        more = {"image": IMAGE, "limits": QUICK, **more}
        labels = {LABEL: SESSION, **more.pop("labels", {})}
        name = f"bloomery-contract-{SESSION}-{next(self._numbers)}"
        return SandboxSpec(**{"name": name, "command": program.command, "labels": labels, **more})

    async def create(self, program: Program, **more: Any) -> str:
        return await self.engine.sandboxes.create(self.spec(program, **more))

    async def run(self, program: Program, limits: Limits = QUICK, **more: Any) -> tuple[Exit, Output]:
        sandbox = await self.create(program, limits=limits, **more)
        output = Output()
        return await self.engine.sandboxes.run(sandbox, output, limits), output

    async def state(self, sandbox: str) -> str:
        listed = await self.engine.survey.sandboxes({LABEL: SESSION})
        return next(found.state for found in listed if found.id == sandbox)

    async def tree(self, sandbox: str, path: str) -> dict[str, tarfile.TarInfo]:
        data = b"".join([piece async for piece in self.engine.sandboxes.get(sandbox, path)])
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return {info.name: info for info in archive}

    async def content(self, sandbox: str, path: str) -> bytes:
        data = b"".join([piece async for piece in self.engine.sandboxes.get(sandbox, path)])
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            member = archive.extractfile(archive.next())  # type: ignore[arg-type]
            assert member is not None
            return member.read()

    @contextlib.asynccontextmanager
    async def running(self, limits: Limits = QUICK) -> AsyncIterator[tuple[str, "asyncio.Task[Exit]"]]:
        """A container that runs, has said so, and would for a long time."""
        sandbox, output = await self.create(FOREVER), Output()
        task = asyncio.create_task(self.engine.sandboxes.run(sandbox, output, limits))
        await asyncio.wait({task, asyncio.create_task(output.heard.wait())}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield sandbox, task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def clean(self) -> None:
        for sandbox in await self.engine.survey.sandboxes({LABEL: SESSION}):
            await self.engine.sandboxes.remove(sandbox.id)
        for image in await self.engine.survey.images({LABEL: SESSION}):
            for tag in image.tags or (image.id,):
                await self.engine.images.remove(tag)


async def forever(step: Step) -> int:
    step.print("up\n")
    await asyncio.sleep(3600)
    return 0


NOTHING = Program("exit 0", lambda _step: 0)
FOREVER = Program("echo up; exec sleep 3600", forever)


def dock() -> str | None:
    return os.environ.get("DOCKER_HOST")


@pytest.fixture(scope="session")
def root_image() -> Iterator[None]:
    async def make() -> None:
        async with await DockerEngine.connect(dock()) as engine:
            await engine.images.import_root(stream(rootfs()), IMAGE, ("ENV PATH=/bin", "ENV FROM_IMAGE=yes"))

    async def remove() -> None:
        async with await DockerEngine.connect(dock()) as engine:
            await engine.images.remove(IMAGE)

    asyncio.run(make())
    yield
    asyncio.run(remove())


@pytest.fixture
async def real(root_image: None) -> AsyncIterator[Rig]:
    async with await DockerEngine.connect(dock()) as engine:
        rig = Rig(engine)
        yield rig
        await rig.clean()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.engine)])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "real":
        request.getfixturevalue("root_image")
    return str(request.param)


@pytest.fixture
async def rig(kind: str) -> AsyncIterator[Rig]:
    if kind == "fake":
        yield Rig(FakeEngine())
        return
    async with await DockerEngine.connect(dock()) as engine:
        rig = Rig(engine)
        yield rig
        await rig.clean()


def some(*paths: str, content: bytes = b"some") -> AsyncGenerator[bytes, None]:
    return stream(Member(path=path, mode=0o644, mtime=1_000_000_000, content=content) for path in paths)


# --- running


async def test_a_run_gives_the_exit_code_and_both_streams(rig: Rig):
    def script(step: Step) -> int:
        step.print("out\n")
        step.complain("err\n")
        return 3

    end, output = await rig.run(Program("echo out; echo err >&2; exit 3", script))
    assert (end.code, end.out_of_memory) == (3, False)
    assert (output.stdout, output.stderr) == (b"out\n", b"err\n")
    assert end.seconds < 30


async def test_output_is_passed_on_byte_for_byte(rig: Rig):
    expected = bytes(range(256)) * 2000

    def script(step: Step) -> int:
        step.print(expected)
        return 0

    end, output = await rig.run(Program("exec perl -e 'print pack(q(C*), 0..255) x 2000'", script))
    assert end.code == 0
    assert output.stdout == expected


async def test_a_container_runs_again_with_the_files_it_has(rig: Rig):
    def script(step: Step) -> int:
        seen = "/work/seen" in step.files
        step.write("/work/seen", b"")
        step.print("again\n" if seen else "first\n")
        return 0

    program = Program("if [ -e seen ]; then echo again; else echo first; fi; : > seen", script)
    sandbox, output = await rig.create(program), Output()
    for _ in range(3):
        assert (await rig.engine.sandboxes.run(sandbox, output, QUICK)).code == 0
    assert output.stdout == b"first\nagain\nagain\n"


async def test_a_command_is_not_given_to_the_images_own_entrypoint(rig: Rig):
    archive = some("marker")
    await rig.engine.images.import_root(
        archive, f"{IMAGE}-entry", ('ENTRYPOINT ["/nowhere"]', f"LABEL {LABEL}={SESSION}")
    )
    sandbox = await rig.create(NOTHING, image=f"{IMAGE}-entry")
    assert "marker" in await rig.tree(sandbox, "/marker")


async def test_the_environment_is_the_images_and_the_specs(rig: Rig):
    def script(step: Step) -> int:
        step.print(step.environment["MINE"])
        return 0

    _, output = await rig.run(Program('printf %s "$MINE"', script), environment={"MINE": "a=b c"})
    assert output.stdout == b"a=b c"


@pytest.mark.parametrize("limit", ["deadline", "silence"])
async def test_a_step_that_takes_too_long_is_ended(rig: Rig, limit: str):
    sandbox = await rig.create(FOREVER)
    with pytest.raises(DeadlinePassed) as failure:
        await rig.engine.sandboxes.run(sandbox, Output(), replace(QUICK, **{limit: 2.0}))
    assert failure.value.evidence["limit"] == limit
    assert await rig.state(sandbox) == "exited"


async def test_a_step_that_speaks_in_time_is_not_silent(rig: Rig):
    async def script(step: Step) -> int:
        for _ in range(6):
            await asyncio.sleep(0.5)
            step.print("still here\n")
        return 0

    program = Program("for i in 1 2 3 4 5 6; do sleep 0.5; echo still here; done", script)
    end, _ = await rig.run(program, replace(QUICK, silence=2.0))
    assert end.code == 0


async def test_a_step_that_prints_too_much_is_ended(rig: Rig):
    async def script(step: Step) -> int:
        while True:
            step.print(b"y\n" * 5000)
            await asyncio.sleep(0)

    sandbox = await rig.create(Program("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", script))
    output = Output()
    with pytest.raises(OutputTooLarge):
        await rig.engine.sandboxes.run(sandbox, output, replace(QUICK, output=100_000))
    assert len(output.stdout) <= 100_000
    assert await rig.state(sandbox) == "exited"


async def test_cancelling_a_run_kills_the_container_first(rig: Rig):
    async with rig.running() as (sandbox, task):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await rig.state(sandbox) == "exited"


async def test_a_sink_that_fails_ends_the_run(rig: Rig):
    def sink(stream: OutputStream, data: bytes) -> None:
        raise LookupError(data)

    sandbox = await rig.create(FOREVER)
    with pytest.raises(LookupError):
        await rig.engine.sandboxes.run(sandbox, sink, QUICK)
    assert await rig.state(sandbox) == "exited"


async def test_removal_in_the_middle_of_a_run_is_told(rig: Rig):
    async with rig.running() as (sandbox, task):
        await rig.engine.sandboxes.remove(sandbox)
        with pytest.raises(SandboxGone):
            await task


async def test_a_kill_from_outside_is_told(rig: Rig):
    async with rig.running() as (sandbox, task):
        if isinstance(rig.engine, FakeEngine):
            rig.engine.kill(sandbox)
        else:
            await rig.engine.sandboxes._transport.ask("POST", f"containers/{sandbox}/kill")
        with pytest.raises(SandboxGone):
            await task


async def test_a_step_that_kills_itself_has_only_failed(rig: Rig):
    end, _ = await rig.run(Program("exec perl -e 'kill 9, -1; sleep 9' & wait; exit 137", lambda _step: 137))
    assert (end.code, end.out_of_memory) == (137, False)


async def test_too_much_memory_is_told(rig: Rig):
    hog = Program(
        "perl -e '$x = q(x) x (512 << 20); sleep 1'; exit 1",
        lambda _step: Exit(code=1, out_of_memory=True, seconds=0.1),
    )
    end, _ = await rig.run(hog)
    assert (end.code, end.out_of_memory) == (1, True)


async def test_a_container_that_is_gone_cannot_be_run(rig: Rig):
    sandbox = await rig.create(NOTHING)
    await rig.engine.sandboxes.remove(sandbox)
    with pytest.raises(SandboxGone):
        await rig.engine.sandboxes.run(sandbox, Output(), QUICK)


# --- creating and removing


async def test_an_image_that_is_not_there_is_told(rig: Rig):
    with pytest.raises(ImageGone):
        await rig.create(NOTHING, image="bloomery-contract/never:was")


async def test_a_name_is_given_once(rig: Rig):
    spec = rig.spec(NOTHING)
    await rig.engine.sandboxes.create(spec)
    with pytest.raises(EngineRefused):
        await rig.engine.sandboxes.create(spec)


async def test_removing_twice_is_no_error(rig: Rig):
    sandbox = await rig.create(NOTHING)
    await rig.engine.sandboxes.remove(sandbox)
    await rig.engine.sandboxes.remove(sandbox)
    assert sandbox not in [found.id for found in await rig.engine.survey.sandboxes({LABEL: SESSION})]


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.005])
async def test_a_cancelled_create_leaves_no_container(rig: Rig, delay: float):
    await rig.engine.survey.info()
    spec = rig.spec(NOTHING, labels={"cancelled": SESSION})
    task = asyncio.create_task(rig.engine.sandboxes.create(spec))
    await asyncio.sleep(delay)
    cancelled = task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    left = await rig.engine.survey.sandboxes({"cancelled": SESSION})
    assert left == () or not cancelled


# --- files in and out


async def test_what_is_put_comes_out_as_it_was(rig: Rig):
    members = [
        Member(path="work/d", mode=0o750, mtime=1_000_000_000, uid=10001, gid=10001),
        Member(path="work/d/run", mode=0o755, mtime=1_100_000_000, uid=10001, gid=10001, content=b"content"),
        Member(path="work/d/link", mode=0o777, mtime=1_000_000_000, target="run"),
    ]
    sandbox = await rig.create(NOTHING)
    await rig.engine.sandboxes.put(sandbox, stream(members))
    tree = await rig.tree(sandbox, "/work/d")
    assert sorted(tree) == ["d", "d/link", "d/run"]
    run, link = tree["d/run"], tree["d/link"]
    assert (run.mode & 0o7777, run.mtime, run.uid, run.size) == (0o755, 1_100_000_000, 10001, 7)
    assert (link.issym(), link.linkname) == (True, "run")
    assert tree["d"].mode & 0o7777 == 0o750
    assert await rig.content(sandbox, "/work/d/run") == b"content"


async def test_a_directory_can_be_read_without_its_name(rig: Rig):
    sandbox = await rig.create(NOTHING)
    await rig.engine.sandboxes.put(sandbox, some("work/a/b"))
    assert {"a", "a/b"} <= {name.removeprefix("./") for name in await rig.tree(sandbox, "/work/.")}


async def test_what_a_run_wrote_comes_out(rig: Rig):
    def script(step: Step) -> int:
        step.write("/work/out", b"made")
        return 0

    sandbox = await rig.create(Program("printf made > /work/out", script))
    await rig.engine.sandboxes.run(sandbox, Output(), QUICK)
    assert await rig.content(sandbox, "/work/out") == b"made"


async def test_a_path_that_is_not_there_is_told(rig: Rig):
    sandbox = await rig.create(NOTHING)
    with pytest.raises(FileNotFoundError):
        await rig.content(sandbox, "/work/nothing")


async def test_a_container_that_is_gone_cannot_be_read_or_filled(rig: Rig):
    sandbox = await rig.create(NOTHING)
    await rig.engine.sandboxes.remove(sandbox)
    with pytest.raises(SandboxGone):
        await rig.content(sandbox, "/work")
    with pytest.raises(SandboxGone):
        await rig.engine.sandboxes.put(sandbox, some("f"))
    with pytest.raises(SandboxGone):
        await rig.engine.images.commit(sandbox, f"{IMAGE}-gone", {})


async def test_a_running_container_is_not_touched(rig: Rig):
    async with rig.running() as (sandbox, _task):
        with pytest.raises(EngineRefused):
            await rig.engine.sandboxes.put(sandbox, some("work/f"))
        with pytest.raises(EngineRefused):
            await rig.content(sandbox, "/work")
        with pytest.raises(EngineRefused):
            await rig.engine.sandboxes.run(sandbox, Output(), QUICK)
        with pytest.raises(EngineRefused):
            await rig.engine.images.commit(sandbox, f"{IMAGE}-running", {})


async def test_a_compressed_archive_is_not_sent(rig: Rig):
    async def compressed() -> AsyncGenerator[bytes, None]:
        yield gzip.compress(b"".join(pieces([Member(path="f", mode=0o644, mtime=0, content=b"")])))

    sandbox = await rig.create(NOTHING)
    with pytest.raises(ValueError, match="uncompressed"):
        await rig.engine.sandboxes.put(sandbox, compressed())


async def test_an_archive_that_breaks_off_fails_with_its_own_error(rig: Rig):
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"".join(pieces([Member(path="work/f", mode=0o644, mtime=0, content=b"x" * 100_000)]))[:50_000]
        raise LookupError("the disk is gone")

    sandbox = await rig.create(NOTHING)
    with pytest.raises(LookupError, match="the disk is gone"):
        await rig.engine.sandboxes.put(sandbox, broken())
    await rig.engine.sandboxes.put(sandbox, some("work/f"))
    assert await rig.content(sandbox, "/work/f") == b"some"


@pytest.mark.parametrize("end", ["none such", "broken off by a cancellation", "whole"])
async def test_whatever_becomes_of_an_archive_it_is_closed(rig: Rig, end: str):
    begun, closed = asyncio.Event(), False

    async def watched() -> AsyncGenerator[bytes, None]:
        nonlocal closed
        try:
            begun.set()
            if end == "broken off by a cancellation":
                yield bytes(100)
                await asyncio.sleep(60)
            yield b"".join(pieces([Member(path="work/f", mode=0o644, mtime=0, content=b"f")]))
        finally:
            closed = True

    archive = watched()
    sandbox = "none" if end == "none such" else await rig.create(NOTHING)
    putting = asyncio.create_task(rig.engine.sandboxes.put(sandbox, archive))
    if end == "broken off by a cancellation":
        await begun.wait()
        putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)

    with pytest.raises(StopAsyncIteration):
        await anext(archive)
    assert closed == begun.is_set()


async def test_a_truncated_archive_is_refused(rig: Rig):
    async def short() -> AsyncGenerator[bytes, None]:
        yield b"".join(pieces([Member(path="work/f", mode=0o644, mtime=0, content=b"x" * 100_000)]))[:50_000]

    sandbox = await rig.create(NOTHING)
    with pytest.raises(EngineRefused):
        await rig.engine.sandboxes.put(sandbox, short())


# --- networks

ROUTES = Program(
    'while read -r line; do case "$line" in Iface* | *" lo") ;; *) echo "$line" ;; esac done < /proc/net/route',
    lambda step: step.print("" if step.spec.network is Network.NONE else "eth0\n") or 0,
)


async def routes(rig: Rig, sandbox: str) -> list[str]:
    output = Output()
    assert (await rig.engine.sandboxes.run(sandbox, output, QUICK)).code == 0
    return output.stdout.decode().splitlines()


async def test_a_container_off_its_network_has_no_route_in_any_later_run(rig: Rig):
    sandbox = await rig.create(ROUTES, network=Network.BRIDGE)
    assert await routes(rig, sandbox)
    await rig.engine.sandboxes.isolate(sandbox)
    assert await routes(rig, sandbox) == []
    assert await routes(rig, sandbox) == []
    await rig.engine.sandboxes.isolate(sandbox)
    assert await routes(rig, sandbox) == []


async def test_a_container_on_the_hosts_network_cannot_be_taken_off_it(rig: Rig):
    sandbox = await rig.create(ROUTES, network=Network.HOST)
    with pytest.raises(EngineRefused):
        await rig.engine.sandboxes.isolate(sandbox)


async def test_a_container_is_taken_off_its_network_only_while_it_does_not_run(rig: Rig):
    async with rig.running() as (sandbox, _task):
        with pytest.raises(EngineRefused):
            await rig.engine.sandboxes.isolate(sandbox)
    await rig.engine.sandboxes.remove(sandbox)
    with pytest.raises(SandboxGone):
        await rig.engine.sandboxes.isolate(sandbox)


# --- images


async def test_a_commit_holds_the_files_and_its_own_labels(rig: Rig):
    sandbox = await rig.create(NOTHING, labels={"attempt": "7"}, environment={"A": "1"})
    await rig.engine.sandboxes.put(sandbox, some("work/kept"))
    identity = await rig.engine.images.commit(sandbox, f"{IMAGE}-commit", {LABEL: SESSION, "kind": "layer"})
    image = await rig.engine.images.inspect(f"{IMAGE}-commit")
    assert image is not None
    assert image.id == identity
    assert {name: value for name, value in image.labels.items() if value} == {LABEL: SESSION, "kind": "layer"}
    assert image.environment["A"] == "1"
    second = await rig.create(NOTHING, image=f"{IMAGE}-commit")
    assert await rig.content(second, "/work/kept") == b"some"


async def test_a_cancelled_commit_leaves_no_image(rig: Rig):
    sandbox = await rig.create(NOTHING)
    await rig.engine.sandboxes.put(sandbox, some("work/kept", content=bytes(1 << 20)))
    task = asyncio.create_task(rig.engine.images.commit(sandbox, f"{IMAGE}-cancelled", {}))
    await asyncio.sleep(0.01)
    cancelled = task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert cancelled == (not isinstance(rig.engine, FakeEngine))
    if cancelled:
        assert await rig.engine.images.inspect(f"{IMAGE}-cancelled") is None


async def test_an_unknown_image_is_none(rig: Rig):
    assert await rig.engine.images.inspect("bloomery-contract/never:was") is None
    assert await rig.engine.images.inspect("sha256:" + "0" * 64) is None


async def test_a_name_moves_to_the_image_that_is_given_it(rig: Rig):
    changes = (f"LABEL {LABEL}={SESSION}",)
    first = await rig.engine.images.import_root(some("one"), f"{IMAGE}-one", changes)
    second = await rig.engine.images.import_root(some("two"), f"{IMAGE}-two", changes)
    await rig.engine.images.tag(f"{IMAGE}-two", f"{IMAGE}-one")
    moved = await inspected(rig, f"{IMAGE}-one")
    assert moved.id == second != first
    assert set(moved.tags) == {f"{IMAGE}-one", f"{IMAGE}-two"}


async def test_an_image_that_is_not_there_gets_no_name(rig: Rig):
    with pytest.raises(ImageGone):
        await rig.engine.images.tag("bloomery-contract/never:was", f"{IMAGE}-name")


async def test_an_image_goes_with_its_last_name(rig: Rig):
    identity = await rig.engine.images.import_root(some("one"), f"{IMAGE}-one", (f"LABEL {LABEL}={SESSION}",))
    await rig.engine.images.tag(identity, f"{IMAGE}-two")
    with pytest.raises(EngineRefused):
        await rig.engine.images.remove(identity)
    await rig.engine.images.remove(f"{IMAGE}-one")
    assert (await inspected(rig, identity)).tags == (f"{IMAGE}-two",)
    await rig.engine.images.remove(identity)
    await rig.engine.images.remove(identity)
    assert await rig.engine.images.inspect(identity) is None


async def test_an_image_that_a_container_uses_stays(rig: Rig):
    await rig.engine.images.import_root(some("one"), f"{IMAGE}-used", (f"LABEL {LABEL}={SESSION}",))
    await rig.create(NOTHING, image=f"{IMAGE}-used")
    with pytest.raises(EngineRefused):
        await rig.engine.images.remove(f"{IMAGE}-used")


async def test_an_import_takes_its_configuration_from_the_changes(rig: Rig):
    changes = ("ENV HOME=/work", f'LABEL {LABEL}={SESSION} note="two words"')
    identity = await rig.engine.images.import_root(some("one"), f"{IMAGE}-changed", changes)
    image = await inspected(rig, identity)
    assert image.environment["HOME"] == "/work"
    assert image.labels["note"] == "two words"


def archived(tag: str, content: bytes = b"#!") -> list[Member]:
    """What `docker save` would give of an image with one file."""
    layer = b"".join(pieces([Member(path="app", mode=0o755, mtime=0, content=content)]))
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["A=1"], "Labels": {LABEL: SESSION}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    contents = {"config.json": config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    return [Member(path=path, mode=0o644, mtime=0, content=content) for path, content in contents.items()]


async def test_a_loaded_image_has_the_id_of_its_configuration(rig: Rig):
    members = archived(f"{IMAGE}-loaded")
    await rig.engine.images.load(stream(members))
    image = await inspected(rig, f"{IMAGE}-loaded")
    assert members[0].content is not None
    assert image.id == f"sha256:{hashlib.sha256(members[0].content).hexdigest()}"
    assert (image.environment["A"], image.labels[LABEL]) == ("1", SESSION)


async def test_an_archive_without_an_image_is_refused(rig: Rig):
    with pytest.raises(EngineRefused):
        await rig.engine.images.load(some("README"))


async def test_an_image_with_another_layer_than_it_says_is_refused(rig: Rig):
    members = archived(f"{IMAGE}-wrong")
    members[1] = archived(f"{IMAGE}-wrong", b"other")[1]
    with pytest.raises(EngineRefused):
        await rig.engine.images.load(stream(members))


async def inspected(rig: Rig, reference: str) -> EngineImage:
    image = await rig.engine.images.inspect(reference)
    assert image is not None
    return image


# --- the survey


async def test_containers_and_images_are_found_by_all_their_labels(rig: Rig):
    one = await rig.create(NOTHING, labels={"step": "one"})
    await rig.create(NOTHING, labels={"step": "two"})
    await rig.engine.images.import_root(some("f"), f"{IMAGE}-label", (f"LABEL {LABEL}={SESSION} step=one",))
    labels = {LABEL: SESSION, "step": "one"}
    (sandbox,) = await rig.engine.survey.sandboxes(labels)
    assert (sandbox.id, sandbox.state, sandbox.labels["step"]) == (one, "created", "one")
    assert sandbox.name.startswith("bloomery-contract-")
    assert [image.tags for image in await rig.engine.survey.images(labels)] == [(f"{IMAGE}-label",)]


async def looked_at(rig: Rig, sandbox: str) -> SandboxState:
    found = await rig.engine.survey.sandbox(sandbox)
    assert found is not None
    return found


async def test_a_container_tells_its_image_and_its_labels(rig: Rig):
    sandbox = await rig.create(NOTHING, labels={"step": "one"})
    found = await looked_at(rig, sandbox)
    assert (found.id, found.state) == (sandbox, "created")
    assert found.image_id == (await inspected(rig, IMAGE)).id
    assert {LABEL: SESSION, "step": "one"}.items() <= found.labels.items()


async def test_every_run_is_another_generation_and_nothing_else_is(rig: Rig):
    sandbox, seen = await rig.create(NOTHING, network=Network.BRIDGE), []
    for _ in range(3):
        before = await looked_at(rig, sandbox)
        await rig.engine.sandboxes.put(sandbox, some("work/f"))
        await rig.content(sandbox, "/work/f")
        await rig.engine.sandboxes.isolate(sandbox)
        assert await looked_at(rig, sandbox) == before
        seen.append(before.generation)
        await rig.engine.sandboxes.run(sandbox, Output(), QUICK)
        assert (await looked_at(rig, sandbox)).state == "exited"
    assert seen[0] == "0001-01-01T00:00:00Z"
    assert len({*seen, (await looked_at(rig, sandbox)).generation}) == 4


async def test_a_container_that_runs_says_so_and_is_of_the_generation_before(rig: Rig):
    async with rig.running() as (sandbox, task):
        during = await looked_at(rig, sandbox)
        assert (during.state, during.generation) == ("running", "0001-01-01T00:00:00Z")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        after = await looked_at(rig, sandbox)
    assert after.state == "exited"
    assert after.generation != during.generation


async def test_a_container_that_is_gone_has_no_state(rig: Rig):
    sandbox = await rig.create(NOTHING)
    await rig.engine.sandboxes.remove(sandbox)
    assert await rig.engine.survey.sandbox(sandbox) is None


async def test_the_engine_says_what_it_is(rig: Rig):
    info = await rig.engine.survey.info()
    assert info.host_cpus >= 1
    assert info.host_memory > 1 << 28
    assert tuple(int(part) for part in info.api.split(".")) >= (1, 41)
    assert info.driver


async def test_an_image_that_no_registry_has_is_told(rig: Rig):
    async with registry({}) as host:
        with pytest.raises(ImageGone):
            await rig.engine.survey.pull(f"{host}/bloomery-contract/none:1")


async def test_an_image_is_pulled(rig: Rig):
    members = archived("pulled")
    config, layer = (member.content or b"" for member in members[:2])
    async with registry({"config": config, "layer": layer}) as host:
        reference = f"{host}/bloomery-contract/some:1"
        if isinstance(rig.engine, FakeEngine):
            rig.engine.registry[reference] = FakeEngine().add_image(reference, labels={LABEL: SESSION})
        identity = await rig.engine.survey.pull(reference)
    assert (await inspected(rig, reference)).id == identity


@contextlib.asynccontextmanager
async def registry(blobs: dict[str, bytes]) -> AsyncIterator[str]:
    """A registry on loopback with at most one image."""
    known = {f"sha256:{hashlib.sha256(blob).hexdigest()}": blob for blob in blobs.values()}
    kinds = {"config": "application/vnd.oci.image.config.v1+json", "layer": "application/vnd.oci.image.layer.v1.tar"}
    entries = {
        name: {"mediaType": kinds[name], "digest": digest, "size": len(known[digest])}
        for name, digest in zip(blobs, known, strict=True)
    }
    kind = "application/vnd.oci.image.manifest.v1+json"

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/v2/":
            return web.Response()
        if "/manifests/" in request.path and blobs:
            manifest = {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": entries["config"],
                "layers": [entries["layer"]],
            }
            body = json.dumps(manifest).encode()
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            return web.Response(body=body, content_type=kind, headers={"Docker-Content-Digest": digest})
        blob = known.get(request.path.rpartition("/")[2])
        if blob is None:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]}, status=404)
        return web.Response(body=blob, content_type="application/octet-stream")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# --- what only a real kernel can show


def shell(text: str) -> Program:
    return Program(text, lambda _step: 0)


@pytest.mark.engine
async def test_a_sandbox_has_no_network(real: Rig):
    _, output = await real.run(shell("ls /sys/class/net; exec perl -e 'print((getpwuid(0))[0])'"))
    assert output.stdout.split()[:1] == [b"lo"]
    connect = (
        "use strict; my $a = pack(q(S n a4 x8), 2, 80, pack(q(C4), 1, 1, 1, 1)); socket(my $s, 2, 1, 6) or exit 9;"
        "connect($s, $a) ? exit 0 : exit($! + 0)"
    )
    end, _ = await real.run(shell(f"exec perl -e '{connect.replace('use strict; ', '')}'"))
    assert end.code == 101, "ENETUNREACH"


@pytest.mark.engine
async def test_a_sandbox_is_nobody_and_stays_so(real: Rig):
    sandbox = await real.create(shell("id -u; id -g; /work/id -u; cat /proc/self/status"))
    with open("/usr/bin/id", "rb") as program:  # noqa: ASYNC230, PTH123 - a test may wait
        content = program.read()
    await real.engine.sandboxes.put(sandbox, stream([Member(path="work/id", mode=0o6755, mtime=0, content=content)]))
    output = Output()
    await real.engine.sandboxes.run(sandbox, output, QUICK)
    lines = output.stdout.decode().splitlines()
    assert lines[:3] == ["10001", "10001", "10001"]
    status = dict(line.split(":\t", 1) for line in lines[3:] if ":\t" in line)
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.engine
@pytest.mark.parametrize(
    ("call", "errno"),
    [
        ("syscall({copy_file_range}, 0, 0, 1, 0, 1, 0)", 38),
        ("syscall(425, 1, 0)", 1),  # io_uring_setup
        ("socket($s, 40, 1, 0) ? 0 : -1", 1),  # AF_VSOCK
        ("syscall({unshare}, 0x10000000)", 1),  # CLONE_NEWUSER
        ("syscall({mount}, 0, 0, 0, 0, 0)", 1),
    ],
)
async def test_the_profile_stops_a_call(real: Rig, call: str, errno: int):
    numbers = {
        "x86_64": {"copy_file_range": 326, "unshare": 272, "mount": 165},
        "aarch64": {"copy_file_range": 285, "unshare": 97, "mount": 40},
    }[os.uname().machine]
    end, _ = await real.run(shell(f"exec perl -e 'exit((({call.format(**numbers)}) == -1) ? $! + 0 : 99)'"))
    assert end.code == errno


@pytest.mark.engine
async def test_a_maker_is_root_with_the_engines_own_rights(real: Rig):
    _, output = await real.run(shell("id -u; cat /proc/self/status"), user="0:0", privilege=Privilege.MAKER)
    lines = output.stdout.decode().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert lines[0] == "0"
    assert int(status["CapEff"], 16) & 1, "CAP_CHOWN"
    assert not int(status["CapEff"], 16) & 1 << 21, "CAP_SYS_ADMIN"


@pytest.mark.engine
async def test_processes_are_counted(real: Rig):
    program = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 5 & done; echo all"
    end, output = await real.run(shell(program), replace(QUICK, pids=8))
    assert end.code != 0
    assert b"fork" in output.stderr
    assert b"all" not in output.stdout


@pytest.mark.engine
async def test_files_are_limited(real: Rig):
    limits = replace(QUICK, file_size=1 << 20, open_files=64, tmp_size=1 << 20)
    end, output = await real.run(
        shell(
            "ulimit -n; ulimit -c; head -c 2000000 /dev/zero > /work/big; ls -l /work/big;"
            "head -c 2000000 /dev/zero > /tmp/big || echo full; cp /bin/id /tmp/id && /tmp/id -u"
        ),
        limits,
    )
    words = output.stdout.split()
    assert words[:2] == [b"64", b"0"]
    assert b"1048576" in words
    assert b"full" in words
    assert end.code != 0 or words[-1] == b"10001"


@pytest.mark.engine
async def test_programs_run_from_tmp(real: Rig):
    end, output = await real.run(shell("cp /bin/id /tmp/id && exec /tmp/id -u"))
    assert (end.code, output.stdout) == (0, b"10001\n")


@pytest.mark.engine
async def test_more_cpus_than_the_host_has_are_no_error(real: Rig):
    end, _ = await real.run(NOTHING, replace(QUICK, cpus=512.0))
    assert end.code == 0


@pytest.mark.engine
async def test_nothing_of_the_host_is_mounted(real: Rig):
    _, output = await real.run(shell("cat /proc/self/mountinfo"))
    roots = {line.split()[4] for line in output.stdout.decode().splitlines()}
    assert "/tmp" in roots
    assert not any("docker.sock" in path for path in roots)


@pytest.mark.engine
async def test_a_large_output_is_read_with_flat_memory(real: Rig):
    sandbox = await real.create(shell("head -c 104857600 /dev/zero > /work/big"))
    assert (await real.engine.sandboxes.run(sandbox, Output(), QUICK)).code == 0
    await real.content(sandbox, "/bin/sh")
    before, read = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    async for piece in real.engine.sandboxes.get(sandbox, "/work/big"):
        read += len(piece)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert read > 100 << 20
    assert grown < 16 << 20


@pytest.mark.engine
async def test_a_large_archive_is_put_with_flat_memory(real: Rig):
    async def zeros() -> AsyncGenerator[bytes, None]:
        header = tarfile.TarInfo("work/big")
        header.size = 100 << 20
        yield header.tobuf()
        for _ in range(100):
            yield bytes(1 << 20)
        yield bytes(1024)

    sandbox = await real.create(NOTHING)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await real.engine.sandboxes.put(sandbox, zeros())
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < 16 << 20
    assert (await real.tree(sandbox, "/work/big"))["big"].size == 100 << 20


@pytest.mark.engine
async def test_many_containers_run_at_once(real: Rig):
    ends = await asyncio.gather(*(real.run(shell("sleep 1; echo done")) for _ in range(8)))
    assert [(end.code, output.stdout) for end, output in ends] == [(0, b"done\n")] * 8


async def test_an_engine_that_is_not_there_is_told():
    async with await DockerEngine.connect("unix:///nonexistent/engine.sock") as engine:
        with pytest.raises(EngineUnavailable, match=r"engine\.sock"):
            await engine.survey.info()
        with pytest.raises(EngineUnavailable):
            await engine.images.load(some("f"))
