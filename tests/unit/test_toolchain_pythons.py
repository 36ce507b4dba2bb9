"""Which toolchain builds a Python project."""

from collections.abc import Callable

import pytest

from daemon.errors import NoFittingPython, NoToolchain, ToolchainWithoutPython, UnknownToolchain
from daemon.toolchains.pythons import choose
from daemon.toolchains.toolchain import PythonFacts, Toolchain, ToolchainFacts


def toolchain(name: str, python: str | None) -> Toolchain:
    facts = ToolchainFacts(
        image_id=f"sha256:{name}",
        rustc_version_verbose="rustc 1.95.0\nrelease: 1.95.0",
        release="1.95.0",
        commit_date="2026-04-14",
        channel_date="",
        host="x86_64-unknown-linux-gnu",
        cargo_version="cargo 1.95.0",
        sysroot="/usr/local/rust",
        libc="glibc 2.36",
        artefact_mtime=1_000_000_001,
        sysroot_digests=("00",),
        python=python
        and PythonFacts(version=python, executable="/usr/bin/python3", library="/usr/lib/python3", uv="0.13.9"),
        python_lacks=() if python else ("the program uv",),
    )
    return Toolchain(name=name, image_reference=f"bloomery/toolchain:{name}", facts=facts)


STABLE = toolchain("stable", "3.11.2")
NEWER = toolchain("newer", "3.13.5")
NEWEST = toolchain("newest", "3.14.0rc1")
BARE = toolchain("bare", None)
OFFERED = (BARE, NEWER, NEWEST, STABLE)


def below(*numbers: int) -> Callable[[str], bool]:
    return lambda version: tuple(int(part) for part in version.split(".")[:2]) < numbers


def always(_: str) -> bool:
    return True


def test_the_one_that_is_asked_for_is_taken_whatever_the_project_allows():
    assert choose("newer", below(3, 12), OFFERED, "stable") is NEWER


def test_asking_for_one_without_python_says_what_it_lacks_and_which_have_it():
    with pytest.raises(ToolchainWithoutPython, match=r"lacks the program uv; those that can: newer \(3\.13\.5\)") as no:
        choose("bare", always, OFFERED, "stable")
    assert {"name": "stable", "python": "3.11.2"} in no.value.evidence["offered"]
    assert {"name": "bare", "python": None} in no.value.evidence["offered"]


def test_asking_for_one_that_is_not_offered_is_refused_with_what_is():
    with pytest.raises(UnknownToolchain, match="stable"):
        choose("nightly", always, OFFERED, "stable")


def test_the_default_one_serves_where_its_python_is_allowed():
    assert choose(None, always, OFFERED, "stable") is STABLE


def test_where_the_defaults_python_is_not_allowed_the_newest_that_is_serves():
    assert choose(None, lambda version: version != "3.11.2", OFFERED, "stable") is NEWEST
    assert choose(None, lambda version: version.startswith("3.13"), OFFERED, "stable") is NEWER


def test_where_the_default_has_no_python_the_newest_serves():
    assert choose(None, below(3, 14), OFFERED, "bare") is NEWER


def test_a_default_that_is_not_offered_is_no_obstacle():
    assert choose(None, below(3, 12), OFFERED, "nightly") is STABLE


def test_versions_are_compared_as_numbers_and_a_release_is_newer_than_its_candidates():
    ninth, tenth = toolchain("a", "3.9.20"), toolchain("b", "3.10.1")
    assert choose(None, always, (BARE, ninth, tenth), "bare") is tenth
    candidate, second, release = (toolchain(name, f"3.14.0{name}") for name in ("b4", "rc2", ""))
    assert choose(None, always, (BARE, release, candidate, second), "bare") is release
    assert choose(None, always, (BARE, second, candidate), "bare") is second


def test_where_none_is_allowed_it_is_said_what_each_offers():
    with pytest.raises(NoFittingPython, match=r"newer \(3\.13\.5\), newest \(3\.14\.0rc1\), stable \(3\.11\.2\)") as no:
        choose(None, below(3, 9), OFFERED, "stable")
    assert {"name": "newer", "python": "3.13.5"} in no.value.evidence["offered"]


def test_where_none_has_python_it_is_said_how_to_make_one():
    with pytest.raises(NoToolchain, match="bloomery toolchain make NAME"):
        choose(None, always, (BARE,), "bare")


@pytest.mark.parametrize("asked", [None, "stable"])
def test_where_nothing_is_offered_it_is_said_how_to_make_one(asked: str | None):
    with pytest.raises(NoToolchain, match="bloomery toolchain make stable"):
        choose(asked, always, (), "")
