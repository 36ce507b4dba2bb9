"""The Dockerfiles of the alternatives, as people would write them for a project."""

from pathlib import Path

from bench.contestants.dockerfiles import Base, chapter, chef, mounts
from bench.project import read_project

BASE = Base(image="toolchain", nonce="walk-1")


def test_the_chapter_s_copies_manifests_before_sources_and_removes_what_its_stubs_made(workspace: Path):
    text = chapter(read_project(workspace), BASE)
    steps = [line.partition(" ")[0] for line in text.splitlines()]

    assert text.index("COPY libs/far/Cargo.toml libs/far/") < text.index("COPY . .")
    assert "printf '%s' \"fn main() {}\" > app/src/main.rs" in text
    assert "target/release/deps/libfar*" in text
    assert steps.count("RUN") == 2
    assert steps.count("FROM") == 2


def test_cargo_chef_cooks_before_the_sources_are_copied(workspace: Path):
    text = chef(read_project(workspace), BASE)

    assert text.index("chef cook") < text.rindex("COPY . .")
    assert text.count("--package app") == 2


def test_cache_mounts_are_of_one_walk_and_the_target_directory_of_one_project(crate: Path):
    one, two = (mounts(read_project(crate), BASE, line) for line in ("one", "two"))

    assert "id=walk-1-registry" in one
    assert "id=walk-1-one-target" in one
    assert "id=walk-1-two-target" in two


def test_every_stage_with_cargo_starts_anew_for_each_walk(crate: Path):
    project = read_project(crate)

    for text in (chapter(project, BASE), chef(project, BASE), mounts(project, BASE, "one")):
        assert text.count("FROM toolchain") == text.count("BENCH_WALK=walk-1")
