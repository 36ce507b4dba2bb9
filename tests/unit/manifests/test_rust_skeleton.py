import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from cache.manifests.rust.errors import LockMismatch
from cache.manifests.rust.skeleton import Skeleton, skeleton
from cache.manifests.rust.stub_versions import Masking
from cache.manifests.rust.workspace import read_workspace
from tests.fakes.source_files import InMemoryFiles

REGISTRY = "registry+https://registry.example/index"
LOCK = f"""version = 4

[[package]]
name = "app"
version = "1.2.3"
dependencies = [
 "bytes 1.10.0",
 "model",
]

[[package]]
name = "bytes"
version = "0.5.0"
source = "{REGISTRY}"

[[package]]
name = "bytes"
version = "1.10.0"
source = "{REGISTRY}"

[[package]]
name = "model"
version = "0.2.0"
"""
FILES = {
    "Cargo.toml": """
[package]
name = "app"
version = "1.2.3"
edition = "2021"
description = "What it is"
authors = ["Somebody"]
default-run = "app"
[package.metadata.docs]
x = 1
[dependencies]
model = { path = "model", version = "0.2" }
bytes = { version = "1", features = ["b", "a"] }
[lints.rust]
unused = "deny"
[[test]]
name = "slow"
[profile.release]
lto = true
[workspace]
""",
    "src/main.rs": "fn main() { real() }",
    "src/bin/tool.rs": "fn main() { real() }",
    "build.rs": "fn main() { real() }",
    "tests/slow.rs": "",
    "model/Cargo.toml": '[package]\nname = "model"\nversion = "0.2.0"\nedition = "2021"\n',
    "model/src/lib.rs": "pub fn real() {}",
    "Cargo.lock": LOCK,
}


def made(files: Mapping[str, str], masking: Masking = Masking.STUB) -> Skeleton:
    return skeleton(read_workspace(InMemoryFiles(files)), masking)


def manifest(stubbed: Skeleton, path: str = "Cargo.toml") -> dict[str, Any]:
    return tomllib.loads(stubbed.files[path].decode())


def test_no_source_of_the_project_is_in_the_skeleton():
    stubbed = made(FILES)
    assert set(stubbed.files) == {
        "Cargo.toml",
        "Cargo.lock",
        "src/main.rs",
        "src/bin/tool.rs",
        "bloomery-stub-build.rs",
        "model/Cargo.toml",
        "model/src/lib.rs",
    }
    assert stubbed.verbatim == ()
    assert not stubbed.private
    assert not any(b"real" in content for content in stubbed.files.values())


def test_a_manifest_keeps_what_can_change_a_dependency_and_nothing_else():
    assert manifest(made(FILES)) == {
        "package": {
            "name": "app",
            "version": "0.0.0-bloomery.stub",
            "edition": "2021",
            "build": "bloomery-stub-build.rs",
            "autobins": False,
            "autoexamples": False,
            "autotests": False,
            "autobenches": False,
        },
        "bin": [{"name": "app", "path": "src/main.rs"}, {"name": "tool", "path": "src/bin/tool.rs"}],
        "dependencies": {"model": {"path": "model"}, "bytes": {"version": "1", "features": ["b", "a"]}},
        "profile": {"release": {"lto": True}},
        "workspace": {},
    }


def test_the_lock_names_the_stubs_and_is_in_cargos_order():
    text = made(FILES).files["Cargo.lock"].decode()
    assert text.count('version = "0.0.0-bloomery.stub"') == 2
    assert '"1.2.3"' not in text
    assert '"0.2.0"' not in text
    assert ' "bytes 1.10.0",\n "model",\n' in text


def test_a_skeleton_for_making_a_lock_keeps_versions():
    kept = made({path: text for path, text in FILES.items() if path != "Cargo.lock"}, Masking.KEEP)
    assert manifest(kept)["package"]["version"] == "1.2.3"
    assert "Cargo.lock" not in kept.files


def test_what_only_a_root_may_say_is_not_kept_of_members():
    member = FILES["model/Cargo.toml"] + "[profile.release]\nlto = false\n[patch.crates-io]\n"
    kept = manifest(made({**FILES, "model/Cargo.toml": member}), "model/Cargo.toml")
    assert not {"profile", "patch"} & set(kept)
    assert kept["package"]["build"] is False


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("Cargo.toml", '"1.2.3"', '"1.2.4"', "it has app 1.2.3, Cargo.toml says 1.2.4"),
        ("Cargo.toml", "[lints", "[dependencies.itoa]\nversion = '1'\n[lints", "app depends on `itoa`"),
        ("Cargo.lock", 'name = "model"', 'name = "gone"', "does not have the package `model`"),
        ("Cargo.toml", 'model = { path = "model", version = "0.2" }', "", "has the package `model`, which is not"),
    ],
)
def test_a_lock_that_masking_would_make_fit_is_refused(path: str, old: str, new: str, words: str):
    assert old in FILES[path]
    with pytest.raises(LockMismatch, match=r"Cargo\.lock needs to be updated") as caught:
        made({**FILES, path: FILES[path].replace(old, new)})
    assert words in caught.value.detail


def test_vendored_crates_and_named_files_are_put_in_as_they_are_and_make_it_private():
    configured = {
        **FILES,
        ".cargo/config.toml": '[source.v]\ndirectory = "vendor"\n[build]\nrustflags = ["-Clink-arg=-Tlink.x"]\n',
        "vendor/bytes/Cargo.toml": "",
        "vendor/bytes/src/lib.rs": "",
        "link.x": "",
    }
    stubbed = made(configured)
    assert stubbed.verbatim == ("link.x", "vendor/bytes/Cargo.toml", "vendor/bytes/src/lib.rs")
    assert stubbed.private


PATCHED = {
    **FILES,
    "Cargo.toml": FILES["Cargo.toml"] + '[patch.crates-io]\nbytes = { path = "forks/bytes" }\n',
    "forks/bytes/Cargo.toml": (
        '[package]\nname = "bytes"\nversion = "1.10.0"\n[dependencies]\nmodel = { path = "../../model" }\n'
    ),
    "forks/bytes/src/lib.rs": "real",
    "forks/bytes/nested/Cargo.toml": "",
    "Cargo.lock": f"""version = 4
[[package]]
name = "app"
version = "1.2.3"
dependencies = ["bytes", "hyper", "model"]
[[package]]
name = "bytes"
version = "1.10.0"
dependencies = ["model"]
[[package]]
name = "hyper"
version = "0.14.0"
source = "{REGISTRY}"
dependencies = ["bytes"]
[[package]]
name = "model"
version = "0.2.0"
""",
}


def test_what_a_package_from_outside_depends_on_is_put_in_whole_with_what_it_needs():
    root = PATCHED["Cargo.toml"].replace("bytes = { version", 'hyper = "0"\nbytes = { version')
    files = {**PATCHED, "Cargo.toml": root}
    stubbed = made(files)
    assert [package.name for package in stubbed.unstubbable] == ["bytes", "model"]
    assert stubbed.verbatim == ("forks/bytes/nested/Cargo.toml", "forks/bytes/src/lib.rs", "model/src/lib.rs")
    assert manifest(stubbed, "forks/bytes/Cargo.toml")["package"]["version"] == "1.10.0"
    assert 'name = "model"\nversion = "0.2.0"' in stubbed.files["Cargo.lock"].decode()
    assert stubbed.private


def test_without_a_lock_whatever_is_patched_counts_as_unstubbable():
    stubbed = made({path: text for path, text in PATCHED.items() if path != "Cargo.lock"})
    assert [package.name for package in stubbed.unstubbable] == ["bytes", "model"]
