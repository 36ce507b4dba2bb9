"""The probe's script in the real engine: every file of the compilers is hashed, whatever hashes it."""

import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from daemon.engine.docker import DockerEngine
from daemon.engine.engine import Limits, SandboxSpec
from daemon.toolchains import record
from daemon.toolchains.errors import BadToolchain
from daemon.toolchains.probe import SCRIPT, parse
from daemon.toolchains.toolchain import ToolchainFacts
from tests.conftest import TOOLCHAIN

pytestmark = pytest.mark.engine

LIMITS = Limits(deadline=120, silence=120)


@pytest.fixture
async def docker() -> AsyncIterator[DockerEngine]:
    async with await DockerEngine.connect(os.environ.get("DOCKER_HOST")) as engine:
        yield engine


@pytest.fixture
def facts(toolchain_facts: tuple[str, bytes]) -> ToolchainFacts:
    image_id, written = toolchain_facts
    found = record.read(written, image_id)
    assert found is not None
    return replace(found, canary=0)


async def probed(engine: DockerEngine, image_id: str, programs: dict[str, str]) -> ToolchainFacts:
    """What the script says where these programs, scripts of `sh`, stand before the image's own."""
    put = "".join(
        f"cat >/tmp/first/{name} <<'END'\n#!/bin/sh\n{program}\nEND\nchmod 0755 /tmp/first/{name}\n"
        for name, program in programs.items()
    )
    spec = SandboxSpec(
        name=f"bloomery-tc-contract-{secrets.token_hex(4)}",
        image=image_id,
        command=("sh", "-c", f"mkdir /tmp/first\n{put}PATH=/tmp/first:$PATH\n{SCRIPT}"),
        working_directory="/",
        limits=LIMITS,
    )
    out = bytearray()
    sandbox = await engine.sandboxes.create(spec)
    try:
        await engine.sandboxes.run(sandbox, lambda _, piece: out.extend(piece), LIMITS)
    finally:
        await engine.sandboxes.remove(sandbox)
    return parse(out.decode(), image_id, TOOLCHAIN)


@pytest.mark.parametrize(
    "openssl",
    [
        "exit 127",
        'for file; do case $file in /*) echo "SHA2-256($file)= 00";; esac; done',
        'shift 4; exec /usr/bin/openssl dgst -sha256 -r "$@"',
    ],
    ids=["there is none", "it writes as others do", "it leaves files out"],
)
async def test_an_openssl_that_does_not_hash_every_file_changes_nothing(
    docker: DockerEngine, facts: ToolchainFacts, openssl: str
):
    assert await probed(docker, facts.image_id, {"openssl": openssl}) == facts


async def test_sha256sum_is_not_asked_where_openssl_hashed_every_file(docker: DockerEngine, facts: ToolchainFacts):
    assert await probed(docker, facts.image_id, {"sha256sum": "exit 1"}) == facts


async def test_compilers_that_cannot_be_hashed_are_no_toolchain(docker: DockerEngine, facts: ToolchainFacts):
    with pytest.raises(BadToolchain) as caught:
        await probed(docker, facts.image_id, {"openssl": "exit 1", "sha256sum": "exit 1"})
    assert caught.value.evidence["lacks"] == ["compilers whose files its user can read", "a sysroot with files"]
