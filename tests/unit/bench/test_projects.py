"""What is read of a project, and the edits that scenarios make."""

import itertools
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from bench import edits
from bench.checkout import LONG_AGO, Checkout, Resolver
from bench.project import UnfitProject, read_project
from bench.scenarios import ADDED, MOVED, OTHERS

ROOT = Path(__file__).resolve().parents[3]


def checkout_of(root: Path, to: Path) -> Checkout:
    return Checkout.of(read_project(root), to, map(edits.mark_of, itertools.count(1)))


def test_a_workspace_has_its_binary_and_the_member_that_is_farthest_from_it(workspace: Path):
    project = read_project(workspace)

    assert (project.binary, project.version) == ("app", "0.1.0")
    assert project.main == PurePosixPath("app/src/main.rs")
    assert project.deep is not None
    assert project.deep.name == "far"
    assert [str(each) for each in project.manifests] == [
        "Cargo.toml",
        "app/Cargo.toml",
        "libs/far/Cargo.toml",
        "libs/middle/Cargo.toml",
    ]
    assert {str(path) for path in project.stubs} == {
        "app/src/main.rs",
        "libs/far/src/lib.rs",
        "libs/middle/src/lib.rs",
    }


def test_a_build_script_has_a_stub_only_if_the_manifest_names_it(crate: Path):
    (crate / "build.rs").write_text("fn main() {\n}\n")
    unnamed = read_project(crate).stubs
    manifest = crate / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace("[dependencies]", 'build = "build.rs"\n[dependencies]'))

    assert PurePosixPath("build.rs") not in unnamed
    assert PurePosixPath("build.rs") in read_project(crate).stubs


def test_a_crate_alone_has_no_member_deep_down(crate: Path):
    assert read_project(crate).deep is None


def test_a_binary_with_a_path_of_its_own_is_one_binary(write: Callable[..., Path]):
    manifest = '[package]\nname = "app"\nversion = "0.1.0"\n[[bin]]\nname = "serve"\npath = "src/main.rs"\n'
    root = write(**{"Cargo.toml": manifest, "Cargo.lock": "", "src/main.rs": "", "src/bin/tool.rs": ""})

    assert read_project(root).binary == "serve"
    assert read_project(root, "tool").main == PurePosixPath("src/bin/tool.rs")


@pytest.mark.parametrize(
    ("lost", "why"), [("Cargo.lock", "no Cargo.lock"), ("src/main.rs", "no binary"), ("Cargo.toml", "there is no")]
)
def test_a_directory_that_cannot_be_built_is_said_to_be(crate: Path, lost: str, why: str):
    (crate / lost).unlink()

    with pytest.raises(UnfitProject, match=why):
        read_project(crate)


@pytest.mark.parametrize(
    "line",
    [
        "fn main() {",
        "async fn main() -> std::io::Result<()> {",
        "pub fn main() -> Result<(), Box<dyn std::error::Error>> {",
        "async fn main()\n{",
    ],
)
def test_main_says_a_mark_whatever_it_returns(line: str):
    once = edits.marked_main(f"use a;\n{line}\n    work();\n}}\n", "mark-000001")
    twice = edits.marked_main(once, "mark-000002")

    assert once.index("mark-000001") < once.index("work()")
    assert twice == once.replace("mark-000001", "mark-000002")


def test_a_source_without_main_has_no_place_for_a_mark():
    with pytest.raises(edits.NoPlace):
        edits.marked_main("fn domain() {\n}\n", "mark-000001")


def test_a_library_that_forbids_unsafe_code_is_marked_too():
    marked = edits.marked_library("#![forbid(unsafe_code)]\npub fn far() {}\n", "mark-000001")

    assert "forbid" not in marked
    assert edits.marked_library(marked, "mark-000002").count("mark-000002") == 1


def test_a_bump_finds_the_package_s_own_version_and_no_dependency_s():
    text = '[dependencies.far]\nversion = "7.0.0"\n\n[package]\nname = "app"\nversion = "0.1.9-rc.1"\n'

    assert 'version = "0.1.10-rc.1"' in edits.bumped(text)
    assert 'version = "7.0.0"' in edits.bumped(text)


def test_a_manifest_formatted_anew_says_the_same(workspace: Path):
    text = (workspace / "Cargo.toml").read_text()
    first, second = edits.reformatted(text, 1), edits.reformatted(text, 2)

    assert tomllib.loads(first) == tomllib.loads(second) == tomllib.loads(text)
    assert len({text, first, second}) == 3


