"""The crates of a lock one by one: what a fetch brought of each, and what of that another lock can be given."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.ecosystems.kept import Fetched, FetchedFile, Gathered, Keeping, KeptPackage
from daemon.ecosystems.rust.index_entries import entry_path
from tests.fakes.index_entries import entry
from tests.fakes.rust_projects import REGISTRY, Files, crate, lock, locked, planned, stable

HOME = "index.example-1949cf8c6b5b557f"
THEIRS = "r.example.org-2222222222222222"
REVISION = "git+https://git.example.org/x?branch=main#" + "1" * 40


def archive(name: str, version: str = "1.0.0") -> bytes:
    return f"the archive of {name} {version}".encode()


def outside(name: str, *dependencies: str, version: str = "1.0.0", source: str = REGISTRY) -> str:
    """A crate's part of a lock."""
    checksum = Digest.of(archive(name, version)).hex if not source.startswith("git+") else ""
    return locked(name, version, *dependencies, source=source, checksum=checksum)


def project(*packages: str, needs: Iterable[str] = ("aaaa",), tables: str = "") -> Files:
    """An application that needs these, and its lock."""
    wanted = "".join(f'{name} = "1"\n' for name in needs)
    return {
        "Cargo.toml": crate("app", "0.3.0", f"[dependencies]\n{wanted}{tables}"),
        "Cargo.lock": lock(locked("app", "0.3.0", *sorted(needs), source=""), *packages),
        "src/main.rs": "fn main() {}\n",
    }


class Fetch:
    """What a fetch left below CARGO_HOME."""

    def __init__(self, blobs: BlobStore, home: str = HOME) -> None:
        self._blobs = blobs
        self._home = home
        self._files: dict[str, FetchedFile] = {}
        self.put(f"index/{home}/config.json", b"{}")

    def put(self, path: str, content: bytes) -> None:
        digest = self._blobs.put(content)
        self._files[path] = FetchedFile(path=f"cargo/registry/{path}", digest=str(digest), size=len(content))

    def archive(self, name: str, version: str = "1.0.0") -> None:
        self.put(f"cache/{self._home}/{name}-{version}.crate", archive(name, version))

    def entry(self, name: str, *versions: str, **more: object) -> None:
        found = {version: Digest.of(archive(name, version)).hex for version in versions or ("1.0.0",)}
        self.put(f"index/{self._home}/{entry_path(name)}", entry(name, found, **more))

    def crate(self, *names: str) -> "Fetch":
        for name in names:
            self.archive(name)
            self.entry(name)
        return self

    @property
    def fetched(self) -> Fetched:
        return Fetched(files=tuple(self._files.values()))


def keeping(blobs: BlobStore, files: Files) -> Keeping:
    return planned(blobs, files).keeping


def paths(gathered: Gathered) -> set[str]:
    return {file.path.rpartition("/")[2] for file in gathered.fetched.files}


def fetched_before(blobs: BlobStore, files: Files, fetch: Fetch) -> Mapping[str, KeptPackage]:
    return keeping(blobs, files).packages(fetch.fetched, {})


TWO = project(outside("aaaa"), outside("bbbb"), needs=("aaaa", "bbbb"))


def test_all_that_one_lock_brought_is_all_that_it_needs(blobs: BlobStore):
    fetch = Fetch(blobs).crate("aaaa", "bbbb")

    gathered = keeping(blobs, TWO).gathered(fetched_before(blobs, TWO, fetch))

    assert (gathered.missing, gathered.kept) == (0, 2)
    assert set(gathered.fetched.files) == set(fetch.fetched.files)


