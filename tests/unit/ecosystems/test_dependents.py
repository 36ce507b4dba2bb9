"""Which packages stand on which, from manifests and a lock."""

from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.manifests.rust.workspace import read_workspace
from cache.manifests.source import TreeFiles
from daemon.ecosystems.rust.dependents import Edge, edges
from tests.fakes.rust_projects import PATCHED, Files, crate, lock, locked, tree_of


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def of(blobs: BlobStore, files: Files) -> set[Edge]:
    workspace = read_workspace(TreeFiles(tree_of(blobs, files), blobs))
    assert workspace.lock is not None
    return set(edges(workspace.packages, workspace.lock))


def workspace(app: str, util: str = "", *locks: str, package: str = "") -> Files:
    return {
        "Cargo.toml": '[workspace]\nmembers = ["app", "util"]\nresolver = "2"\n',
        "Cargo.lock": lock(*locks),
        "app/Cargo.toml": crate("app", "0.1.0", app),
        "app/src/main.rs": "fn main() {}\n",
        "util/Cargo.toml": crate("util", "0.1.0", util, package),
        "util/src/lib.rs": "",
    }


APP = locked("app", "0.1.0", "util", source="")
UTIL = locked("util", "0.1.0", source="")
PATH = 'util = { path = "../util" }\n'


def test_a_dependency_on_a_member_is_an_edge(blobs: BlobStore) -> None:
    assert of(blobs, workspace(f"[dependencies]\n{PATH}", "", APP, UTIL)) == {Edge("app", "util")}


def test_a_renamed_dependency_is_that_of_the_package(blobs: BlobStore) -> None:
    renamed = '[dependencies]\nother = { path = "../util", package = "util" }\n'

    assert of(blobs, workspace(renamed, "", APP, UTIL)) == {Edge("app", "util")}


def test_a_development_dependency_is_none(blobs: BlobStore) -> None:
    assert of(blobs, workspace(f"[dev-dependencies]\n{PATH}", "", APP, UTIL)) == set()


def test_a_build_dependency_reaches_the_script(blobs: BlobStore) -> None:
    build = workspace(f"[build-dependencies]\n{PATH}", "", APP, UTIL)

    assert of(blobs, build) == {Edge("app", "util", script=True)}


def test_a_package_with_links_tells_the_scripts_that_stand_on_it(blobs: BlobStore) -> None:
    linking = workspace(f"[dependencies]\n{PATH}", "", APP, UTIL, package='links = "util"\nbuild = "build.rs"')

    assert of(blobs, {**linking, "util/build.rs": "fn main() {}\n"}) == {Edge("app", "util", script=True)}


def test_packages_from_outside_are_no_matter_unless_they_stand_on_the_tree(blobs: BlobStore) -> None:
    outside = locked("bytes", "1.0.0", "serde", checksum="0" * 64), locked("serde", "1.0.0", checksum="0" * 64)
    files = workspace('[dependencies]\nbytes = "1"\n', "", locked("app", "0.1.0", "bytes", source=""), UTIL, *outside)

    assert of(blobs, files) == set()


def test_what_stands_on_a_patched_package_is_reached_through_others(blobs: BlobStore) -> None:
    assert of(blobs, PATCHED) == {Edge("app", "bytes", script=True), Edge("bytes", "serde", script=True)}


def test_a_package_from_outside_of_a_member_s_name_is_another(blobs: BlobStore) -> None:
    old = locked("util", "9.0.0", checksum="0" * 64)
    bytes_ = locked("bytes", "1.0.0", "util 9.0.0", checksum="0" * 64)
    app = locked("app", "0.1.0", "bytes", "util 0.1.0", source="")
    files = workspace(f'[dependencies]\nbytes = "1"\n{PATH}', "", app, UTIL, bytes_, old)

    assert of(blobs, files) == {Edge("app", "util")}
