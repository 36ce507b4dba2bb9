"""Real cargo on skeletons, with no network: it accepts their locks, and what it compiled of dependencies stays fresh.

Each scenario is a project; its crates from outside are vendored or come from a local git repository. The skeleton is
built in one directory with one target directory, then the real sources are put over it and built, as cook and compile
do.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import tomli_w

from cache.manifests.rust.lock import read_lock, write_lock
from cache.manifests.rust.selection import Selection, select
from cache.manifests.rust.skeleton import Skeleton, skeleton
from cache.manifests.rust.stub_versions import Masking
from cache.manifests.rust.workspace import Workspace, read_workspace
from tests.fakes.source_files import InMemoryFiles

VENDORED = '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "vendor"\n'
MAIN = "fn main() {}\n"


def crate(name: str, version: str = "1.0.0", more: str = "", *, package: str = "") -> str:
    return f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n{package}\n{more}'


def vendor(name: str, version: str, more: str = "", source: str = "") -> dict[str, str]:
    place = f"vendor/{name}-{version}"
    return {
        f"{place}/Cargo.toml": crate(name, version, more),
        f"{place}/src/lib.rs": source or f'pub fn name() -> &\'static str {{ "{name} {version}" }}\n',
        f"{place}/.cargo-checksum.json": '{"files":{}}',
    }


@dataclass(frozen=True)
class Message:
    """One artefact in cargo's words: its package as `name version`, whether it was fresh."""

    package: str
    fresh: bool


class Project:
    """A project in a directory, with a CARGO_HOME of its own that can reach nothing."""

    def __init__(self, place: Path) -> None:
        self.work = place / "work"
        self.home = place / "home"
        self.target = place / "target"
        self.home.mkdir(parents=True)

    def put(self, files: Mapping[str, str | bytes]) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        InMemoryFiles(files).write(self.work)

    def cargo(self, *arguments: str, directory: str = "") -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "CARGO_HOME": str(self.home),
            "CARGO_TARGET_DIR": str(self.target),
            "CARGO_INCREMENTAL": "0",
            "CARGO_TERM_COLOR": "never",
        }
        environment |= {name: os.environ[name] for name in ("RUSTUP_HOME", "RUSTUP_TOOLCHAIN") if name in os.environ}
        command = ["cargo", *arguments]
        return subprocess.run(
            command, cwd=self.work / directory, env=environment, capture_output=True, text=True, check=False
        )

    def build(self, selection: Selection, directory: str = "") -> list[Message]:
        """`cargo build` as cook and compile run it; it must succeed."""
        built = self.cargo(
            "build", "--locked", "--offline", "--message-format=json", *selection.arguments(), directory=directory
        )
        assert built.returncode == 0, built.stderr
        messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
        return [
            Message(package(message["package_id"]), message["fresh"])
            for message in messages
            if message["reason"] == "compiler-artifact"
        ]


def package(identity: str) -> str:
    """`name version` of a package id such as `path+file:///w/users#0.1.0` or `…#users@0.1.0`."""
    place, _, rest = identity.partition("#")
    if "@" in rest:
        return rest.replace("@", " ")
    return f"{place.partition('?')[0].rpartition('/')[2].removesuffix('.git')} {rest}"


@dataclass(frozen=True)
class Cooked:
    """What came of a scenario."""

    workspace: Workspace
    skeleton: Skeleton
    stubs: list[Message]
    real: list[Message]
    project: Project

    def stub_packages(self) -> set[str]:
        return {message.package for message in self.stubs}

    def fresh(self) -> set[str]:
        return {message.package for message in self.real if message.fresh}

    def compiled(self) -> set[str]:
        return {message.package for message in self.real if not message.fresh}


