"""A git dependency: fetched from a local git server, cooked like any other, rebuilt without the server, and pinned.

The repository that is served holds two crates, one of which needs the other by path, so that cargo's whole checkout
has to reach the cook and the compile, not one package of it.
"""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.engine.docker import DockerEngine
from daemon.pipeline.sandboxes import INSTANCE_LABEL
from tests.conftest import TOOLCHAIN
from tests.fakes.api import tar_of
from tests.fakes.git_server import GitServer

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
SECONDS = 300


@dataclass
class Bloomery:
    """A daemon of its own, whose fetch step has this host's network."""

    url: str
    images: set[str] = field(default_factory=set)
    """All that came out of it."""

    def build(self, files: dict[str, str], lineage: str = "main") -> dict[str, Any]:
        """Build an upload to its end; returns the record."""
        archive = tar_of({name: content.encode() for name, content in files.items()})
        build = self.ask(f"/v1/builds?lineage={lineage}", archive)
        end = time.monotonic() + SECONDS
        while build["state"] in {"queued", "running"}:
            assert time.monotonic() < end, build
            time.sleep(0.1)
            build = self.ask(f"/v1/builds/{build['id']}")
        self.images |= {image["image_id"] for image in (build["outcome"] or {"images": []})["images"]}
        return build

    def ask(self, path: str, data: bytes | None = None) -> Any:
        return json.loads(self.read(path, data))

    def read(self, path: str, data: bytes | None = None) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=60) as answer:
            content: bytes = answer.read()
        return content


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    server = GitServer(tmp_path)
    yield server
    server.end()


@pytest.fixture
def bloomery(tmp_path: Path, prepare: Callable[[Path], None]) -> Iterator[Bloomery]:
    state, log = tmp_path / "state", tmp_path / "log"
    prepare(state)
    (tmp_path / "config.toml").write_text(
        f'[toolchains.images]\nstable = "{TOOLCHAIN}"\n[network]\nmode = "host"\n[builds]\nbackoff = "10 ms"\n'
    )
    command = (sys.executable, "-m", "api", "serve", "--listen", "127.0.0.1:0")
    with log.open("wb") as told:
        process = subprocess.Popen(
            [*command, "--state-dir", str(state), "--config", str(tmp_path / "config.toml")], cwd=ROOT, stderr=told
        )
    end = time.monotonic() + 30
    while not (state / "address").exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    bloomery = Bloomery((state / "address").read_text().strip())
    yield bloomery
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    with closing(sqlite3.connect(state / "bloomery.sqlite")) as database:
        (instance,) = database.execute("SELECT value FROM identity WHERE name = 'instance'").fetchone()
        workspaces = {sandbox for (sandbox,) in database.execute("SELECT sandbox FROM workspaces")}
    asyncio.run(nothing_left(instance, workspaces, bloomery.images))


async def nothing_left(instance: str, workspaces: set[str], images: set[str]) -> None:
    """No container is there but workspaces; they and the images are taken away, dependency layers among them."""
    async with await DockerEngine.connect(os.environ.get("DOCKER_HOST")) as engine:
        left = {sandbox.id for sandbox in await engine.survey.sandboxes({INSTANCE_LABEL: instance})}
        for sandbox in left:
            await engine.sandboxes.remove(sandbox)
        layers = await engine.survey.images({INSTANCE_LABEL: instance})
        for image in {*images, *(layer.id for layer in layers)}:
            await engine.images.remove(image)
    assert left == workspaces


def test_it_is_fetched_and_cooked_once_and_a_changed_source_needs_no_server(server: GitServer, bloomery: Bloomery):
    revision = server.publish("world")
    first = bloomery.build(project(server, revision, "hello, world"))
    assert (rung(first), first["outcome"]["reuse"]["dependencies"]) == ("none", 2)
    server.end()
    for lineage, ground in (("fix", "layer"), ("main", "workspace")):
        changed = bloomery.build(project(server, revision, "hello, world", more=f"// changed on {lineage}\n"), lineage)
        assert rung(changed) == ground
        assert compiled(changed) == ["app 0.1.0"]


