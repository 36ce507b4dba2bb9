"""The client against the API's own handlers, so that what the fake daemon speaks is what the real one does."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.http.bodies import BodyLimits
from cache.archive_limits import ArchiveLimits
from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.build_records import Accepted
from daemon.builds import BuildRequest, BuildState
from daemon.errors import UnknownTree
from daemon.events import EventKind
from tests.fakes.api import TREE, Daemon, FakeBuilds, running, until
from tests.fakes.terminal import Cli, Ran


class BuildsOfTrees(FakeBuilds):
    """Refuses a tree that was not uploaded, as the real queue does."""

    trees: Any = None

    async def submit(self, request: BuildRequest, idempotency_key: str | None) -> Accepted:
        if request.tree != TREE and await self.trees.tree(Digest.parse(request.tree)) is None:
            raise UnknownTree("upload it")
        return await super().submit(request, idempotency_key)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    made = Daemon(
        directory=tmp_path / "blobs",
        blobs=BlobStore(tmp_path / "blobs"),
        limits=BodyLimits(),
        archive_limits=ArchiveLimits(),
        tokens={},
        builds=BuildsOfTrees(),
    )
    made.builds.trees = made.trees
    async with running(made) as started:
        yield started


async def finish(api: Daemon) -> None:
    """Let the first build have succeeded."""
    like = api.builds.builds_by_id.pop(await api.put_build())
    found = api.builds.builds_by_id["build1"]
    api.builds.builds_by_id["build1"] = replace(
        found, state=BuildState.SUCCEEDED, outcome=like.outcome, finished_at=like.finished_at
    )


Run = Callable[..., Awaitable[Ran]]


@pytest.fixture
def run(cli: Cli, api: Daemon) -> Run:
    async def run(*arguments: str | Path) -> Ran:
        return await asyncio.to_thread(cli, *arguments, BLOOMERY_URL=api.url)

    return run


async def test_build_uploads_follows_and_reports(run: Run, api: Daemon, project: Path):
    (project / "link").symlink_to("src/main.rs")
    (project / "empty").mkdir()
    going = asyncio.create_task(run("build", project))
    await until(lambda: bool(api.builds.builds_by_id))
    await api.events.add("build1", EventKind.LOG, text="   Compiling users v0.1.0")
    await finish(api)
    await api.events.add("build1", EventKind.STATE, state="succeeded", attempt=1)

    ran = await going

    assert (ran.code, ran.out) == (0, "hello:1\n"), ran.err
    assert "Compiling users" in ran.err
    (tree,) = api.trees.kept.values()
    assert [entry.path for entry in tree] == ["Cargo.toml", "empty", "link", "src/main.rs"]
    assert str(tree.digest) == api.builds.builds_by_id["build1"].request.tree


async def test_every_option_is_one_that_the_api_takes(run: Run, api: Daemon, project: Path):
    ran = await run(
        *("build", project, "--detach", "-t", "a=x/a", "-t", "b=x/b", "--features", "a,b", "--no-default-features"),
        *("--profile", "small", "--toolchain", "nightly", "--link", "static", "--directory", "sub", "--project", "p"),
        *("--lineage", "next", "--no-cache", "--check", "/app/a --version"),
    )

    assert (ran.code, ran.out) == (0, "build1\n"), ran.err
    request = api.builds.builds_by_id["build1"].request
    assert [(image.binary, image.tags) for image in request.images] == [("a", ("x/a",)), ("b", ("x/b",))]
    assert (request.features, request.default_features, request.check) == (("a", "b"), False, ("/app/a", "--version"))


async def test_explain_is_understood(run: Run, project: Path):
    ran = await run("explain", project)

    assert ran.code == 0, ran.err
    assert "why not result     this lineage has no earlier build" in ran.out


async def test_builds_are_listed_across_pages_shown_and_cancelled(run: Run, api: Daemon, project: Path):
    for _ in range(3):
        await run("build", project, "--detach")

    assert [each["id"] for each in json.loads((await run("ls", "--json", "--limit", "2")).out)] == ["build3", "build2"]
    assert (await run("cancel", "build1")).code == 0
    assert "cancelled" in (await run("show", "build1")).out
    assert "cancelled" in (await run("ls", "--state", "cancelled")).out


async def test_logs_so_far_end_though_the_build_goes_on(run: Run, api: Daemon, project: Path):
    await run("build", project, "--detach")
    await api.events.add("build1", EventKind.LOG, text="a line")

    assert (await run("logs", "build1")).out == "a line\n"


async def test_image_is_saved(run: Run, api: Daemon, project: Path, tmp_path: Path):
    await run("build", project, "--detach")
    await finish(api)

    ran = await run("image", "save", "build1", "-o", tmp_path / "image.tar")

    assert ran.code == 0, ran.err
    assert (tmp_path / "image.tar").read_bytes() == b"archive of hello"
    assert "binary hello" in (await run("image", "contents", "build1")).out


async def test_image_that_breaks_off_leaves_no_file(run: Run, api: Daemon, project: Path, tmp_path: Path):
    await run("build", project, "--detach")
    await finish(api)
    api.artifacts.failure = RuntimeError("the disk broke")

    ran = await run("image", "save", "build1", "-o", tmp_path / "image.tar")

    assert ran.code == 3
    assert not list(tmp_path.glob("*image.tar*"))  # noqa: ASYNC240 - a directory of two files


async def test_unknown_build_is_a_request_problem(run: Run):
    ran = await run("show", "nope")

    assert ran.code == 2
    assert "(unknown_build)" in ran.err