def test_another_lock_is_given_what_it_has_in_common_without_the_settings(blobs: BlobStore):
    """The registry's settings say where its archives are now: a fetch step asks for them."""
    more = project(outside("aaaa"), outside("cccc"), needs=("aaaa", "cccc"))
    kept = fetched_before(blobs, TWO, Fetch(blobs).crate("aaaa", "bbbb"))
    wanted = set(keeping(blobs, more).wanted().names)

    gathered = keeping(blobs, more).gathered({name: package for name, package in kept.items() if name in wanted})

    assert (gathered.missing, gathered.kept) == (1, 1)
    assert paths(gathered) == {"aaaa", "aaaa-1.0.0.crate"}


def test_of_two_locks_a_third_is_put_together(blobs: BlobStore):
    one, other = project(outside("aaaa")), project(outside("bbbb"), needs=("bbbb",))
    kept = {
        **fetched_before(blobs, one, Fetch(blobs).crate("aaaa")),
        **fetched_before(blobs, other, Fetch(blobs).crate("bbbb")),
    }

    gathered = keeping(blobs, TWO).gathered(kept)

    assert gathered.missing == 0
    assert paths(gathered) == {"config.json", "aaaa", "bbbb", "aaaa-1.0.0.crate", "bbbb-1.0.0.crate"}


def test_an_entry_that_lacks_the_locked_version_is_not_kept(blobs: BlobStore):
    fetch = Fetch(blobs)
    fetch.archive("aaaa")
    fetch.entry("aaaa", "0.9.0")

    assert fetched_before(blobs, project(outside("aaaa")), fetch) == {}


def test_an_entry_with_another_checksum_is_not_kept(blobs: BlobStore):
    fetch = Fetch(blobs).crate("aaaa")
    fetch.put(f"index/{HOME}/{entry_path('aaaa')}", entry("aaaa", {"1.0.0": "0" * 64}))

    assert fetched_before(blobs, project(outside("aaaa")), fetch) == {}


def test_a_damaged_entry_is_not_kept(blobs: BlobStore):
    fetch = Fetch(blobs).crate("aaaa")
    fetch.put(f"index/{HOME}/{entry_path('aaaa')}", b"\x03entry")

    assert fetched_before(blobs, project(outside("aaaa")), fetch) == {}


def test_a_registry_whose_index_is_a_repository_is_fetched_as_a_whole(blobs: BlobStore):
    fetch = Fetch(blobs).crate("aaaa")
    fetch.put(f"index/{HOME}/.git/HEAD", b"ref")

    assert fetched_before(blobs, project(outside("aaaa")), fetch) == {}


def test_a_crate_without_a_checksum_is_never_kept(blobs: BlobStore):
    files = project(locked("aaaa", "1.0.0"))
    fetch = Fetch(blobs).crate("aaaa")

    assert fetched_before(blobs, files, fetch) == {}
    assert keeping(blobs, files).gathered({}).missing == 1


def test_one_crate_of_two_registries_is_two(blobs: BlobStore):
    theirs = "sparse+https://r.example.org/"
    other = locked("aaaa", "1.0.0", source=theirs, checksum=Digest.of(b"theirs").hex)
    files = {
        **project(outside("aaaa"), other),
        "Cargo.lock": lock(
            locked("app", "0.3.0", f"aaaa 1.0.0 ({REGISTRY})", f"aaaa 1.0.0 ({theirs})", source=""),
            outside("aaaa"),
            other,
        ),
    }
    ours, others = Fetch(blobs).crate("aaaa"), Fetch(blobs, THEIRS)
    others.put(f"cache/{THEIRS}/aaaa-1.0.0.crate", b"theirs")
    others.put(f"index/{THEIRS}/{entry_path('aaaa')}", entry("aaaa", {"1.0.0": Digest.of(b"theirs").hex}))

    kept = keeping(blobs, files).packages(Fetched(files=(*ours.fetched.files, *others.fetched.files)), {})

    assert {name: len(package.fetched.files) for name, package in kept.items()} == dict.fromkeys(
        keeping(blobs, files).wanted().names, 3
    )
    gathered = keeping(blobs, files).gathered(kept)
    assert gathered.missing == 0
    assert {file.path.split("/")[3] for file in gathered.fetched.files} == {HOME, THEIRS}


