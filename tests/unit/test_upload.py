"""The doors for sources: one tree through each, bounded in time and number, and nothing left behind by what fails."""

import asyncio
import gzip
import io
import os
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.client.stamps import Stamps
from api.client.worktree import Worktree
from cache.archive_errors import BadArchive, BadListing, UnsafeEntry, UploadTooLarge, UploadTooSlow
from cache.archive_limits import ArchiveLimits
from cache.blobs import BlobStore
from cache.digest import Digest
from cache.errors import Failure
from cache.ignore import CACHE_SIGNATURE
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.errors import BlobMismatch
from daemon.ownership import SharedSources
from daemon.upload import Intake, Missing

LIMITS = ArchiveLimits()


class Shelf:
    """Keeps trees in memory."""

    def __init__(self) -> None:
        self.kept: dict[Digest, SourceTree] = {}
        self.puts = 0

    async def put_tree(self, tree: SourceTree) -> None:
        self.puts += 1
        self.kept[tree.digest] = tree

    async def tree(self, digest: Digest) -> SourceTree | None:
        return self.kept.get(digest)


class Doors:
    """An intake with all that is around it."""

    def __init__(self, root: Path, limits: ArchiveLimits = LIMITS, readers: int = 4) -> None:
        self.root = root
        self.blobs = BlobStore(root)
        self.shelf = Shelf()
        self.intake = Intake(self.blobs, SharedSources(self.shelf), limits, readers)

    def untouched(self) -> bool:
        return not self.shelf.kept and not [path for path in self.root.rglob("*") if path.is_file()] and self.idle()

    def idle(self) -> bool:
        return not list((self.root / "staging").iterdir()) and not children()


def children() -> list[str]:
    """Processes of ours that run."""
    pid = os.getpid()
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"archive_child" in command:
                found.append(child)
    return found


@pytest.fixture
def doors(tmp_path: Path) -> Doors:
    return Doors(tmp_path / "blobs")