def test_another_revision_in_the_lock_is_another_layer_and_the_branch_itself_counts_for_nothing(
    server: GitServer, bloomery: Bloomery
):
    old = server.publish("world")
    new = server.publish("moon")
    # the branch has moved on, and the lock has not
    assert rung(bloomery.build(project(server, old, "hello, world"))) == "none"
    moved = bloomery.build(project(server, new, "hello, moon"))
    assert rung(moved) == "none"
    why = next(refusal for refusal in moved["outcome"]["reuse"]["refusals"] if refusal["rung"] == "layer")
    assert [difference["label"] for difference in why["differences"]] == ["Cargo.lock"]
    # the workspace is the other layer's now
    assert rung(bloomery.build(project(server, old, "hello, world", more="// changed\n"))) == "layer"


def test_a_source_without_a_lock_gets_one_that_names_the_revision(server: GitServer, bloomery: Bloomery):
    revision = server.publish("world")
    files = project(server, revision, "hello, world")
    del files["Cargo.lock"]
    build = bloomery.build(files)
    assert rung(build) == "none"
    lock = bloomery.read(f"/v1/builds/{build['id']}/lockfile").decode()
    assert f'source = "git+{server.url}?branch=main#{revision}"' in lock
    # it is offered to be kept: with it, nothing is different, and its layer fits
    locked = files | {"Cargo.lock": lock, "src/main.rs": files["src/main.rs"] + "\n"}
    assert rung(bloomery.build(locked, "locked")) == "layer"


def test_a_revision_that_the_server_does_not_have_is_a_failed_fetch(server: GitServer, bloomery: Bloomery):
    server.publish("world")
    nowhere = "0123456789abcdef0123456789abcdef01234567"
    build = bloomery.build(project(server, nowhere, "hello, world"))
    assert (build["state"], build["failure"]["kind"]) == ("failed", "fetch_failed")
    assert nowhere in build["failure"]["detail"]


def test_a_server_that_does_not_answer_is_the_networks_fault_and_tried_again(server: GitServer, bloomery: Bloomery):
    revision = server.publish("world")
    server.end()
    build = bloomery.build(project(server, revision, "hello, world"))
    assert (build["state"], build["failure"]["kind"], build["attempt"]) == ("failed", "registry_unreachable", 3)
    assert server.url in build["failure"]["detail"]


def project(server: GitServer, revision: str, expected: str, *, more: str = "") -> dict[str, str]:
    """An application that needs the crate at this revision, and whose image, run as its check, expects a greeting."""
    source = f'source = "git+{server.url}?branch=main#{revision}"\n'
    return {
        "Cargo.toml": '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n'
        f'[dependencies]\ngreeting = {{ git = "{server.url}", branch = "main" }}\n',
        "Cargo.lock": "version = 4\n\n"
        '[[package]]\nname = "app"\nversion = "0.1.0"\ndependencies = [\n "greeting",\n]\n\n'
        f'[[package]]\nname = "greeting"\nversion = "0.1.0"\n{source}dependencies = [\n "words",\n]\n\n'
        f'[[package]]\nname = "words"\nversion = "0.2.0"\n{source}',
        "bloomery.toml": '[check]\ncommand = ["app"]\n',
        "src/main.rs": f'fn main() {{\n    assert_eq!(greeting::greeting(), "{expected}");\n}}\n{more}',
    }


def rung(build: dict[str, Any]) -> str:
    """The rung of a build that succeeded, and so whose program found the greeting that it expects."""
    assert build["state"] == "succeeded", build["failure"]
    found: str = build["outcome"]["reuse"]["rung"]
    return found


def compiled(build: dict[str, Any]) -> list[str]:
    found: list[str] = build["outcome"]["reuse"]["compiled"]
    return found