@pytest.mark.parametrize("more", ["", "[features]\ntls = []\n"])
def test_a_second_project_has_a_feature_more(more: str):
    found = tomllib.loads(edits.featured(f'[package]\nname = "app"\n{more}', "bench-own"))

    assert found["features"] == {**tomllib.loads(more).get("features", {}), "bench-own": []}


def test_a_second_project_s_program_and_library_keep_their_names():
    text = '[package]\nname = "app"\nversion = "0.1.0"\n'
    named = edits.binary_named(edits.renamed(text, "app-second"), "app")

    assert tomllib.loads(named)["bin"] == [{"name": "app", "path": "src/main.rs"}]
    assert edits.binary_named(named, "other") == named
    renamed = tomllib.loads(edits.library_named(edits.renamed(text, "app-second"), "app"))

    assert (renamed["package"]["name"], renamed["lib"]["name"]) == ("app-second", "app")
    assert edits.library_named('[lib]\nname = "own"\n', "app") == '[lib]\nname = "own"\n'
    assert tomllib.loads(edits.library_named('[lib]\npath = "lib.rs"\n', "app"))["lib"]["name"] == "app"


def test_edits_that_hide_have_the_size_and_time_of_before(crate: Path, tmp_path: Path):
    checkout = checkout_of(crate, tmp_path / "work")
    main = tmp_path / "work/src/main.rs"
    before, text = main.stat(), main.read_text()

    checkout.edit_main_unseen()
    same = main.stat()
    checkout.edit_main_unseen(LONG_AGO)

    assert (same.st_mtime_ns, same.st_size) == (before.st_mtime_ns, before.st_size)
    assert main.stat().st_mtime == LONG_AGO
    assert main.read_text() != text
    assert checkout.expected.mark == "mark-000003"


def test_a_checkout_s_version_is_what_its_program_must_say(workspace: Path, tmp_path: Path, cargo: Resolver):
    checkout = checkout_of(workspace, tmp_path / "work")
    checkout.bump(cargo)

    assert checkout.expected.said == {"bench-mark mark-000001 version 0.1.1", "bench-member mark-000002"}
    assert read_project(workspace).version == "0.1.0"


def test_the_lock_of_before_comes_back_with_its_manifests(crate: Path, tmp_path: Path, cargo: Resolver):
    checkout = checkout_of(crate, tmp_path / "work")
    files = [tmp_path / "work" / name for name in ("Cargo.toml", "Cargo.lock")]
    before = [file.read_text() for file in files]

    checkout.add_dependency(cargo, ADDED)
    changed = [file.read_text() for file in files]
    checkout.lock_back()

    assert changed[0] != before[0]
    assert changed[1] != before[1]
    assert [file.read_text() for file in files] == before


def test_a_dependency_that_is_there_already_is_not_added(crate: Path, tmp_path: Path, cargo: Resolver):
    checkout = checkout_of(crate, tmp_path / "work")
    checkout.add_dependency(cargo, {"hex": "0.4.3"})

    with pytest.raises(edits.NoPlace):
        checkout.add_dependency(cargo, {"hex": "0.4.3"})


def test_a_second_project_has_another_package_and_a_branch_the_same(crate: Path, tmp_path: Path, cargo: Resolver):
    checkout = checkout_of(crate, tmp_path / "work")
    branch = checkout.branch(tmp_path / "branch", "fix")
    second = checkout.branch(tmp_path / "second", "main")
    second.rename(cargo, "app-second")
    branch.edit_main()

    assert (branch.project.package.name, branch.lineage) == ("app", "fix")
    assert (second.project.package.name, second.project.binary) == ("app-second", "app")
    assert checkout.expected.mark == second.expected.mark != branch.expected.mark


def test_what_is_added_is_never_what_makes_other_locks():
    assert not set(ADDED) & (set(OTHERS) | set(MOVED))
    assert len(OTHERS) >= 20


@pytest.mark.parametrize("folder", ["examples/hyper-hello", "bench/projects/actix-hello", "bench/projects/letters"])
def test_the_projects_of_the_ladder_can_be_marked(folder: str, tmp_path: Path):
    checkout = checkout_of(ROOT / folder, tmp_path / "work")

    assert checkout.main_mark in (tmp_path / "work" / checkout.project.main).read_text()
    assert (checkout.project.deep is not None) == folder.endswith("letters")
