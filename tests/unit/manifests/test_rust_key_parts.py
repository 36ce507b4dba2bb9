from collections.abc import Mapping

import pytest

from cache.keys import Key, KeyKind
from cache.manifests.rust.key_parts import exact_parts, hard_parts, unit_parts
from cache.manifests.rust.selection import select
from cache.manifests.rust.workspace import read_workspace
from tests.fakes.source_files import InMemoryFiles

REGISTRY = "registry+https://registry.example/index"
FILES = {
    "Cargo.toml": """
[workspace]
members = ["users", "model"]
resolver = "2"
[workspace.package]
version = "1.0.0"
[workspace.dependencies]
bytes = { version = "1", features = ["serde", "std"] }
[profile.release]
lto = "thin"
""",
    "users/Cargo.toml": """
[package]
name = "users"
version.workspace = true
edition = "2021"
[features]
default = []
tls = []
[dependencies]
model = { path = "../model", version = "0.1" }
bytes.workspace = true
""",
    "users/src/main.rs": "fn main() {}",
    "model/Cargo.toml": '[package]\nname = "model"\nversion = "0.1.0"\nedition = "2021"\n',
    "model/src/lib.rs": "",
    "Cargo.lock": f"""version = 4
[[package]]
name = "bytes"
version = "1.10.0"
source = "{REGISTRY}"
checksum = "aa"
[[package]]
name = "model"
version = "0.1.0"
[[package]]
name = "users"
version = "1.0.0"
dependencies = ["bytes", "model"]
""",
    ".cargo/config.toml": '[build]\nrustflags = ["-Clink-arg=-Tlink.x"]\n',
    "link.x": "SECTIONS",
}


def key(files: Mapping[str, str], *features: str, profile: str = "release") -> Key:
    sources = InMemoryFiles(files)
    workspace = read_workspace(sources)
    chosen = select(workspace, (), features, profile=profile)
    unit = Key(KeyKind.UNIT, unit_parts(workspace.config))
    hard = unit.extended(KeyKind.HARD, hard_parts(workspace, chosen))
    return hard.extended(KeyKind.EXACT, exact_parts(workspace, chosen, sources))


def changed(path: str, old: str, new: str, *more: tuple[str, str, str]) -> dict[str, str]:
    files = dict(FILES)
    for where, before, after in ((path, old, new), *more):
        assert before in files[where]
        files[where] = files[where].replace(before, after)
    return files


@pytest.mark.parametrize(
    "files",
    [
        changed("users/src/main.rs", "{}", "{ other() }"),
        {**FILES, "users/src/bin/tool.rs": "fn main() {}", ".cargo/config.toml": FILES[".cargo/config.toml"]},
        changed("users/Cargo.toml", "edition", 'description = "New"\nauthors = ["Me"]\nlicense = "MIT"\nedition'),
        changed("users/Cargo.toml", "[features]", "# a comment\n\n[features]"),
        changed("users/Cargo.toml", "[features]", '[lints.rust]\nunused = "deny"\n[features]'),
        changed("users/Cargo.toml", "[features]", "[package.metadata.x]\ny = 1\n[features]"),
        changed("Cargo.toml", '["serde", "std"]', '["std", "serde"]'),
        changed("Cargo.toml", '["users", "model"]', '["model", "users"]'),
        changed("Cargo.toml", '"1.0.0"', '"2.0.0"', ("Cargo.lock", '"1.0.0"', '"2.0.0"')),
        changed(
            "model/Cargo.toml",
            '"0.1.0"',
            '"0.1.9"',
            ("Cargo.lock", '"0.1.0"', '"0.1.9"'),
            ("users/Cargo.toml", '"0.1"', '"0.1.9"'),
        ),
        changed("Cargo.lock", "version = 4", "version = 3"),
    ],
    ids=[
        "source",
        "binary",
        "metadata",
        "comment",
        "lints",
        "tool-table",
        "order",
        "members",
        "own",
        "required",
        "format",
    ],
)
def test_what_cannot_change_a_dependency_is_not_in_the_key(files: dict[str, str]):
    selected = {path: text for path, text in files.items() if path != "users/src/bin/tool.rs"}
    assert key(selected).digest == key(FILES).digest
    if selected != files:
        sources = InMemoryFiles(files)
        workspace = read_workspace(sources)
        one, other = (select(workspace, (name,)) for name in ("users", "tool"))
        assert hard_parts(workspace, one) == hard_parts(workspace, other)
        parts = exact_parts(workspace, other, sources)
        assert parts == exact_parts(read_workspace(InMemoryFiles(FILES)), one, InMemoryFiles(FILES))


