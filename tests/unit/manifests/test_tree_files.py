import pytest

from cache.digest import Digest
from cache.manifests.source import TreeFiles
from cache.tree import EntryKind, SourceTree, TreeEntry


class Contents:
    """Blobs in memory."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}

    def add(self, content: bytes) -> Digest:
        digest = Digest.of(content)
        self.blobs[digest] = content
        return digest

    def read(self, digest: Digest) -> bytes:
        return self.blobs[digest]


def link(path: str, target: str) -> TreeEntry:
    return TreeEntry(path=path, kind=EntryKind.SYMLINK, target=target)


@pytest.fixture
def files() -> TreeFiles:
    contents = Contents()
    entries = [
        TreeEntry(path="a/real.toml", kind=EntryKind.FILE, digest=contents.add(b"one"), size=3),
        TreeEntry(path="a/run.sh", kind=EntryKind.FILE, digest=contents.add(b"run"), size=3, executable=True),
        TreeEntry(path="empty", kind=EntryKind.DIRECTORY),
        link("b/file", "../a/real.toml"),
        link("dir", "a"),
        link("twice", "b/file"),
        link("loop", "loop"),
        link("gone", "nowhere"),
        link("out", "../../etc/passwd"),
        link("root", "/etc/passwd"),
    ]
    return TreeFiles(SourceTree.of(entries), contents)


def test_files_and_links_to_files_are_listed(files: TreeFiles):
    assert list(files.paths()) == ["a/real.toml", "a/run.sh", "b/file", "twice"]


@pytest.mark.parametrize("path", ["a/real.toml", "b/file", "twice", "dir/real.toml"])
def test_links_are_followed_within_the_tree(files: TreeFiles, path: str):
    assert path in files
    assert files.read(path) == b"one"


@pytest.mark.parametrize("path", ["loop", "gone", "out", "root", "empty", "dir", "a", "a/real.toml/x", ""])
def test_what_is_no_file_of_the_tree_is_not_there(files: TreeFiles, path: str):
    assert path not in files
    with pytest.raises(KeyError):
        files.read(path)
    with pytest.raises(KeyError):
        files.identity(path)


def test_a_files_identity_is_its_content_and_mode(files: TreeFiles):
    assert files.identity("a/run.sh") == f"{Digest.of(b'run')} 755"
    assert files.identity("twice") == f"{Digest.of(b'one')} 644"
