from collections.abc import AsyncGenerator

import aiohttp
import pytest

from daemon.builds import BuildState
from daemon.errors import NotReady
from tests.fakes.api import Daemon


async def test_an_image_comes_as_an_archive_named_after_its_binary(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build()
    async with client.get(f"/v1/builds/{build}/image") as answer:
        assert await answer.read() == b"archive of hello"
    assert answer.content_type == "application/x-tar"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''hello.tar"
    assert answer.headers["Docker-Content-Digest"] == "sha256:" + "c" * 64


async def test_one_of_several_images_is_named(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build(binaries=("web", "worker"))
    async with client.get(f"/v1/builds/{build}/image?binary=worker") as answer:
        assert await answer.read() == b"archive of worker"


@pytest.mark.parametrize("query", ["", "?binary=nope"])
@pytest.mark.parametrize("what", ["image", "contents", "symbols"])
async def test_no_or_a_wrong_name_among_several_is_answered_with_the_names(
    daemon: Daemon, client: aiohttp.ClientSession, query: str, what: str
):
    build = await daemon.put_build(binaries=("web", "worker"))
    async with client.get(f"/v1/builds/{build}/{what}{query}") as answer:
        problem = await answer.json()
    assert (answer.status, problem["evidence"]["binaries"]) == (422, ["web", "worker"])


@pytest.mark.parametrize("state", [BuildState.QUEUED, BuildState.RUNNING, BuildState.FAILED, BuildState.CANCELLED])
@pytest.mark.parametrize("what", ["image", "contents", "symbols", "lockfile"])
async def test_a_build_that_did_not_succeed_has_nothing_to_download(
    daemon: Daemon, client: aiohttp.ClientSession, what: str, state: BuildState
):
    build = await daemon.put_build(state)
    async with client.get(f"/v1/builds/{build}/{what}") as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"], problem["evidence"]["state"]) == (409, "not_ready", state)


async def test_an_image_that_is_gone_is_a_problem_when_nothing_was_sent(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build()

    async def gone(_image: object) -> AsyncGenerator[bytes, None]:
        raise NotReady("it was pruned; build again")
        yield

    daemon.artifacts.archive = gone
    async with client.get(f"/v1/builds/{build}/image") as answer:
        assert (answer.status, (await answer.json())["kind"]) == (409, "not_ready")


async def test_an_image_that_breaks_off_is_seen_to_be_incomplete(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build()
    daemon.artifacts.failure = OSError("the disk went away")
    async with client.get(f"/v1/builds/{build}/image") as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_contents_say_why_each_file_is_there(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build()
    async with client.get(f"/v1/builds/{build}/contents") as answer:
        contents = await answer.json()
    assert contents["binary"] == "hello"
    assert [(entry["path"], entry["reason"]) for entry in contents["entries"]] == [("/app/hello", "binary hello")]


async def test_symbols_can_be_had_in_part(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build()
    async with client.get(f"/v1/builds/{build}/symbols") as answer:
        assert (answer.status, await answer.read()) == (200, b"\x7fELF symbols")
    async with client.get(f"/v1/builds/{build}/symbols", headers={"Range": "bytes=1-3"}) as answer:
        assert (answer.status, await answer.read()) == (206, b"ELF")


async def test_a_made_lock_is_a_cargo_lock(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build()
    async with client.get(f"/v1/builds/{build}/lockfile") as answer:
        assert await answer.text() == "version = 4\n"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="Cargo.lock"'


@pytest.mark.parametrize("what", ["image", "contents", "symbols", "lockfile"])
async def test_head_says_the_same_without_a_body(daemon: Daemon, client: aiohttp.ClientSession, what: str):
    build = await daemon.put_build()
    async with client.head(f"/v1/builds/{build}/{what}") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_a_name_cannot_break_out_of_the_header(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build(binaries=('a"; \r\nX: y',))
    async with client.get(f"/v1/builds/{build}/image") as answer:
        assert answer.status == 200
        assert "X" not in answer.headers