# --- entries of one crate that came at different times


def both_versions() -> Files:
    return {
        **project(),
        "Cargo.lock": lock(
            locked("app", "0.3.0", "aaaa 1.0.0", "aaaa 2.0.0", source=""),
            outside("aaaa"),
            outside("aaaa", version="2.0.0"),
        ),
    }


def fetched_apart(blobs: BlobStore, *newer: str) -> Mapping[str, KeptPackage]:
    """Version 1 with an entry of its time, version 2 with one that has `newer`."""
    older, later = Fetch(blobs).crate("aaaa"), Fetch(blobs)
    later.archive("aaaa", "2.0.0")
    later.entry("aaaa", *newer)
    second = project(outside("aaaa", version="2.0.0"))
    return {
        **fetched_before(blobs, project(outside("aaaa")), older),
        **fetched_before(blobs, second, later),
    }


def test_the_entry_that_has_all_locked_versions_is_taken(blobs: BlobStore):
    kept = fetched_apart(blobs, "1.0.0", "2.0.0")

    gathered = keeping(blobs, both_versions()).gathered(kept)

    assert gathered.missing == 0
    (chosen,) = [file for file in gathered.fetched.files if file.path.endswith("/aaaa")]
    assert b"2.0.0" in blobs.read(Digest.parse(chosen.digest))


def test_where_no_entry_has_all_locked_versions_the_crate_is_fetched(blobs: BlobStore):
    kept = fetched_apart(blobs, "2.0.0")

    gathered = keeping(blobs, both_versions()).gathered(kept)

    assert gathered.missing == 2
    assert paths(gathered) == {"aaaa-1.0.0.crate", "aaaa-2.0.0.crate"}, "the archives are right in any case"


def test_where_the_entries_are_lost_meanwhile_the_crate_is_fetched(blobs: BlobStore):
    kept = fetched_apart(blobs, "1.0.0", "2.0.0")
    for package in kept.values():
        for file in package.fetched.files:
            if file.path.endswith("/aaaa"):
                blobs.remove(Digest.parse(file.digest))

    assert keeping(blobs, both_versions()).gathered(kept).missing == 2


# --- archives of other platforms


def with_windows(*, also: str = "") -> Files:
    """`aaaa` needs `wwww`, which a fetch for this target leaves out, and that needs `vvvv`."""
    return project(outside("aaaa", "wwww"), outside("vvvv"), outside("wwww", "vvvv"), also, needs=("aaaa",))


def without_windows(blobs: BlobStore) -> Fetch:
    fetch = Fetch(blobs).crate("aaaa")
    fetch.entry("wwww")
    fetch.entry("vvvv")
    return fetch


def test_what_the_fetch_left_out_for_its_platform_is_not_missing(blobs: BlobStore):
    kept = fetched_before(blobs, with_windows(), without_windows(blobs))

    gathered = keeping(blobs, with_windows()).gathered(kept)

    assert gathered.missing == 0
    assert paths(gathered) == {"config.json", "aaaa", "vvvv", "wwww", "aaaa-1.0.0.crate"}


def test_what_somebody_else_needs_of_it_is_missing(blobs: BlobStore):
    """`bbbb` may need it on this very platform."""
    kept = {
        **fetched_before(blobs, with_windows(), without_windows(blobs)),
        **fetched_before(blobs, project(outside("bbbb"), needs=("bbbb",)), Fetch(blobs).crate("bbbb")),
    }
    files = project(
        outside("aaaa", "wwww"),
        outside("bbbb", "wwww"),
        outside("vvvv"),
        outside("wwww", "vvvv"),
        needs=("aaaa", "bbbb"),
    )

    gathered = keeping(blobs, files).gathered(kept)

    assert gathered.missing == 2, "wwww, and vvvv with it"


