"""The connection to an engine that misbehaves: a stub on a Unix socket that says what each test wants."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from cache.errors import Failure
from daemon.engine.docker import DockerEngine
from daemon.engine.engine import Exit, Limits, OutputStream, SandboxSpec
from daemon.engine.transport import EngineTimeouts
from daemon.errors import EngineRefused, EngineUnavailable, ImageGone, NoSpace, OutputTooLarge, SandboxGone
from daemon.tarball import Member, pieces, stream

IMPATIENT = EngineTimeouts(control=0.3, start=0.3, remove=0.3, commit=0.3, transfer=0.3, drain=0.3)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TAR = b"".join(pieces([Member(path="f", mode=0o644, mtime=0, content=b"content")]))
STOPPED = {"State": {"Running": False, "Status": "exited", "OOMKilled": False}}


def says(value: object, status: int = 200) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response(value, status=status)

    return handler


def streams(*parts: bytes, whole: bool = True) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await request.read()
        for part in parts:
            await response.write(part)
        if not whole:
            assert request.transport is not None
            request.transport.abort()
        return response

    return handler


async def hangs(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError


class Stub:
    """An engine whose answers a test sets by method and path, without the version."""

    def __init__(self) -> None:
        self.answers: dict[str, Handler] = {}
        self.asked: list[str] = []
        self._more = asyncio.Condition()
        self.newest, self.oldest = "1.41", "1.12"
        self.answers["GET /info"] = says({"Driver": "d", "DockerRootDir": "/r", "NCPU": 2, "MemTotal": 1 << 30})
        self.answers["GET /containers/c/json"] = says(STOPPED)

    async def was_asked(self, end: str, times: int = 1) -> None:
        async with self._more:
            await self._more.wait_for(lambda: sum(line.endswith(end) for line in self.asked) >= times)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        async with self._more:
            self.asked.append(f"{request.method} {request.path}")
            self._more.notify_all()
        path = request.path
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        if path == "/version":
            return web.json_response({"Version": "1", "ApiVersion": self.newest, "MinAPIVersion": self.oldest})
        handler = self.answers.get(f"{request.method} {path}")
        return await handler(request) if handler else web.json_response({"message": f"no {path}"}, status=404)


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
async def engine(stub: Stub, tmp_path: Path) -> AsyncIterator[DockerEngine]:
    async with (
        serving(stub, tmp_path / "e.sock"),
        await DockerEngine.connect(f"unix://{tmp_path}/e.sock", IMPATIENT) as it,
    ):
        yield it


@contextlib.asynccontextmanager
async def serving(stub: Stub, path: Path) -> AsyncIterator[None]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", stub.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def everything(source: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([piece async for piece in source])


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def archive() -> AsyncGenerator[bytes, None]:
    return stream([Member(path="f", mode=0o644, mtime=0, content=b"content")])


# --- versions


@pytest.mark.parametrize(
    ("oldest", "newest", "spoken"),
    [("1.12", "1.41", "1.41"), ("1.24", "1.45", "1.45"), ("1.44", "1.52", "1.47"), ("1.50", "1.60", "1.50")],
)
async def test_the_newest_version_that_both_know_is_spoken(
    stub: Stub, engine: DockerEngine, oldest: str, newest: str, spoken: str
):
    stub.oldest, stub.newest = oldest, newest
    assert (await engine.survey.info()).api == spoken
    assert f"GET /v{spoken}/info" in stub.asked


async def test_an_engine_that_is_too_old_is_told(stub: Stub, engine: DockerEngine):
    stub.newest = "1.40"
    with pytest.raises(EngineRefused, match=r"1\.40.*needs 1\.41"):
        await engine.survey.info()


async def test_an_engine_that_comes_back_as_another_version_is_asked_again(stub: Stub, tmp_path: Path):
    socket = tmp_path / "e.sock"
    async with await DockerEngine.connect(f"unix://{socket}", IMPATIENT) as engine:
        with pytest.raises(EngineUnavailable):
            await engine.survey.info()
        async with serving(stub, socket):
            assert (await engine.survey.info()).api == "1.41"
        with pytest.raises(EngineUnavailable):
            await engine.survey.sandboxes({})
        stub.newest = "1.45"
        async with serving(stub, socket):
            assert (await engine.survey.info()).api == "1.45"


@pytest.mark.parametrize(
    "url", ["tcp://10.0.0.1:2375", "http://localhost:2375", "unix://", "tcp://localhost", "nonsense"]
)
async def test_an_engine_is_on_this_host(url: str):
    with pytest.raises(ValueError, match="expected unix"):
        await DockerEngine.connect(url)


async def test_an_engine_on_a_loopback_port_is_spoken_to(stub: Stub):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with await DockerEngine.connect(f"tcp://127.0.0.1:{runner.addresses[0][1]}", IMPATIENT) as engine:
            assert (await engine.survey.info()).driver == "d"
    finally:
        await runner.cleanup()


# --- silence, cuts and refusals


async def test_an_engine_that_accepts_and_says_nothing_is_unavailable(tmp_path: Path):
    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(5)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(accept, tmp_path / "e.sock")
    try:
        async with await DockerEngine.connect(f"unix://{tmp_path}/e.sock", IMPATIENT) as engine:
            for call in (
                engine.survey.info(),
                engine.sandboxes.remove("c"),
                engine.images.load(archive()),
                engine.sandboxes.put("c", archive()),
                engine.sandboxes.run("c", lambda *_: None, Limits()),
                everything(engine.sandboxes.get("c", "/f")),
            ):
                with pytest.raises(EngineUnavailable, match="accepts connections and says nothing"):
                    await asyncio.wait_for(call, 3)
    finally:
        server.close()


@pytest.mark.parametrize(
    ("status", "message", "failure"),
    [
        (500, "write /x: no space left on device", NoSpace),
        (500, "disk quota exceeded", NoSpace),
        (500, "something else", EngineRefused),
        (409, "name in use", EngineRefused),
        (404, "No such image", ImageGone),
    ],
)
async def test_what_the_engine_says_becomes_a_failure(
    stub: Stub, engine: DockerEngine, status: int, message: str, failure: type[Failure]
):
    stub.answers["POST /containers/create"] = says({"message": message}, status)
    with pytest.raises(failure, match=message):
        await engine.sandboxes.create(SandboxSpec(name="n", image="i", command=("x",)))


@pytest.mark.parametrize("body", [b"{}", b"not json", b"[1]", b"\xff"])
async def test_an_error_that_is_not_as_the_api_says_is_refused(stub: Stub, engine: DockerEngine, body: bytes):
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=500, content_type="application/json")

    stub.answers["GET /containers/json"] = handler
    with pytest.raises(EngineRefused):
        await engine.survey.sandboxes({})


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        ({"error": "archive/tar: invalid tar header"}, EngineRefused),
        ({"errorDetail": {"message": "write /x: no space left on device"}, "error": "e"}, NoSpace),
    ],
)
async def test_an_error_in_the_progress_of_a_load_is_raised(
    stub: Stub, engine: DockerEngine, line: dict[str, object], failure: type[Failure]
):
    stub.answers["POST /images/load"] = streams(b'{"stream":"x"}\r\n', json.dumps(line).encode())
    with pytest.raises(failure):
        await engine.images.load(archive())


async def test_progress_that_breaks_off_is_no_success(stub: Stub, engine: DockerEngine):
    stub.answers["POST /images/load"] = streams(b'{"stream":"x"}\r\n', whole=False)
    with pytest.raises(EngineUnavailable):
        await engine.images.load(archive())


async def test_a_download_that_breaks_off_is_no_success(stub: Stub, engine: DockerEngine):
    stub.answers["GET /containers/c/archive"] = streams(TAR[:700], whole=False)
    with pytest.raises(EngineUnavailable):
        await everything(engine.sandboxes.get("c", "/f"))


async def test_a_download_that_ends_too_early_is_no_success(stub: Stub, engine: DockerEngine):
    stub.answers["GET /containers/c/archive"] = streams(TAR[:1024], b'{"message":"lost"}')
    with pytest.raises(EngineUnavailable, match="broke off"):
        await everything(engine.sandboxes.get("c", "/f"))


async def test_an_engine_that_is_not_there_is_told_in_the_systems_words_with_what_to_do(tmp_path: Path):
    async with await DockerEngine.connect(f"unix://{tmp_path}/none.sock") as engine:
        with pytest.raises(EngineUnavailable) as caught:
            await engine.survey.info()
    assert caught.value.detail == (
        f"The container engine at unix://{tmp_path}/none.sock does not answer: No such file or directory. "
        "Start it, or name one that runs: --engine, [engine] url or DOCKER_HOST."
    )


async def test_a_download_that_stalls_is_given_up(stub: Stub, engine: DockerEngine):
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(TAR[:512])
        return await hangs(request)

    stub.answers["GET /containers/c/archive"] = handler
    with pytest.raises(EngineUnavailable):
        await asyncio.wait_for(everything(engine.sandboxes.get("c", "/f")), 3)


async def test_an_upload_that_the_engine_does_not_take_is_given_up(stub: Stub, engine: DockerEngine):
    stub.answers["PUT /containers/c/archive"] = hangs

    async def endless() -> AsyncGenerator[bytes, None]:
        while True:
            yield bytes(1 << 20)

    with pytest.raises(EngineUnavailable):
        await asyncio.wait_for(engine.sandboxes.put("c", endless()), 3)


async def test_what_a_cancelled_upload_has_not_sent_is_dropped(stub: Stub, engine: DockerEngine):
    begun, closed = asyncio.Event(), False

    async def deaf(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        begun.set()
        return await hangs(request)

    stub.answers["PUT /containers/c/archive"] = deaf

    async def large() -> AsyncGenerator[bytes, None]:
        nonlocal closed
        try:
            while True:
                yield bytes(1 << 20)
        finally:
            closed = True

    putting = asyncio.create_task(engine.sandboxes.put("c", large()))
    await begun.wait()
    await asyncio.sleep(0.1)
    during = open_files()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    await asyncio.sleep(0)

    assert closed
    assert open_files() < during


async def test_an_upload_that_comes_slowly_is_waited_for(stub: Stub, engine: DockerEngine):
    got = bytearray()

    async def take(request: web.Request) -> web.StreamResponse:
        got.extend(await request.read())
        return web.Response()

    stub.answers["PUT /containers/c/archive"] = take

    async def slow() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(TAR), 512):
            await asyncio.sleep(0.2)
            yield TAR[start : start + 512]

    await engine.sandboxes.put("c", slow())
    assert bytes(got) == TAR


async def test_a_body_that_breaks_off_after_the_answer_began_fails_with_its_own_error(stub: Stub, engine: DockerEngine):
    stub.answers["POST /images/load"] = streams(b'{"stream":"x"}\r\n')

    async def broken() -> AsyncGenerator[bytes, None]:
        yield TAR[:512]
        await asyncio.sleep(0.1)
        raise LookupError("the disk is gone")

    with pytest.raises(LookupError, match="the disk is gone"):
        await engine.images.load(broken())


async def test_a_hundred_and_fifty_waits_hold_up_nobody(stub: Stub, tmp_path: Path):
    killed = asyncio.Event()

    async def wait(_request: web.Request) -> web.StreamResponse:
        await killed.wait()
        return web.json_response({"StatusCode": 137})

    async def kill(_request: web.Request) -> web.StreamResponse:
        killed.set()
        return web.Response(status=204)

    runnable(stub, hangs_after_headers, wait)
    stub.answers["POST /containers/c/kill"] = kill
    async with serving(stub, tmp_path / "e.sock"), await DockerEngine.connect(f"unix://{tmp_path}/e.sock") as engine:
        runs = [asyncio.create_task(engine.sandboxes.run("c", lambda *_: None, Limits())) for _ in range(150)]
        await stub.was_asked("/wait", 150)
        assert (await engine.survey.info()).host_cpus == 2
        for run in runs:
            run.cancel()
        assert {type(end) for end in await asyncio.gather(*runs, return_exceptions=True)} == {asyncio.CancelledError}


# --- runs


async def nothing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


async def hangs_after_headers(request: web.Request) -> web.StreamResponse:
    await web.StreamResponse().prepare(request)
    return await hangs(request)


def runnable(stub: Stub, output: Handler, wait: Handler) -> None:
    stub.answers["POST /containers/c/attach"] = output
    stub.answers["POST /containers/c/start"] = nothing
    stub.answers["POST /containers/c/wait"] = wait
    stub.answers["POST /containers/c/kill"] = nothing


def after(seconds: float, then: Handler) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await then(request)

    return handler


async def test_the_end_of_the_output_is_not_the_end_of_the_run(stub: Stub, engine: DockerEngine):
    frame = struct.pack(">BxxxL", 2, 3) + b"out"
    runnable(stub, streams(frame), after(0.2, says({"StatusCode": 7})))
    heard: list[tuple[OutputStream, bytes]] = []
    end = await engine.sandboxes.run("c", lambda *piece: heard.append(piece), Limits())
    assert (end.code, heard) == (7, [(OutputStream.STDERR, b"out")])
    assert end.seconds >= 0.2


async def test_output_that_never_ends_is_not_waited_for(stub: Stub, engine: DockerEngine):
    runnable(stub, hangs_after_headers, says({"StatusCode": 0}))
    end = await asyncio.wait_for(engine.sandboxes.run("c", lambda *_: None, Limits()), 3)
    assert isinstance(end, Exit)


@pytest.mark.parametrize(
    ("output", "failure"),
    [
        (streams(b"HTTP is fun, but no frame"), EngineRefused),
        (streams(struct.pack(">BxxxL", 1, 100) + b"half"), EngineUnavailable),
        (streams(b"", whole=False), EngineUnavailable),
        (streams(struct.pack(">BxxxL", 1, 1 << 30), *[bytes(1 << 16)] * 20), OutputTooLarge),
    ],
)
async def test_output_that_is_not_right_ends_the_run_and_the_container(
    stub: Stub, engine: DockerEngine, output: Handler, failure: type[Failure]
):
    runnable(stub, output, after(0.25, says({"StatusCode": 0})))
    with pytest.raises(failure):
        await engine.sandboxes.run("c", lambda *_: None, Limits(output=1 << 20))
    assert any(line.endswith("/kill") for line in stub.asked)


async def test_an_engine_that_goes_away_during_a_run_is_told(stub: Stub, engine: DockerEngine):
    runnable(stub, hangs_after_headers, streams(b"", whole=False))
    with pytest.raises(EngineUnavailable):
        await engine.sandboxes.run("c", lambda *_: None, Limits())


async def test_a_container_that_is_being_removed_is_gone_whatever_its_exit_code(stub: Stub, engine: DockerEngine):
    runnable(stub, streams(), says({"StatusCode": 0}))
    removing = {"State": {"Running": False, "Status": "removing", "OOMKilled": False}}
    answers = iter([STOPPED, removing])

    async def inspect(_request: web.Request) -> web.StreamResponse:
        return web.json_response(next(answers))

    stub.answers["GET /containers/c/json"] = inspect
    with pytest.raises(SandboxGone):
        await engine.sandboxes.run("c", lambda *_: None, Limits())


async def test_a_run_that_is_cancelled_while_it_starts_is_killed_after_it_started(stub: Stub, engine: DockerEngine):
    runnable(stub, hangs_after_headers, says({"StatusCode": 137}))
    starts = asyncio.Event()

    async def when_it_starts(request: web.Request) -> web.StreamResponse:
        await starts.wait()
        return await nothing(request)

    stub.answers["POST /containers/c/start"] = when_it_starts
    task = asyncio.create_task(engine.sandboxes.run("c", lambda *_: None, Limits()))
    await stub.was_asked("/start")
    task.cancel()
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0.05)
    killed_early = any(line.endswith("/kill") for line in stub.asked)

    starts.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not killed_early
    assert any(line.endswith("/kill") for line in stub.asked)


async def test_a_command_that_cannot_be_started_is_refused(stub: Stub, engine: DockerEngine):
    runnable(stub, hangs_after_headers, says({"StatusCode": 127}))
    stub.answers["POST /containers/c/start"] = says({"message": "executable file not found"}, 400)
    with pytest.raises(EngineRefused, match="executable file not found"):
        await engine.sandboxes.run("c", lambda *_: None, Limits())


# --- what the engine finishes although its client went away


async def test_a_create_that_is_cancelled_is_undone_after_it_happened(stub: Stub, engine: DockerEngine):
    stub.answers["POST /containers/create"] = after(0.2, says({"Id": "made"}, 201))
    stub.answers["DELETE /containers/made"] = nothing
    task = asyncio.create_task(engine.sandboxes.create(SandboxSpec(name="n", image="i", command=("x",))))
    await stub.was_asked("/create")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "DELETE /v1.41/containers/made" in stub.asked


async def test_a_removal_that_the_engine_fails_is_told(stub: Stub, engine: DockerEngine):
    stub.answers["DELETE /containers/c"] = says({"message": "device or resource busy"}, 500)
    with pytest.raises(EngineRefused, match="busy"):
        await engine.sandboxes.remove("c")


@pytest.mark.parametrize(
    ("error", "failure"),
    [("manifest unknown", ImageGone), ("connection refused", EngineRefused), ("no space left on device", NoSpace)],
)
async def test_a_pull_says_why_it_failed(stub: Stub, engine: DockerEngine, error: str, failure: type[Failure]):
    stub.answers["POST /images/create"] = streams(json.dumps({"error": error}).encode())
    with pytest.raises(failure, match=error):
        await engine.survey.pull("name@sha256:" + "0" * 64)


async def test_an_import_that_names_no_image_is_refused(stub: Stub, engine: DockerEngine):
    stub.answers["POST /images/create"] = streams(b"")
    with pytest.raises(EngineRefused, match="under which id"):
        await engine.images.import_root(archive(), "name:1", ())


async def test_a_removal_that_somebody_else_began_is_waited_for(stub: Stub, engine: DockerEngine):
    stub.answers["DELETE /containers/c"] = says({"message": "removal of container c is already in progress"}, 409)
    stub.answers["POST /containers/c/wait"] = after(0.1, says({"StatusCode": 0}))
    await engine.sandboxes.remove("c")
    assert any(line.endswith("/wait") for line in stub.asked)
