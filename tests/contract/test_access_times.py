"""Access times on the real engine (law 13): all ways to read a file are seen, and a layer's files never look unread."""

import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from daemon.ecosystems.rust.environment import BUILDER
from daemon.ecosystems.step import SOURCE_TIME, UNREAD_TIME, Reads
from daemon.engine.docker import DockerEngine
from daemon.engine.engine import Limits, SandboxSpec
from daemon.tarball import Member, stream
from daemon.toolchains import access_times as access_times_module
from daemon.toolchains.access_times import AccessTimes
from tests.fakes.access_times import KeptAnswers

pytestmark = pytest.mark.engine


@pytest.fixture
async def docker() -> AsyncIterator[DockerEngine]:
    async with await DockerEngine.connect(os.environ.get("DOCKER_HOST")) as engine:
        yield engine


def access_times(docker: DockerEngine, answers: KeptAnswers) -> AccessTimes:
    return AccessTimes(survey=docker.survey, sandboxes=docker.sandboxes, answers=answers, labels={})


async def test_law_13_all_ways_to_read_a_file_are_seen(docker: DockerEngine, engine: str):
    answers = KeptAnswers()
    assert await access_times(docker, answers).reads(engine) is Reads.TOLD, answers.misses


async def test_law_13_a_way_that_leaves_no_access_time_is_a_miss(
    docker: DockerEngine, engine: str, monkeypatch: pytest.MonkeyPatch
):
    """Whoever owns a file may read it unseen: sources are root's, and here they are not."""
    as_put = access_times_module._members
    monkeypatch.setattr(access_times_module, "_members", lambda: (replace(one, uid=BUILDER) for one in as_put()))
    answers = KeptAnswers()
    assert await access_times(docker, answers).reads(engine) is Reads.UNKNOWN
    assert answers.misses == ("no-atime",)


async def test_law_13_a_file_in_a_lower_layer_does_not_look_unread(docker: DockerEngine, engine: str):
    name = f"bloomery-access-times-{secrets.token_hex(6)}"

    async def listed(image: str, *members: Member) -> str:
        command = ("find", "/work/source", "-printf", "%A@")
        sandbox = await docker.sandboxes.create(SandboxSpec(name=name, image=image, command=command))
        said = bytearray()
        try:
            await docker.sandboxes.put(sandbox, stream(members))
            await docker.sandboxes.run(sandbox, lambda _, piece: said.extend(piece), Limits())
            committed.append(await docker.images.commit(sandbox, f"bloomery-e2e/{name}:1", {}))
        finally:
            await docker.sandboxes.remove(sandbox)
        return said.decode().partition(".")[0]

    committed: list[str] = []
    source = Member(path="work/source", mode=0o666, mtime=SOURCE_TIME, atime=UNREAD_TIME, content=b"words")
    try:
        assert await listed(engine, source) == str(UNREAD_TIME)
        assert await listed(committed[0]) != str(UNREAD_TIME)
    finally:
        for image in reversed(committed):
            await docker.images.remove(image)
