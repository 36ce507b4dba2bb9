"""Which packages from outside a build's own packages name, from manifests and a lock."""

from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.manifests.rust.workspace import read_workspace
from cache.manifests.source import TreeFiles
from daemon.ecosystems.rust.direct import direct
from tests.fakes.rust_projects import Files, crate, lock, locked, tree_of

APP = locked("app", "0.1.0", "bytes 1.0.0", "bytes 2.0.0", "util", source="")
UTIL = locked("util", "0.1.0", "cc", "rand", "syn", source="")
OUTSIDE = (
    locked("bytes", "1.0.0"),
    locked("bytes", "2.0.0"),
    locked("cc", "1.0.0", "jobs"),
    locked("jobs", "1.0.0"),
    locked("rand", "1.0.0"),
    locked("syn", "1.0.0"),
)
NAMED = '[dependencies]\nbytes = "1"\nolder = { package = "bytes", version = "2" }\nutil = { path = "../util" }\n'


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def workspace(util: str, app: str = NAMED) -> Files:
    return {
        "Cargo.toml": '[workspace]\nmembers = ["app", "util"]\nresolver = "2"\n[workspace.dependencies]\nrand = "1"\n',
        "Cargo.lock": lock(APP, UTIL, *OUTSIDE),
        "app/Cargo.toml": crate("app", "0.1.0", app),
        "app/src/main.rs": "fn main() {}\n",
        "util/Cargo.toml": crate("util", "0.1.0", util),
        "util/src/lib.rs": "",
    }


def named(blobs: BlobStore, files: Files, *selected: str) -> set[str] | None:
    found = read_workspace(TreeFiles(tree_of(blobs, files), blobs))
    assert found.lock is not None
    packages = direct(found.packages, selected, found.lock)
    return None if packages is None else {f"{package.name} {package.version}" for package in packages}


def test_what_is_selected_and_what_it_stands_on_in_the_tree(blobs: BlobStore):
    files = workspace('[dependencies]\nrand = { workspace = true }\n[build-dependencies]\ncc = "1"\n')
    assert named(blobs, files, "app") == {"bytes 1.0.0", "bytes 2.0.0", "rand 1.0.0", "cc 1.0.0"}
    assert named(blobs, files, "util") == {"rand 1.0.0", "cc 1.0.0"}


@pytest.mark.parametrize(
    "table",
    [
        '[dependencies]\nrand = { version = "1", optional = true }\n',
        '[target."cfg(windows)".dependencies]\nrand = "1"\n',
        '[dev-dependencies]\nrand = "1"\n',
    ],
    ids=["optional", "of a target", "of tests"],
)
def test_what_cargo_may_not_want_is_left_out(blobs: BlobStore, table: str):
    assert named(blobs, workspace(table), "util") == set()


def test_a_lock_that_lacks_one_tells_nothing(blobs: BlobStore):
    assert named(blobs, workspace('[dependencies]\nserde = "1"\n'), "app") is None
    assert named(blobs, {**workspace(""), "Cargo.lock": lock(UTIL)}, "app") is None
