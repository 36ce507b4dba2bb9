"""What happens on the wire: refusals while a body is still coming, slow and broken clients, requests that are none."""

import asyncio
import json
import subprocess
from pathlib import Path

import aiohttp
import pytest
import structlog

from api.http.bodies import BodyLimits
from cache.archive_limits import ArchiveLimits
from daemon.builds import BuildState
from tests.fakes.api import TREE, Daemon, MakeDaemon, parsed, running, tar_of, until

CLOSE = "Host: h\r\nConnection: close\r\n"
POST = "POST /v1/builds HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-tar\r\n"


@pytest.fixture
def archive():
    return tar_of({"Cargo.toml": b"[package]\n" * 100}, "w")


def nothing_left(daemon: Daemon):
    return not [path for path in daemon.directory.rglob("*") if path.is_file()] and not daemon.trees.kept


async def test_a_path_that_is_none_is_a_problem(client: aiohttp.ClientSession):
    async with client.get("/v2/builds") as answer:
        problem = await answer.json()
    assert (answer.status, answer.content_type) == (404, "application/problem+json")
    assert problem == {
        "type": "urn:bloomery:problem:no_such_path",
        "title": "There is nothing at this path",
        "status": 404,
        "detail": "/v2/builds is no path of this API; /openapi.json lists them all",
        "kind": "no_such_path",
        "blame": "request",
        "evidence": {},
        "instance": "/v2/builds",
    }


async def test_a_method_that_a_path_does_not_take_is_answered_with_those_it_does(client: aiohttp.ClientSession):
    async with client.put("/v1/builds", data=b"x") as answer:
        problem = await answer.json()
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert (problem["kind"], problem["evidence"]["allowed"]) == (
        "method_not_allowed",
        ["GET", "HEAD", "OPTIONS", "POST"],
    )