def cook(
    place: Path,
    files: Mapping[str, str | bytes],
    *binaries: str,
    directory: str = "",
    lock_version: int | None = None,
) -> Cooked:
    """Make the real lock with cargo, build the skeleton with it, then the real sources over it."""
    project = Project(place)
    project.put(files)
    made = project.cargo("generate-lockfile", "--offline", directory=directory)
    assert made.returncode == 0, made.stderr
    root = read_workspace(InMemoryFiles.of(project.work), directory, str(project.work))
    lock_file = project.work / root.lock_path
    if lock_version is not None:
        lock_file.write_bytes(
            write_lock(replace(read_lock(root.lock_path, lock_file.read_bytes()), version=lock_version))
        )
    sources = InMemoryFiles.of(project.work)
    workspace = read_workspace(sources, directory, str(project.work))
    chosen = select(workspace, binaries)
    (project.home / "config.toml").write_text(tomli_w.dumps(workspace.config.values))

    stubbed = skeleton(workspace)
    project.put({**stubbed.files, **{path: sources.read(path) for path in stubbed.verbatim}})
    stubs = project.build(chosen, workspace.root)
    assert (project.work / workspace.lock_path).read_bytes() == stubbed.files[workspace.lock_path]

    project.put({path: sources.read(path) for path in sources.paths() if not path.endswith(".cargo/config.toml")})
    real = project.build(chosen, workspace.root)
    return Cooked(workspace, stubbed, stubs, real, project)


WORKSPACE = {
    "Cargo.toml": """
[workspace]
members = ["crates/*", "tools/gen"]
exclude = ["crates/excluded"]
resolver = "2"
[workspace.package]
version = "3.1.4"
edition = "2021"
[workspace.dependencies]
model = { path = "crates/model", version = "3.1" }
leaf = "1.0"
[profile.release.package.model]
opt-level = 1
""",
    "crates/users/Cargo.toml": """
[package]
name = "users"
version.workspace = true
edition.workspace = true
default-run = "users"
description = "Users"
[features]
default = ["extra"]
extra = ["dep:leaf"]
[dependencies]
shape = { package = "model", path = "../model", version = "3" }
derive-it = { path = "../derive-it" }
leaf = { workspace = true, optional = true }
[target.'cfg(unix)'.dependencies]
native = { path = "../native", version = "=0.3.0" }
[target.'cfg(windows)'.dependencies]
cshape = { path = "../cshape" }
[dev-dependencies]
users = { path = ".", features = ["extra"] }
suite = { path = "../suite" }
[lints.rust]
unsafe_code = "forbid"
[[bin]]
name = "users"
path = "src/main.rs"
[[bin]]
name = "admin"
required-features = ["extra"]
""",
    "crates/users/src/main.rs": 'fn main() { println!("{} {}", shape::NAME, leaf::name()); }\n',
    "crates/users/src/bin/admin.rs": MAIN,
    "crates/users/src/bin/other/main.rs": MAIN,
    "crates/users/src/lib.rs": "pub use shape::NAME;\n",
    "crates/users/build.rs": 'fn main() { println!("cargo:rustc-env=BUILT=yes"); }\n',
    "crates/users/benches/speed.rs": MAIN,
    "crates/model/Cargo.toml": (
        '[package]\nname = "model"\nversion.workspace = true\nedition.workspace = true\n'
        "[dependencies]\nleaf.workspace = true\n"
    ),
    "crates/model/src/lib.rs": 'pub const NAME: &str = env!("CARGO_PKG_VERSION");\n',
    "crates/derive-it/Cargo.toml": crate("derive-it", "0.1.0", "[lib]\nproc-macro = true\n"),
    "crates/derive-it/src/lib.rs": "",
    "crates/native/Cargo.toml": crate("native", "0.3.0", package='links = "z"\nbuild = "make.rs"'),
    "crates/native/make.rs": MAIN,
    "crates/native/src/lib.rs": "",
    "crates/cshape/Cargo.toml": crate("cshape", "0.1.0", '[lib]\ncrate-type = ["cdylib", "staticlib"]\n'),
    "crates/cshape/src/lib.rs": "",
    "crates/suite/Cargo.toml": crate("suite", "0.0.1"),
    "crates/suite/tests/all.rs": "#[test]\nfn passes() {}\n",
    "tools/gen/Cargo.toml": crate("gen", "0.1.0", '[dependencies]\nmodel = { path = "../../crates/model" }\n'),
    "tools/gen/src/gen.rs": MAIN,
    "tools/gen/src/main.rs": "extern crate model;\n" + MAIN,
    ".cargo/config.toml": VENDORED,
    **vendor("leaf", "1.0.3"),
}