@pytest.mark.parametrize(
    ("files", "label"),
    [
        (changed("Cargo.lock", '"aa"', '"bb"'), "Cargo.lock"),
        (changed("Cargo.lock", '"1.10.0"', '"1.10.1"'), "Cargo.lock"),
        (changed("users/Cargo.toml", "tls = []", 'tls = ["bytes/tls"]'), "manifest users/Cargo.toml"),
        (changed("model/Cargo.toml", "edition", 'links = "z"\nbuild = "b.rs"\nedition'), "manifest model/Cargo.toml"),
        ({**FILES, "model/build.rs": ""}, "manifest model/Cargo.toml"),
        (changed("Cargo.toml", '"thin"', '"fat"'), "manifest Cargo.toml"),
        (changed("Cargo.toml", '"serde", ', ""), "manifest Cargo.toml"),
        (
            {**FILES, "model/Cargo.toml": FILES["model/Cargo.toml"] + "[lib]\nproc-macro = true\n"},
            "manifest model/Cargo.toml",
        ),
        (changed("link.x", "SECTIONS", "OTHERS"), "files by content"),
        (changed("link.x", "SECTIONS", "OTHERS"), "files named by the cargo configuration"),
        (changed(".cargo/config.toml", '"-Clink', '"-Cdebuginfo=1", "-Clink'), "cargo configuration"),
    ],
)
def test_what_can_change_a_dependency_is_in_the_key_under_its_label(files: dict[str, str], label: str):
    assert label in {difference.label for difference in key(FILES).differences(key(files))}


def test_profile_and_features_are_in_the_hard_key():
    assert [d.label for d in key(FILES).differences(key(FILES, "tls"))] == ["features"]
    assert [d.label for d in key(FILES).differences(key(FILES, profile="dev"))] == ["profile"]


def single(name: str, *more: str) -> dict[str, str]:
    """A project of one package that uses one of two versions of a crate."""
    versions = [f'[[package]]\nname = "bytes"\nversion = "{v}"\nsource = "{REGISTRY}"\n' for v in ("0.5.0", "1.10.0")]
    own = f'[[package]]\nname = "{name}"\nversion = "1.0.0"\ndependencies = ["bytes 0.5.0"]\n'
    return {
        "Cargo.toml": "\n".join(
            [
                f'[package]\nname = "{name}"\nversion = "1.0.0"',
                *more,
                '[features]\ntls = []\n[dependencies]\nbytes = "0.5"',
            ]
        ),
        "src/main.rs": "fn main() {}",
        "Cargo.lock": "version = 4\n" + "".join([*versions, own]),
    }


def test_the_name_of_an_only_package_is_in_no_key():
    assert key(single("users"), "users/tls").digest == key(single("mails"), "tls").digest
    assert key(single("users"), "users/tls").digest != key(single("users")).digest


def test_the_name_is_in_the_key_where_another_manifest_could_mean_it():
    def beside(name: str) -> dict[str, str]:
        files = single(name, '[workspace]\nmembers = ["model"]')
        locked = f'{files["Cargo.lock"]}[[package]]\nname = "model"\nversion = "0.1.0"\n'
        member = {"model/Cargo.toml": FILES["model/Cargo.toml"], "model/src/lib.rs": ""}
        return {**files, **member, "Cargo.lock": locked}

    differences = key(beside("users")).differences(key(beside("mails")))
    assert {each.label for each in differences} >= {"packages", "manifest Cargo.toml"}


def test_what_a_profile_says_of_the_package_by_its_name_counts():
    one, other = (single(name, f"[profile.release.package.{name}]\nopt-level = 1") for name in ("users", "mails"))

    assert key(one).digest != key(other).digest


def test_which_of_two_versions_is_used_is_in_the_key():
    second = f'[[package]]\nname = "bytes"\nversion = "0.5.0"\nsource = "{REGISTRY}"\n'
    lock = FILES["Cargo.lock"] + second
    one, other = (
        lock.replace('["bytes", "model"]', f'["bytes {version}", "model"]') for version in ("1.10.0", "0.5.0")
    )
    differences = key({**FILES, "Cargo.lock": one}).differences(key({**FILES, "Cargo.lock": other}))
    assert [difference.label for difference in differences] == ["Cargo.lock choices"]


def test_a_project_without_a_lock_has_an_empty_lock_part():
    files = {path: text for path, text in FILES.items() if path != "Cargo.lock"}
    assert key(files).values()["Cargo.lock"] == ""