async def test_options_say_what_a_path_takes(client: aiohttp.ClientSession):
    async with client.options("/v1/builds/x") as answer:
        assert (answer.status, answer.headers["Allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")


@pytest.mark.parametrize("path", ["/v1/builds", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/toolchains"])
async def test_head_is_get_without_its_body(client: aiohttp.ClientSession, path: str):
    async with client.head(path) as head, client.get(path) as get:
        assert (head.status, head.content_type) == (get.status, get.content_type)
        assert await head.read() == b""


async def test_an_error_nobody_foresaw_is_told_by_an_incident_alone(daemon: Daemon, client: aiohttp.ClientSession):
    async def broken(_build: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    daemon.builds.build = broken
    with structlog.testing.capture_logs() as logs:
        async with client.get("/v1/builds/x") as answer:
            problem = await answer.json()
    incident = problem["evidence"]["incident"]
    assert (answer.status, problem["kind"]) == (500, "internal")
    assert problem["instance"] == f"urn:bloomery:incident:{incident}"
    assert "secret" not in json.dumps(problem)
    assert [log["incident"] for log in logs if log["event"] == "unexpected error"] == [incident]


async def test_the_log_has_a_line_for_each_request_and_no_secret_in_it(make_daemon: MakeDaemon):
    async with running(make_daemon(tokens={"t0ken": "default"})) as daemon:
        with structlog.testing.capture_logs() as logs:
            await daemon.raw(
                f"GET /v1/builds?state=queued&password=hunter2 HTTP/1.1\r\n{CLOSE}Authorization: Bearer t0ken\r\n\r\n"
            )
    (line,) = [log for log in logs if log["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/builds", 422)
    assert "hunter2" not in repr(logs)
    assert "t0ken" not in repr(logs)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(500)) + b"\r\n",
        b"POST /v1/builds HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST /v1/builds HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc",
        b"POST /v1/builds HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_what_is_no_request_is_still_answered_with_a_problem(daemon: Daemon, request_bytes: bytes):
    status, headers, body = await daemon.raw(request_bytes)
    problem = json.loads(body)
    assert (status, problem["kind"], headers["content-type"]) == (400, "malformed_request", "application/problem+json")


async def test_a_broken_chunk_cuts_the_body(daemon: Daemon):
    head = f"POST /v1/builds HTTP/1.1\r\n{CLOSE}Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, _, body = await daemon.raw(head + "5\r\nhello\r\nzz\r\n")
    assert (status, json.loads(body)["kind"]) in {(400, "body_cut"), (400, "malformed_request")}
    assert nothing_left(daemon)


async def test_an_archive_in_chunks_is_read(daemon: Daemon, archive: bytes):
    head = f"POST /v1/builds HTTP/1.1\r\n{CLOSE}Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (archive[at : at + 700] for at in range(0, len(archive), 700))
    )
    status, _, body = await daemon.raw(head.encode() + chunks + b"0\r\n\r\n")
    assert status == 202, body


async def test_a_body_whose_length_is_too_much_is_refused_before_it_is_sent(make_daemon: MakeDaemon):
    async with running(make_daemon(limits=BodyLimits(archive=1000))) as daemon:
        head = "POST /v1/builds HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-tar\r\nContent-Length: 1001\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 5)
        writer.close()
    status, headers, body = parsed(answer)
    assert (status, headers["connection"]) == (413, "close")
    assert b"upload_too_large" in body


@pytest.mark.parametrize("size", [40 << 20, 3 << 20])
async def test_a_client_that_goes_on_sending_after_a_refusal_can_read_it(
    make_daemon: MakeDaemon, size: int, tmp_path: Path
):
    body = tmp_path / "body"
    body.write_bytes(bytes(size))
    async with running(make_daemon(limits=BodyLimits(archive=1 << 20))) as daemon:
        for how in ("Expect:", "Expect: 100-continue", "Transfer-Encoding: chunked"):
            answer = await curl(daemon, "--data-binary", f"@{body}", "-H", how, "/v1/builds")
            problem = json.loads(answer)
            assert (problem["status"], problem["kind"]) == (413, "upload_too_large"), how
        assert nothing_left(daemon)


async def curl(daemon: Daemon, *arguments: str):
    *options, path = arguments
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "20", *options, daemon.url + path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode == 0, errors
    return out


async def test_curl_builds_an_archive_by_its_defaults(daemon: Daemon, archive: bytes, tmp_path: Path):
    (tmp_path / "src.tar").write_bytes(archive)
    for how in ("Expect: 100-continue", "Expect:"):
        build = json.loads(await curl(daemon, "--data-binary", f"@{tmp_path / 'src.tar'}", "-H", how, "/v1/builds"))
        assert build["state"] == "queued"


async def test_the_go_ahead_comes_only_when_the_body_is_wanted(make_daemon: MakeDaemon, archive: bytes):
    async with running(make_daemon(tokens={"t0ken": "default"})) as daemon:
        head = (
            f"POST /v1/builds HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-tar\r\n"
            f"Content-Length: {len(archive)}\r\nExpect: 100-continue\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        writer.write(f"{head}\r\n".encode())
        assert b" 401 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        writer.write(f"{head}Authorization: Bearer t0ken\r\n\r\n".encode())
        assert b" 100 " in await asyncio.wait_for(reader.readline(), 5)
        writer.write(archive)
        await reader.readline()
        assert b" 202 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_an_expectation_that_is_not_understood_is_refused(daemon: Daemon):
    status, _, body = await daemon.raw(
        f"POST /v1/builds HTTP/1.1\r\n{CLOSE}Expect: miracles\r\nContent-Length: 0\r\n\r\n"
    )
    assert (status, json.loads(body)["evidence"]["path"]) == (422, "header.Expect")


async def test_a_body_that_stops_coming_is_given_up(make_daemon: MakeDaemon, archive: bytes):
    async with running(make_daemon(limits=BodyLimits(idle=0.2), archive_limits=ArchiveLimits(idle=0.4))) as daemon:
        head = f"{POST}Connection: close\r\nContent-Length: {len(archive)}\r\n\r\n"
        status, _, body = await daemon.raw(head.encode() + archive[:100])
        assert (status, json.loads(body)["kind"]) == (408, "upload_too_slow")
        assert nothing_left(daemon)


async def test_a_body_that_drips_is_given_up_in_total(make_daemon: MakeDaemon, archive: bytes):
    limits, archive_limits = BodyLimits(total=0.5), ArchiveLimits(total=1.0)
    async with running(make_daemon(limits=limits, archive_limits=archive_limits)) as daemon:
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        head = f"{POST}Connection: close\r\nContent-Length: {len(archive)}\r\n\r\n"
        writer.write(head.encode())
        answer = asyncio.create_task(reader.readline())
        async with asyncio.timeout(10):
            while not answer.done():
                writer.write(b"\0")
                await asyncio.sleep(0.02)
        assert b" 408 " in answer.result()
        writer.close()
        assert nothing_left(daemon)


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(daemon: Daemon, archive: bytes):
    for path, method in (("/v1/builds", "POST"), (f"/v1/blobs/{TREE}", "PUT"), ("/v1/trees", "POST")):
        kind = "application/json" if path == "/v1/trees" else "application/octet-stream"
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nContent-Length: {len(archive)}\r\n\r\n"
        with structlog.testing.capture_logs() as logs:
            _, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
            writer.write(head.encode() + archive[:600])
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.transport.abort()
            await until(lambda: any(log["event"] == "request" for log in logs))
        assert not [log for log in logs if log["log_level"] == "error"]
    assert daemon.builds.builds_by_id == {}
    assert nothing_left(daemon)


async def test_slow_uploads_do_not_keep_others_waiting(daemon: Daemon, archive: bytes, client: aiohttp.ClientSession):
    head = "POST /v1/builds HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-tar\r\nContent-Length: 99999\r\n\r\n"
    writers = []
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        writer.write(head.encode() + archive[:512])
        writers.append(writer)
    await asyncio.sleep(0.2)
    build = await daemon.put_build(BuildState.RUNNING)
    async with asyncio.timeout(2), client.get(f"/v1/builds/{build}") as answer:
        assert answer.status == 200
    for writer in writers:
        writer.transport.abort()


async def test_connections_are_kept_for_the_next_request(daemon: Daemon, archive: bytes):
    request = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n" * 2 + f"GET /nope HTTP/1.1\r\n{CLOSE}\r\n"
    _, _, body = await daemon.raw(request)
    assert body.count(b"HTTP/1.1 200 OK") == 1
    assert body.count(b"HTTP/1.1 404") == 1