@pytest.mark.parametrize("lock_version", [1, 2, 3, 4])
def test_a_workspace_of_many_shapes_is_cooked_from_stubs_and_its_dependencies_stay_fresh(
    tmp_path: Path, lock_version: int
):
    cooked = cook(tmp_path, WORKSPACE, "users", "admin", lock_version=lock_version)
    assert cooked.stub_packages() == {
        "leaf 1.0.3",
        *(f"{name} 0.0.0-bloomery.stub" for name in ("users", "model", "derive-it", "native")),
    }
    assert cooked.fresh() == {"leaf 1.0.3"}
    assert cooked.compiled() == {"users 3.1.4", "model 3.1.4", "derive-it 0.1.0", "native 0.3.0"}
    ran = subprocess.run([cooked.project.target / "release/users"], capture_output=True, text=True, check=True)
    assert ran.stdout == "3.1.4 leaf 1.0.3\n"


def test_every_member_can_be_built_from_the_skeleton(tmp_path: Path):
    cooked = cook(tmp_path, WORKSPACE, "users")
    cooked.project.put(
        {**cooked.skeleton.files, **{p: WORKSPACE[p] for p in cooked.skeleton.verbatim}},
    )
    built = cooked.project.cargo("build", "--workspace", "--locked", "--offline")
    assert built.returncode == 0, built.stderr


def test_no_stub_survives_under_the_name_of_its_real_package(tmp_path: Path):
    cooked = cook(tmp_path, WORKSPACE, "users")
    assert not any("bloomery" in message.package for message in cooked.real)
    ran = cooked.project.cargo("run", "--release", "--locked", "--offline", "-p", "users", "--bin", "users")
    assert ran.stdout == "3.1.4 leaf 1.0.3\n"


def test_a_path_dependency_beside_the_root_inherits_from_its_own_workspace(tmp_path: Path):
    files = {
        "app/Cargo.toml": crate(
            "app", "0.1.0", '[dependencies]\nshared = { path = "../libs/shared", version = "2" }\n'
        ),
        "app/src/main.rs": "fn main() { shared::hello() }\n",
        "libs/Cargo.toml": (
            '[workspace]\nmembers = ["shared", "unrelated"]\n[workspace.package]\nversion = "2.5.0"\n'
            '[workspace.dependencies]\nleaf = "1"\n'
        ),
        "libs/shared/Cargo.toml": (
            '[package]\nname = "shared"\nversion.workspace = true\nedition = "2021"\n'
            "[dependencies]\nleaf.workspace = true\n"
        ),
        "libs/shared/src/lib.rs": "pub fn hello() { leaf::name(); }\n",
        "libs/unrelated/Cargo.toml": crate("unrelated"),
        "libs/unrelated/src/lib.rs": "",
        ".cargo/config.toml": VENDORED,
        **vendor("leaf", "1.0.0"),
    }
    cooked = cook(tmp_path, files, directory="app")
    assert cooked.stub_packages() == {"leaf 1.0.0", "shared 0.0.0-bloomery.stub", "app 0.0.0-bloomery.stub"}
    assert cooked.fresh() == {"leaf 1.0.0"}
    assert cooked.compiled() == {"shared 2.5.0", "app 0.1.0"}
    assert "libs/unrelated/Cargo.toml" not in cooked.skeleton.files


@pytest.mark.parametrize("lock_version", [3, 4])
def test_a_member_named_and_numbered_like_a_crate_from_outside(tmp_path: Path, lock_version: int):
    files = {
        "Cargo.toml": '[workspace]\nmembers = ["users", "app"]\nresolver = "2"\n',
        "users/Cargo.toml": crate("users", "1.0.0"),
        "users/src/lib.rs": "",
        "app/Cargo.toml": crate(
            "app",
            "0.1.0",
            '[dependencies]\nusers = { path = "../users", version = "1" }\n'
            'theirs = { package = "users", version = "1" }\nolder = { package = "users", version = "0.9" }\n',
        ),
        "app/src/main.rs": "fn main() { theirs::name(); older::name(); }\n",
        ".cargo/config.toml": VENDORED,
        **vendor("users", "1.0.0"),
        **vendor("users", "0.9.0"),
    }
    cooked = cook(tmp_path, files, lock_version=lock_version)
    assert cooked.stub_packages() == {
        "users 1.0.0",
        "users 0.9.0",
        "users 0.0.0-bloomery.stub",
        "app 0.0.0-bloomery.stub",
    }
    assert "users 0.9.0" in cooked.fresh()


