"""Which files count as opened, by a listing (law 13)."""

from dataclasses import replace

import pytest

from cache.digest import Digest
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.ecosystems.rust.inputs import Inputs
from daemon.ecosystems.rust.opened import opened
from daemon.ecosystems.rust.written import Found, read_listing

NAMES = ("README.md", "src/main.rs", ".cargo/config.toml")
TREE = SourceTree.of(
    [
        *(TreeEntry(path, EntryKind.FILE, 1, digest=Digest.of(b"x")) for path in NAMES),
        TreeEntry("link", EntryKind.SYMLINK, target="README.md"),
    ]
)
LISTING = read_listing(
    b"=f 666 1 978307200.0000000000 978307201.0000000000 README.md\0\0"
    b"=f 666 1 978307200.0000000000 1790000000.1234567890 src/main.rs\0\0"
    b"=l 777 9 978307200.0000000000 978307201.0000000000 link\0README.md\0"
)
README = LISTING[0]


def found(*listing: Found, **more: object) -> frozenset[str] | None:
    told = {"written": (), "inputs": {"app": Inputs(files=("src/main.rs",))}, "before": frozenset(), **more}
    return opened(listing, TREE, **told)  # type: ignore[arg-type]


def test_a_file_with_the_access_time_that_it_was_put_with_is_unread() -> None:
    assert found(*LISTING) == {"src/main.rs", ".cargo/config.toml"}, "what is not put is read by the daemon"


@pytest.mark.parametrize(
    "readme",
    [replace(README, untouched=False), replace(README, unread=False), replace(README, kind="l"), None],
    ids=["changed", "another access time", "a link", "gone"],
)
def test_whatever_speaks_against_it_makes_a_file_opened(readme: Found | None) -> None:
    assert "README.md" in (found(*(one for one in (readme, *LISTING[1:]) if one is not None)) or ())


def test_a_written_file_is_opened() -> None:
    assert "README.md" in (found(*LISTING, written=("README.md",)) or ())


def test_what_was_opened_before_stays_opened_when_it_is_put_anew() -> None:
    before = frozenset({"README.md", "gone.txt"})

    assert found(*LISTING, before=before) == {*before, "src/main.rs", ".cargo/config.toml"}


def test_access_times_that_miss_what_the_compiler_has_read_are_not_believed() -> None:
    inputs = {"app": Inputs(files=("README.md",))}

    assert found(*LISTING, inputs=inputs) is None
    assert found(*LISTING, inputs=inputs, before=frozenset({"README.md"})) is not None, "read by an earlier compile"