async def pieces(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def endless(size: int = 1 << 16) -> AsyncIterator[bytes]:
    while True:
        yield os.urandom(size)


async def stalling(body: bytes) -> AsyncIterator[bytes]:
    yield body
    await asyncio.Event().wait()


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def file(path: str, content: bytes = b"x") -> TreeEntry:
    return TreeEntry(path, EntryKind.FILE, size=len(content), digest=Digest.of(content))


async def upload(doors: Doors, contents: dict[str, bytes]) -> Missing | SourceTree:
    """The listing door as a client goes through it."""
    entries = [file(path, content) for path, content in contents.items()]
    by_digest = {str(Digest.of(content)): content for content in contents.values()}
    answer = await doors.intake.from_listing(entries)
    if isinstance(answer, Missing):
        for digest in answer.digests:
            await doors.intake.blob(digest, pieces(by_digest[str(digest)]))
        answer = await doors.intake.from_listing(entries)
    return answer


FILES = {
    "Cargo.toml": b"[package]\n",
    "src/main.rs": b"fn main() {}\n",
    "src/copy.rs": b"fn main() {}\n",
    "empty.txt": b"",
}


# --- the archive door


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
async def test_an_archive_becomes_a_stored_tree(doors: Doors, pack: type[bytes]):
    tree = await doors.intake.from_archive(pieces(pack(tar(FILES))))
    assert {entry.path: doors.blobs.read(entry.digest) for entry in tree.files() if entry.digest} == FILES
    assert doors.shelf.kept == {tree.digest: tree}
    assert doors.idle()


async def test_an_archive_that_is_refused_leaves_nothing(doors: Doors):
    with pytest.raises(UnsafeEntry):
        await doors.intake.from_archive(pieces(tar({**FILES, "../escape": b"x"})))
    assert doors.untouched()


async def test_an_archive_that_is_cut_off_leaves_nothing(doors: Doors):
    with pytest.raises(BadArchive):
        await doors.intake.from_archive(pieces(tar(FILES)[:1500]))
    assert doors.untouched()


async def test_a_refusal_ends_a_body_that_does_not_end(doors: Doors):
    with pytest.raises(BadArchive):
        await asyncio.wait_for(doors.intake.from_archive(endless()), 20)
    assert doors.untouched()


async def test_a_body_over_its_size_is_refused_while_it_comes(tmp_path: Path):
    doors = Doors(tmp_path / "blobs", replace(LIMITS, body=1 << 20))
    header = tar({"big": bytes(64 << 20)})[:512]

    async def body() -> AsyncIterator[bytes]:
        yield header
        async for piece in endless():
            yield piece

    with pytest.raises(UploadTooLarge) as refusal:
        await asyncio.wait_for(doors.intake.from_archive(body()), 20)
    assert refusal.value.evidence["limit"] == "body"
    assert doors.untouched()


async def test_a_client_that_falls_silent_is_not_waited_for(tmp_path: Path):
    doors = Doors(tmp_path / "blobs", replace(LIMITS, idle=0.2))
    with pytest.raises(UploadTooSlow) as refusal:
        await doors.intake.from_archive(stalling(tar(FILES)[:1000]))
    assert refusal.value.evidence == {"limit": "idle", "allowed": 0.2}
    assert doors.untouched()


async def test_a_client_that_trickles_is_not_waited_for(tmp_path: Path):
    doors = Doors(tmp_path / "blobs", replace(LIMITS, idle=5, total=0.4))

    async def trickle() -> AsyncIterator[bytes]:
        for byte in tar(FILES):
            await asyncio.sleep(0.05)
            yield bytes([byte])

    with pytest.raises(UploadTooSlow) as refusal:
        await doors.intake.from_archive(trickle())
    assert refusal.value.evidence == {"limit": "total", "allowed": 0.4}
    assert doors.untouched()


async def test_a_client_that_goes_away_leaves_nothing(doors: Doors):
    async def broken() -> AsyncIterator[bytes]:
        yield tar(FILES)[:1000]
        raise ConnectionResetError("the client is gone")

    with pytest.raises(ConnectionResetError):
        await doors.intake.from_archive(broken())
    assert doors.untouched()


async def test_an_upload_that_is_cancelled_leaves_nothing(doors: Doors):
    begun = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield tar(FILES)[:2000]
        begun.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(doors.intake.from_archive(body()))
    await begun.wait()
    assert len(children()) == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert doors.untouched()


async def test_a_tree_that_cannot_be_kept_is_not_half_kept(doors: Doors, monkeypatch: pytest.MonkeyPatch):
    async def refuse(tree: SourceTree) -> None:
        raise Failure("the database is gone")

    monkeypatch.setattr(doors.shelf, "put_tree", refuse)
    with pytest.raises(Failure):
        await doors.intake.from_archive(pieces(tar(FILES)))
    assert doors.idle()


async def test_only_so_many_archives_are_read_at_a_time_and_the_rest_wait_unread(tmp_path: Path):
    doors = Doors(tmp_path / "blobs", readers=2)
    begun: list[int] = []
    two, go_on = asyncio.Event(), asyncio.Event()

    async def body(number: int) -> AsyncIterator[bytes]:
        begun.append(number)
        if len(begun) == 2:
            two.set()
        await go_on.wait()
        yield tar({"file": bytes([number])})

    uploads = [asyncio.create_task(doors.intake.from_archive(body(number))) for number in range(6)]
    await two.wait()
    await asyncio.sleep(0.2)
    assert begun == [0, 1]
    assert len(children()) == 2
    go_on.set()
    trees = await asyncio.gather(*uploads)
    assert len({tree.digest for tree in trees}) == 6
    assert begun == [0, 1, 2, 3, 4, 5]
    assert doors.idle()


async def test_the_loop_goes_on_while_a_bomb_is_read(doors: Doors):
    bomb = gzip.compress(tar({"zeros": bytes(256 << 20)}), 1)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            longest = max(longest, loop.time() - before)

    watching = asyncio.create_task(watch())
    with pytest.raises(UploadTooLarge):
        await doors.intake.from_archive(pieces(bomb, 1 << 16))
    watching.cancel()
    assert longest < 1.0
    assert doors.untouched()


# --- the listing door


async def test_a_listing_asks_for_what_is_missing_and_then_is_a_tree(doors: Doors):
    entries = [file(path, content) for path, content in FILES.items()]
    answer = await doors.intake.from_listing(entries)
    assert isinstance(answer, Missing)
    assert sorted(answer.digests) == sorted({Digest.of(content) for content in FILES.values()})
    assert doors.shelf.kept == {}
    for content in FILES.values():
        await doors.intake.blob(Digest.of(content), pieces(content, 3))
    tree = await doors.intake.from_listing(entries)
    assert isinstance(tree, SourceTree)
    assert {entry.path: doors.blobs.read(entry.digest) for entry in tree.files() if entry.digest} == FILES
    assert doors.shelf.kept == {tree.digest: tree}


async def test_one_tree_comes_through_both_doors(doors: Doors, tmp_path: Path):
    source = tmp_path / "source"
    contents = {
        **FILES,
        ".dockerignore": b"**/*.log\ndocs\n!docs/README.md\n",
        "a.log": b"x",
        "logs/b/c.log": b"x",
        "docs/README.md": b"x",
        "docs/other.md": b"x",
        ".git/HEAD": b"x",
        "target/release/app": b"x",
        "crates/x/target/mod.rs": b"x",
        "out/CACHEDIR.TAG": CACHE_SIGNATURE + b"\n",
        "out/debug/app": b"x",
        "caf\u00e9/\u03bb.rs": b"x",
    }
    for path, content in contents.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(content)
    (source / "src" / "main.rs").chmod(0o700)
    (source / "link").symlink_to("src/../docs")
    (source / "nothing" / "here").mkdir(parents=True)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.add(source, ".")
    one = await doors.intake.from_archive(pieces(out.getvalue()))

    worktree = Worktree(str(source), Stamps(None, 0))
    other = Doors(tmp_path / "other")
    for entry in worktree.tree.files():
        assert entry.digest is not None
        await other.intake.blob(entry.digest, pieces(contents[entry.path]))
    two = await other.intake.from_listing(list(worktree.tree)[::-1])
    assert isinstance(two, SourceTree)
    assert two == one == worktree.tree
    assert [entry.path for entry in one] == [
        ".dockerignore",
        "Cargo.toml",
        "caf\u00e9/\u03bb.rs",
        "crates/x/target/mod.rs",
        "docs/README.md",
        "empty.txt",
        "link",
        "logs/b",
        "nothing/here",
        "src/copy.rs",
        "src/main.rs",
    ]


async def test_a_tree_that_is_kept_is_not_kept_again(doors: Doors):
    first = await upload(doors, FILES)
    second = await doors.intake.from_listing([replace(file(path, content)) for path, content in FILES.items()])
    assert first == second
    assert doors.shelf.puts == 1


async def test_a_kept_tree_whose_blob_was_lost_is_made_whole_again(doors: Doors):
    await upload(doors, FILES)
    doors.blobs.remove(Digest.of(FILES["Cargo.toml"]))
    tree = await upload(doors, FILES)
    assert isinstance(tree, SourceTree)
    assert doors.blobs.read(Digest.of(FILES["Cargo.toml"])) == FILES["Cargo.toml"]


async def test_a_listing_loses_only_its_git_directories(doors: Doors):
    tree = await upload(doors, {"a.rs": b"1", ".git/HEAD": b"2", "sub/.git": b"3", "target/x": b"4"})
    assert isinstance(tree, SourceTree)
    assert [entry.path for entry in tree] == ["a.rs", "target/x"]


@pytest.mark.parametrize(
    ("entries", "rule"),
    [
        ([file("../x")], "parent"),
        ([file("/x")], "absolute"),
        ([file("a\nb")], "control_character"),
        ([file("a\ud800")], "control_character"),
        ([file("")], "empty_name"),
        ([file("./.")], "empty_name"),
        ([file("a"), file("./a")], "duplicate"),
        ([file("a"), file("A")], "collision"),
        ([file("a"), file("a/b")], "below_a_file"),
        ([TreeEntry("l", EntryKind.SYMLINK, target="/etc")], "link_outside"),
        ([TreeEntry("l", EntryKind.SYMLINK, target="x"), file("l/y")], "below_a_link"),
        ([TreeEntry("l", EntryKind.SYMLINK)], "empty_name"),
    ],
)
async def test_a_listing_is_held_to_an_archives_rules(doors: Doors, entries: list[TreeEntry], rule: str):
    with pytest.raises(UnsafeEntry) as refusal:
        await doors.intake.from_listing(entries)
    assert refusal.value.evidence["rule"] == rule
    assert doors.untouched()


@pytest.mark.parametrize(
    "entry",
    [
        TreeEntry("a", EntryKind.FILE),
        replace(file("a"), size=-1),
        replace(file("a"), target="b"),
        replace(file("a"), kind=EntryKind.DIRECTORY),
        TreeEntry("a", EntryKind.DIRECTORY, size=1),
        TreeEntry("a", EntryKind.DIRECTORY, target="b"),
        TreeEntry("a", EntryKind.SYMLINK, executable=True, target="b"),
    ],
)
async def test_an_entry_that_makes_no_sense_is_named(doors: Doors, entry: TreeEntry):
    with pytest.raises(BadListing) as refusal:
        await doors.intake.from_listing([entry])
    assert refusal.value.evidence == {"entry": "a"}


async def test_a_size_that_is_not_the_blobs_is_refused(doors: Doors):
    await doors.intake.blob(Digest.of(b"x"), pieces(b"x"))
    with pytest.raises(UnsafeEntry) as refusal:
        await doors.intake.from_listing([replace(file("a"), size=2)])
    assert refusal.value.evidence["rule"] == "wrong_size"


async def test_a_listing_has_an_archives_bounds(tmp_path: Path):
    doors = Doors(tmp_path / "blobs", replace(LIMITS, entries=2, expanded=10))
    with pytest.raises(UploadTooLarge):
        await doors.intake.from_listing([file(name) for name in "abc"])
    with pytest.raises(UploadTooLarge):
        await doors.intake.from_listing([replace(file("a"), size=11)])


# --- blobs


async def test_a_blob_is_what_its_digest_says(doors: Doors):
    with pytest.raises(BlobMismatch) as refusal:
        await doors.intake.blob(Digest.of(b"right"), pieces(b"wrong"))
    assert refusal.value.evidence == {"expected": str(Digest.of(b"right")), "found": str(Digest.of(b"wrong"))}
    assert doors.untouched()


async def test_a_blob_has_a_bound(doors: Doors):
    content = b"0123456789"
    with pytest.raises(UploadTooLarge) as refusal:
        await doors.intake.blob(Digest.of(content), pieces(content), 9)
    assert refusal.value.evidence["allowed"] == 9
    assert doors.untouched()
    await doors.intake.blob(Digest.of(content), pieces(content), 10)
    assert doors.blobs.has(Digest.of(content))


async def test_a_large_blob_is_written_piece_by_piece(doors: Doors):
    content = os.urandom(3 << 20)
    await doors.intake.blob(Digest.of(content), pieces(content, 100_000))
    tree = await doors.intake.from_listing([file("big", content)])
    assert isinstance(tree, SourceTree)
    assert doors.blobs.read(Digest.of(content)) == content


async def test_a_blob_that_stalls_or_is_cancelled_leaves_nothing(tmp_path: Path):
    doors = Doors(tmp_path / "blobs", replace(LIMITS, idle=0.2))
    with pytest.raises(UploadTooSlow):
        await doors.intake.blob(Digest.of(b"x"), stalling(bytes(1 << 19)))
    running = asyncio.create_task(doors.intake.blob(Digest.of(b"x"), stalling(bytes(1 << 19))))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert doors.untouched()