def test_a_binary_of_a_package_that_is_named_like_its_own_dependency(tmp_path: Path):
    files = {
        "Cargo.toml": crate("users", "0.1.0", '[dependencies]\ntheirs = { package = "users", version = "1" }\n'),
        "src/main.rs": "fn main() { theirs::name(); }\n",
        ".cargo/config.toml": VENDORED,
        **vendor("users", "1.0.0"),
    }
    cooked = cook(tmp_path, files, "users")
    assert cooked.stub_packages() == {"users 1.0.0", "users 0.0.0-bloomery.stub"}
    assert cooked.fresh() == {"users 1.0.0"}


def test_a_patch_that_only_members_need_is_a_stub_that_still_satisfies_them(tmp_path: Path):
    files = {
        "Cargo.toml": crate(
            "app",
            "0.1.0",
            '[dependencies]\nleaf = "1.2"\nother = "1"\n[patch.crates-io]\nleaf = { path = "forks/leaf" }\n'
            'unused = { path = "forks/unused" }\n',
        ),
        "src/main.rs": "fn main() { leaf::forked(); }\n",
        "forks/leaf/Cargo.toml": crate("leaf", "1.2.3"),
        "forks/leaf/src/lib.rs": "pub fn forked() {}\n",
        "forks/unused/Cargo.toml": crate("unused", "7.0.0"),
        "forks/unused/src/lib.rs": "",
        ".cargo/config.toml": VENDORED,
        **vendor("leaf", "1.2.0"),
        **vendor("other", "1.0.0"),
        **vendor("unused", "1.0.0"),
    }
    cooked = cook(tmp_path, files)
    assert cooked.skeleton.unstubbable == ()
    assert cooked.stub_packages() == {"other 1.0.0", "leaf 1.2.3+bloomery.stub", "app 0.0.0-bloomery.stub"}
    assert cooked.compiled() == {"leaf 1.2.3", "app 0.1.0"}


def test_a_patch_under_a_crate_from_outside_is_cooked_for_real(tmp_path: Path):
    files = {
        "Cargo.toml": """
[workspace]
members = [".", "base"]
[workspace.package]
version = "1.2.3"
license = "MIT"
[workspace.lints.rust]
unsafe_code = "forbid"
[package]
name = "app"
version = "0.1.0"
edition = "2021"
[dependencies]
outer = "1"
[patch.crates-io]
leaf = { path = "forks/leaf" }
""",
        "src/main.rs": "fn main() { outer::name(); }\n",
        "forks/leaf/Cargo.toml": (
            '[package]\nname = "leaf"\nversion.workspace = true\nlicense.workspace = true\nedition = "2021"\n'
            'readme = "README.md"\n[lints]\nworkspace = true\n'
            '[dependencies]\nbase = { path = "../../base", version = "1" }\n'
        ),
        "forks/leaf/src/lib.rs": 'pub fn forked() -> &\'static str { base::BASE; include_str!("text.txt") }\n',
        "forks/leaf/src/text.txt": "text",
        "forks/leaf/README.md": "Read me.",
        "base/Cargo.toml": crate("base", "1.9.0"),
        "base/src/lib.rs": "pub const BASE: u8 = 1;\n",
        ".cargo/config.toml": VENDORED,
        **vendor("leaf", "1.0.0"),
        **vendor("outer", "1.0.0", '[dependencies]\nleaf = "1"\n', "pub fn name() { leaf::forked(); }\n"),
    }
    cooked = cook(tmp_path, files)
    assert [package.name for package in cooked.skeleton.unstubbable] == ["base", "leaf"]
    assert cooked.skeleton.private
    assert "forks/leaf/src/text.txt" in cooked.skeleton.verbatim
    assert cooked.stub_packages() == {"outer 1.0.0", "leaf 1.2.3", "base 1.9.0", "app 0.0.0-bloomery.stub"}


def git(place: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=place, check=True, capture_output=True)


