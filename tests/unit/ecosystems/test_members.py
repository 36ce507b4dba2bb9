"""What is put into a sandbox: who owns it, how old it is, and what is left out."""

import tomllib
from collections.abc import Iterable

import pytest

from cache.blobs import BlobStore
from daemon.ecosystems.kept import Fetched, FetchedFile
from daemon.ecosystems.rust.keys import Host
from daemon.ecosystems.rust.members import fetched_members, source_members
from daemon.ecosystems.rust.project import RustProject
from daemon.ecosystems.step import SOURCE_TIME
from daemon.tarball import Member
from tests.fakes.rust_projects import BYTES, SIMPLE, Executable, Link, crate, lock, locked, planned, tree_of

BUILDER = 10001
WORKSPACE = {
    "Cargo.toml": '[workspace]\nmembers = ["app", "util"]\nresolver = "2"\n',
    "Cargo.lock": lock(locked("app", "0.3.0", "bytes", "util", source=""), locked("util", "0.1.0", source=""), BYTES),
    "app/Cargo.toml": crate("app", "0.3.0", '[dependencies]\nbytes = "1"\nutil = { path = "../util" }\n'),
    "app/build.rs": "fn main() { panic!() }\n",
    "app/src/main.rs": "fn main() { util::secret() }\n",
    "util/Cargo.toml": crate("util", "0.1.0"),
    "util/src/lib.rs": "pub fn secret() {}\n",
    "docs/notes.md": "nothing\n",
}


def by_path(members: Iterable[Member]) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for member in members:
        path = member.path.strip("/")
        assert path not in found, f"{path} is put twice"
        parent = path.rpartition("/")[0]
        assert not parent or parent in found or parent == "cargo", f"{path} comes before its directory"
        found[path] = member
    return found


def content(member: Member) -> bytes:
    if member.content is not None:
        return member.content
    assert member.source is not None
    return member.source.read_bytes()


def every_put(project: RustProject, fetched: Fetched) -> list[Member]:
    puts = [project.cooking.step(fetched), project.compiling.step(), project.fetching.lock_step().step]
    step = project.fetching.step(Fetched())
    return [member for put in (*puts, *([step.step] if step else [])) for member in put.members]


def test_everything_that_is_put_has_the_one_constant_time_of_sources(blobs: BlobStore):
    """Law 1: time plays no part."""
    files = {**SIMPLE, "run.sh": Executable("#!/bin/sh\n"), "link": Link("src/main.rs"), "src/deep/er/x.rs": ""}
    archive = blobs.put(b"an archive")
    fetched = Fetched(
        files=(FetchedFile(path="cargo/registry/cache/index/bytes-1.0.0.crate", digest=str(archive), size=10),),
        archives=(str(archive),),
    )

    members = every_put(planned(blobs, files), fetched)

    assert {member.mtime for member in members} == {SOURCE_TIME}


def test_the_sources_belong_to_root_and_can_be_read_and_written_by_all(blobs: BlobStore):
    files = {**SIMPLE, "run.sh": Executable("#!/bin/sh\n"), "link": Link("src/main.rs")}

    put = by_path(planned(blobs, files).compiling.step().members)

    ours = {path: member for path, member in put.items() if path.startswith("work")}
    assert {(member.uid, member.gid) for member in ours.values()} == {(0, 0)}
    assert {path: oct(member.mode) for path, member in ours.items()} == {
        "work": "0o777",
        "work/src": "0o777",
        "work/Cargo.toml": "0o666",
        "work/Cargo.lock": "0o666",
        "work/src/main.rs": "0o666",
        "work/run.sh": "0o777",
        "work/link": "0o777",
    }
    assert put["work/link"].target == "src/main.rs"
    assert content(put["work/src/main.rs"]) == b"fn main() {}\n"


def test_the_skeleton_belongs_to_the_builder_who_takes_it_out_again(blobs: BlobStore):
    put = by_path(planned(blobs, WORKSPACE).cooking.step(Fetched()).members)

    ours = {path: member for path, member in put.items() if path.startswith("work")}
    assert {(member.uid, member.gid) for member in ours.values()} == {(BUILDER, BUILDER)}
    assert all(member.mode in {0o755, 0o644} for member in ours.values())


def test_the_skeleton_holds_no_line_of_the_sources(blobs: BlobStore):
    """Law 6: no first-party code runs before the layer is made."""
    put = by_path(planned(blobs, WORKSPACE).cooking.step(Fetched()).members)

    texts = {path: content(member) for path, member in put.items() if member.content is not None or member.source}
    assert not any(b"secret()" in text or b"panic!" in text for text in texts.values())
    assert "work/docs/notes.md" not in put
    assert "work/app/build.rs" not in put
    assert b"bloomery.stub" in texts["work/Cargo.lock"]
    assert b'"0.3.0"' not in texts["work/app/Cargo.toml"]


