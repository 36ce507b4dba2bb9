"""What goes from a workspace in the compile's own step: only where that leaves what a step before it would leave."""

import subprocess
from collections.abc import Iterable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cache.tree import EntryKind, TreeEntry
from daemon.ecosystems.ecosystem import Move
from daemon.ecosystems.kept import Fetched, FetchedFile
from daemon.ecosystems.rust.clearing import clearing, must_be_apart
from daemon.ecosystems.rust.dirtiness import Dirt
from daemon.ecosystems.rust.steps import OUT, REMOVED, compile_script

PATHS = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)
CACHE = "cargo/registry/cache/index"


def dirt(removed: Iterable[str], put: Iterable[str]) -> Dirt:
    return Dirt(remove=tuple(removed), put=tuple(TreeEntry(path, EntryKind.FILE, 1) for path in put))


def without(files: set[str], removed: Iterable[str]) -> set[str]:
    return {file for file in files if not any(f"{file}/".startswith(f"{path}/") for path in removed)}


def is_tree(files: set[str]) -> bool:
    return not any(other.startswith(f"{file}/") for file in files for other in files)


@given(st.sets(PATHS), st.sets(PATHS), st.sets(PATHS))
def test_in_either_order_the_same_is_left_unless_it_must_be_apart(before: set[str], removed: set[str], put: set[str]):
    assume(is_tree(before))
    assume(is_tree(without(before, removed) | put))

    if not must_be_apart(dirt(sorted(removed, reverse=True), put), None):
        assert is_tree(before | put), "it could be put"
        assert without(before | put, removed) == without(before, removed) | put


def test_what_becomes_something_else_goes_first():
    assert must_be_apart(dirt(["docs/one.md", "docs"], ["docs"]), None)
    assert must_be_apart(dirt(["docs"], ["docs/one.md"]), None)
    assert must_be_apart(dirt(["docs/one.md"], ["docs"]), None)
    assert not must_be_apart(dirt(["docs/one.md"], ["docs/one.md.bak", "doc"]), None)


def test_an_archive_that_comes_again_with_other_content_goes_first_and_one_that_is_gone_need_not():
    def fetched(*contents: str) -> Fetched:
        names = enumerate(contents)
        return Fetched(files=tuple(FetchedFile(path=f"{CACHE}/{n}.crate", digest=text, size=1) for n, text in names))

    assert must_be_apart(Dirt(), Move(there=fetched("a", "b"), wanted=fetched("a", "c"), stay=frozenset(), put=False))
    assert not must_be_apart(Dirt(), Move(there=fetched("a", "b"), wanted=fetched("a"), stay=frozenset(), put=False))


def test_before_units_are_put_what_goes_is_gone():
    assert must_be_apart(Dirt(), Move(there=Fetched(), wanted=Fetched(), stay=frozenset(), put=True))


def test_nothing_to_take_away_is_no_clearing():
    assert clearing(Dirt(), None, ()) is None


@pytest.mark.parametrize(("line", "code"), [("false", 70), ("true", 0)])
def test_a_compile_in_whose_step_a_line_fails_ends_before_anything_else(line: str, code: int):
    script = compile_script("", (), (), {}, artefact_time=0, clearing=("cd /", line, "true"))
    before, found, _ = script.partition(f"rm -rf {OUT}")

    assert found
    assert subprocess.run(["/bin/sh", "-c", before], check=False).returncode == code


def test_the_step_of_its_own_ends_where_a_line_fails():
    going = clearing(dirt(["docs"], []), None, ())

    assert going is not None
    assert "set -eu" in going.step.script
    assert [(member.path, member.content) for member in going.step.members] == [(REMOVED, b"./docs\0")]