def test_a_git_dependency_keeps_its_revision_in_the_skeletons_lock(tmp_path: Path):
    repository = tmp_path / "theirs"
    InMemoryFiles({"Cargo.toml": crate("theirs", "0.4.0"), "src/lib.rs": "pub fn hi() {}\n"}).write(repository)
    git(repository, "init", "-q")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "first")
    files = {
        "Cargo.toml": crate(
            "app", "0.1.0", f'[dependencies]\ntheirs = {{ git = "file://{repository}", branch = "main" }}\n'
        ),
        "src/main.rs": "fn main() { theirs::hi() }\n",
    }
    project = Project(tmp_path / "p")
    project.put(files)
    assert project.cargo("generate-lockfile").returncode == 0
    sources = InMemoryFiles.of(project.work)
    workspace = read_workspace(sources, "", str(project.work))
    assert workspace.lock is not None
    (source,) = workspace.lock.git_sources()
    assert (source.url, source.reference, len(source.revision)) == (f"file://{repository}", "branch=main", 40)
    stubbed = skeleton(workspace)
    project.put(stubbed.files)
    assert {m.package for m in project.build(select(workspace))} == {"theirs 0.4.0", "app 0.0.0-bloomery.stub"}
    project.put({path: sources.read(path) for path in sources.paths()})
    assert {m.package for m in project.build(select(workspace)) if m.fresh} == {"theirs 0.4.0"}
    assert not stubbed.private


def test_a_real_version_that_is_the_stubs_gets_another_stub(tmp_path: Path):
    files = {
        "Cargo.toml": crate("app", "0.0.0-bloomery.stub"),
        "src/main.rs": 'fn main() { println!("real") }\n',
    }
    cooked = cook(tmp_path, files)
    assert cooked.stub_packages() == {"app 0.0.0-bloomery.stub.1"}
    ran = subprocess.run([cooked.project.target / "release/app"], capture_output=True, text=True, check=True)
    assert ran.stdout == "real\n"


def test_two_packages_of_one_name_are_told_apart(tmp_path: Path):
    files = {
        "Cargo.toml": crate(
            "app",
            "0.1.0",
            '[dependencies]\none = { package = "twin", path = "one" }\ntwo = { package = "twin", path = "two" }\n'
            '[workspace]\nexclude = ["two"]\n',
        ),
        "src/main.rs": "fn main() { one::one(); two::two(); }\n",
        "one/Cargo.toml": crate("twin", "1.0.0"),
        "one/src/lib.rs": "pub fn one() {}\n",
        "two/Cargo.toml": crate("twin", "2.0.0"),
        "two/src/lib.rs": "pub fn two() {}\n",
    }
    cooked = cook(tmp_path, files)
    stub = "0.0.0-bloomery.stub"
    assert cooked.stub_packages() == {f"app {stub}", f"twin {stub}", f"twin {stub}.1"}
    assert cooked.compiled() == {"app 0.1.0", "twin 1.0.0", "twin 2.0.0"}


def test_a_lock_can_be_made_from_a_skeleton_that_keeps_its_versions(tmp_path: Path):
    project = Project(tmp_path)
    project.put(WORKSPACE)
    assert project.cargo("generate-lockfile", "--offline").returncode == 0
    expected = (project.work / "Cargo.lock").read_bytes()
    workspace = read_workspace(InMemoryFiles(WORKSPACE), "", str(project.work))
    kept = skeleton(workspace, Masking.KEEP)
    (project.home / "config.toml").write_bytes(workspace.config.text_for_fetch)
    project.put({**kept.files, **{path: WORKSPACE[path] for path in kept.verbatim}})
    made = project.cargo("generate-lockfile", "--offline")
    assert made.returncode == 0, made.stderr
    assert (project.work / "Cargo.lock").read_bytes() == expected
    locked = workspace.with_lock(expected)
    assert skeleton(locked).files["Cargo.lock"] != expected


def test_features_of_a_member_count_under_the_old_resolver_too(tmp_path: Path):
    files = {
        "Cargo.toml": crate("app", "0.1.0", '[workspace]\nmembers = ["tool"]\nresolver = "1"\n'),
        "src/main.rs": MAIN,
        "tool/Cargo.toml": crate("tool", "0.1.0", '[features]\ndefault = ["loud"]\nloud = []\nquiet = []\n'),
        "tool/src/main.rs": 'fn main() { println!("{} {}", cfg!(feature = "loud"), cfg!(feature = "quiet")) }\n',
    }
    project = Project(tmp_path)
    project.put(files)
    assert project.cargo("generate-lockfile", "--offline").returncode == 0
    workspace = read_workspace(InMemoryFiles.of(project.work))
    project.build(select(workspace, ("tool",), ("quiet",), default_features=False))
    ran = subprocess.run([project.target / "release/tool"], capture_output=True, text=True, check=True)
    assert ran.stdout == "false true\n"