@pytest.mark.parametrize("place", [".cargo/config.toml", ".cargo/config", "sub/.cargo/config.toml"])
def test_the_projects_own_cargo_configuration_is_left_out_of_the_sources(blobs: BlobStore, place: str):
    tree = tree_of(blobs, {**SIMPLE, place: '[build]\nrustc-wrapper = "evil"\n', "kept/config.toml": "x = 1\n"})

    put = by_path(source_members(tree, blobs))

    assert "work/kept/config.toml" in put
    assert not any(".cargo" in path for path in put)


def test_what_is_honoured_of_the_configuration_is_in_cargo_home_for_cook_and_compile(blobs: BlobStore):
    files = {**SIMPLE, ".cargo/config.toml": '[build]\nrustflags = ["-C", "debuginfo=1"]\n'}
    project = planned(blobs, files)

    for step in (project.cooking.step(Fetched()), project.compiling.step()):
        put = {member.path: member for member in step.members}
        assert b"debuginfo=1" in content(put["cargo/config.toml"])


def test_the_step_with_the_network_gets_a_configuration_of_the_daemons_own(blobs: BlobStore):
    files = {
        **SIMPLE,
        ".cargo/config.toml": '[build]\nrustflags = ["-C", "debuginfo=1"]\n[registries.own]\nindex = "sparse+https://r/"\n',
    }
    host = Host(mirrors={"crates-io": "sparse+https://mirror.example.org/"}, cpu="x")
    step = planned(blobs, files, host=host).fetching.step(Fetched())

    assert step is not None
    put = {member.path: member for member in step.step.members}
    told = tomllib.loads(content(put["cargo/config.toml"]).decode())
    assert set(told) == {"registries", "source"}
    assert told["source"]["crates-io"] == {"replace-with": "bloomery-crates-io"}
    assert told["source"]["bloomery-crates-io"] == {"registry": "sparse+https://mirror.example.org/"}


def test_a_lock_that_was_made_is_put_beside_the_root_manifest(blobs: BlobStore):
    files = {f"service/{path}": text for path, text in SIMPLE.items() if path != "Cargo.lock"}
    made = str(SIMPLE["Cargo.lock"])

    put = by_path(planned(blobs, files, made_lock=made, directory="service").compiling.step().members)

    assert content(put["work/service/Cargo.lock"]) == made.encode()


def test_what_was_fetched_is_the_builders_to_unpack(blobs: BlobStore):
    crate_file, repository = blobs.put(b"a crate"), blobs.put(b"a tar")
    path = "cargo/registry/cache/index.example-1949cf8c6b5b557f/bytes-1.0.0.crate"
    fetched = Fetched(
        files=(FetchedFile(path=path, digest=str(crate_file), size=7),),
        archives=(str(repository),),
    )

    put = by_path(fetched_members(fetched, blobs))

    assert {member.uid for member in put.values()} == {BUILDER}
    assert content(put[path]) == b"a crate"
    assert content(put["cargo/fetched-0.tar"]) == b"a tar"


def test_files_that_a_path_dependency_has_and_that_cannot_be_stubs_are_put_as_they_are(blobs: BlobStore):
    """Law 6: a patched package that a dependency needs is cooked for real."""
    files = {
        "Cargo.toml": crate(
            "app", "0.3.0", '[dependencies]\nbytes = "1"\n[patch.crates-io]\nserde = { path = "patched" }\n'
        ),
        "Cargo.lock": lock(
            locked("app", "0.3.0", "bytes", source=""),
            locked("bytes", "1.0.0", "serde", checksum="0" * 64),
            locked("serde", "1.0.9", source=""),
        ),
        "src/main.rs": "fn main() {}\n",
        "patched/Cargo.toml": crate("serde", "1.0.9"),
        "patched/src/lib.rs": "pub fn really() {}\n",
        "patched/tool.sh": Executable("#!/bin/sh\n"),
    }
    project = planned(blobs, files)

    put = by_path(project.cooking.step(Fetched()).members)

    assert content(put["work/patched/src/lib.rs"]) == b"pub fn really() {}\n"
    assert (put["work/patched/tool.sh"].mode, put["work/patched/tool.sh"].uid) == (0o755, BUILDER)
    assert project.plan.private == "app"
