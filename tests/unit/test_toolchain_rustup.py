"""A host's rustup toolchain as the members of an image."""

import os
from pathlib import Path

import pytest

from daemon.toolchains.errors import NoHostToolchain
from daemon.toolchains.rustup import find, installed, members

TRIPLE = "x86_64-unknown-linux-gnu"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    sysroot = tmp_path / "toolchains" / f"stable-{TRIPLE}"
    for path, content in {
        "bin/cargo": "cargo",
        "bin/rustc": "rustc",
        "lib/librustc_driver.so": "driver",
        "lib/rustlib/components": "cargo\n",
        "libexec/cargo-credential": "x",
        "share/doc/rust/html/index.html": "much",
        "etc/bash_completion.d/cargo": "complete",
    }.items():
        file = sysroot / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o700 if path.startswith("bin/") else 0o600)
        os.utime(file, (1_700_000_000.75, 1_700_000_000.75))
    (sysroot / "lib/librustc_driver.so.1").symlink_to("librustc_driver.so")
    (tmp_path / "toolchains" / f"1.95.0-{TRIPLE}").symlink_to(sysroot)
    (tmp_path / "toolchains" / f"broken-{TRIPLE}" / "bin").mkdir(parents=True)
    return tmp_path


def test_toolchains_are_found_without_their_host_triple(home: Path):
    assert list(installed(home)) == ["1.95.0", "stable"]
    assert find(home, "stable") == find(home, "1.95.0") == find(home, f"stable-{TRIPLE}")


def test_a_toolchain_that_is_not_there_is_told_with_those_that_are(home: Path):
    with pytest.raises(NoHostToolchain, match="rustup toolchain install nightly") as caught:
        find(home, "nightly")
    assert caught.value.evidence["offered"] == ["1.95.0", "stable"]


def test_a_host_without_rustup_has_no_toolchains(tmp_path: Path):
    with pytest.raises(NoHostToolchain, match="there: none"):
        find(tmp_path / "absent", "stable")


def test_the_members_are_what_compiles_without_documentation(home: Path):
    assert [member.path for member in members(find(home, "stable"))] == [
        "usr/local/rust",
        "usr/local/rust/bin",
        "usr/local/rust/bin/cargo",
        "usr/local/rust/bin/rustc",
        "usr/local/rust/lib",
        "usr/local/rust/lib/librustc_driver.so",
        "usr/local/rust/lib/librustc_driver.so.1",
        "usr/local/rust/lib/rustlib",
        "usr/local/rust/lib/rustlib/components",
        "usr/local/rust/libexec",
        "usr/local/rust/libexec/cargo-credential",
    ]


def test_members_are_roots_and_all_may_read_them_whatever_the_hosts_umask_was(home: Path):
    by_path = {member.path.removeprefix("usr/local/rust/"): member for member in members(find(home, "stable"))}
    assert {(member.uid, member.gid) for member in by_path.values()} == {(0, 0)}
    assert by_path["bin/cargo"].mode == 0o755
    assert by_path["lib/rustlib/components"].mode == 0o644
    assert by_path["lib/rustlib"].mode == 0o755
    assert by_path["bin/cargo"].mtime == 1_700_000_000
    assert by_path["lib/librustc_driver.so.1"].target == "librustc_driver.so"