def test_an_archive_that_is_kept_stays_where_another_fetch_leaves_it_out(blobs: BlobStore):
    needing = project(outside("bbbb", "wwww"), outside("vvvv"), outside("wwww", "vvvv"), needs=("bbbb",))
    kept = fetched_before(blobs, needing, Fetch(blobs).crate("bbbb", "wwww", "vvvv"))

    after = {**kept, **keeping(blobs, with_windows()).packages(without_windows(blobs).fetched, kept)}

    assert keeping(blobs, needing).gathered(after).missing == 0


def test_who_does_not_want_it_is_remembered_from_all_fetches(blobs: BlobStore):
    other = project(outside("bbbb", "wwww"), outside("vvvv"), outside("wwww", "vvvv"), needs=("bbbb",))
    fetch = Fetch(blobs).crate("bbbb")
    fetch.entry("wwww")
    fetch.entry("vvvv")
    kept = fetched_before(blobs, with_windows(), without_windows(blobs))

    after = {**kept, **keeping(blobs, other).packages(fetch.fetched, kept)}

    assert keeping(blobs, with_windows()).gathered(after).missing == 0
    assert keeping(blobs, other).gathered(after).missing == 0


def platforms(*tables: str) -> Files:
    """An application that itself needs `wwww` on these platforms."""
    text = "".join(f"[{table}]\nwwww = '1'\n" for table in tables)
    files = project(outside("aaaa"), outside("wwww"), needs=("aaaa",), tables=text)
    return {
        **files,
        "Cargo.lock": lock(locked("app", "0.3.0", "aaaa", "wwww", source=""), outside("aaaa"), outside("wwww")),
    }


WINDOWS, UNIX = "target.'cfg(windows)'.dependencies", "target.'cfg(unix)'.dependencies"


@pytest.mark.parametrize(
    ("tables", "missing"),
    [((WINDOWS,), 0), ((WINDOWS, UNIX), 1), ((UNIX,), 1), ((WINDOWS, "build-dependencies"), 1)],
)
def test_what_the_tree_needs_on_the_same_other_platform_is_not_missing(
    blobs: BlobStore, tables: tuple[str, ...], missing: int
):
    fetch = Fetch(blobs).crate("aaaa")
    fetch.entry("wwww")
    kept = fetched_before(blobs, platforms(WINDOWS), fetch)

    assert keeping(blobs, platforms(*tables)).gathered(kept).missing == missing


# --- git


def test_git_is_kept_for_its_set_of_sources(blobs: BlobStore):
    files = project(outside("aaaa"), outside("xxxx", source=REVISION), needs=("aaaa", "xxxx"))
    fetched = replace(Fetch(blobs).crate("aaaa").fetched, archives=(str(blobs.put(b"git")),))
    kept = keeping(blobs, files).packages(fetched, {})

    same = keeping(blobs, files).gathered(kept)
    moved = project(outside("aaaa"), outside("xxxx", source=REVISION.replace("1", "2")), needs=("aaaa", "xxxx"))
    other = keeping(blobs, moved).gathered(kept)

    assert (same.missing, same.fetched.archives) == (0, fetched.archives)
    assert (other.missing, other.kept, other.fetched.archives) == (1, 1, ())


# --- who shares


def test_another_scope_toolchain_or_configuration_is_another_place(blobs: BlobStore):
    base = planned(blobs, TWO).keeping.wanted()
    private = {**TWO, ".cargo/config.toml": '[registries]\nours = { index = "sparse+https://r.example.org/" }\n'}
    others = [
        planned(blobs, TWO, scope="team").keeping.wanted(),
        planned(blobs, TWO, offered=stable("sha256:" + "1" * 64)).keeping.wanted(),
        planned(blobs, private).keeping.wanted(),
    ]

    assert len({base.place, *(other.place for other in others)}) == 4
    assert {other.names for other in others} == {base.names}
    changed = {**TWO, "src/main.rs": "fn main() { loop {} }\n"}
    assert planned(blobs, changed).keeping.wanted() == base
