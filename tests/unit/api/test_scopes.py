"""A token sees and touches what its own scope wrote, and learns nothing of the rest."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from daemon.builds import BuildState
from tests.fakes.api import Daemon, MakeDaemon, running
from tests.unit.api.test_trees import DIGEST, LISTING, MAIN

OURS, THEIRS = ({"Authorization": f"Bearer {token}"} for token in ("our-token", "their-token"))
PARTS = ("", "/events", "/image", "/contents", "/symbols", "/lockfile")


@pytest.fixture
async def daemon(make_daemon: MakeDaemon) -> AsyncIterator[Daemon]:
    async with running(make_daemon(tokens={"our-token": "ours", "their-token": "theirs"})) as started:
        yield started


async def put_build(daemon: Daemon, scope: str, state: BuildState = BuildState.SUCCEEDED) -> str:
    name = await daemon.put_build(state)
    build = daemon.builds.builds_by_id[name]
    daemon.builds.builds_by_id[name] = replace(build, request=replace(build.request, scope=scope))
    return name


async def listed(client: aiohttp.ClientSession, headers: dict[str, str]) -> Any:
    async with client.post("/v1/trees", json=LISTING, headers=headers) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_a_list_has_the_builds_of_the_token_s_scope(daemon: Daemon, client: aiohttp.ClientSession):
    ours, theirs = [await put_build(daemon, scope) for scope in ("ours", "theirs")]
    for headers, seen in ((OURS, ours), (THEIRS, theirs)):
        async with client.get("/v1/builds", headers=headers) as answer:
            assert [build["id"] for build in (await answer.json())["builds"]] == [seen]


@pytest.mark.parametrize("part", PARTS)
async def test_another_scope_s_build_is_answered_as_one_that_never_was(
    daemon: Daemon, client: aiohttp.ClientSession, part: str
):
    build = await put_build(daemon, "theirs")
    async with client.get(
        f"/v1/builds/{build}{part}?follow=false" if "ev" in part else f"/v1/builds/{build}{part}", headers=THEIRS
    ) as answer:
        assert answer.status == 200
    async with client.get(f"/v1/builds/{build}{part}", headers=OURS) as answer:
        hidden = await answer.json()
    assert (answer.status, hidden["kind"]) == (404, "unknown_build")
    assert hidden["evidence"] == {"build": build}
    assert "`bloomery ls`" in hidden["detail"]


async def test_another_scope_s_build_is_not_cancelled(daemon: Daemon, client: aiohttp.ClientSession):
    build = await put_build(daemon, "theirs", BuildState.RUNNING)
    async with client.delete(f"/v1/builds/{build}", headers=OURS) as answer:
        assert (answer.status, (await answer.json())["kind"]) == (404, "unknown_build")
    assert daemon.builds.builds_by_id[build].state is BuildState.RUNNING


async def test_a_file_that_another_scope_sent_is_missing_until_this_one_sends_it(client: aiohttp.ClientSession):
    assert (await listed(client, THEIRS))["missing"] == [DIGEST]
    async with client.put(f"/v1/blobs/{DIGEST}", data=MAIN, headers=THEIRS) as answer:
        assert answer.status == 201
    assert (await listed(client, OURS))["missing"] == [DIGEST]
    tree = await listed(client, THEIRS)
    assert tree["missing"] == []
    assert (await listed(client, OURS))["missing"] == [DIGEST]
    for headers, status in ((THEIRS, 200), (OURS, 404)):
        async with client.get(f"/v1/trees/{tree['tree']}", headers=headers) as answer:
            assert answer.status == status
    async with client.put(f"/v1/blobs/{DIGEST}", data=MAIN, headers=OURS) as answer:
        assert answer.status == 201
    assert (await listed(client, OURS)) == tree
    async with client.get(f"/v1/trees/{tree['tree']}", headers=OURS) as answer:
        assert answer.status == 200


async def test_a_wrong_size_does_not_tell_whether_another_scope_has_the_file(client: aiohttp.ClientSession):
    async with client.put(f"/v1/blobs/{DIGEST}", data=MAIN, headers=THEIRS) as answer:
        assert answer.status == 201
    await listed(client, THEIRS)
    guess = {"entries": [{"path": "a", "size": len(MAIN) + 1, "digest": DIGEST}]}
    async with client.post("/v1/trees", json=guess, headers=OURS) as answer:
        assert (await answer.json())["missing"] == [DIGEST]


async def test_without_tokens_any_scope_sees_every_build(make_daemon: MakeDaemon):
    async with running(make_daemon()) as daemon:
        build = await put_build(daemon, "theirs")
        _, _, body = await daemon.raw("GET /v1/builds HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert [each["id"] for each in json.loads(body)["builds"]] == [build]
