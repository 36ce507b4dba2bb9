"""`[image] include`: what is named is there, whole and where it is expected; what is not there is said."""

import pytest

from cache.blobs import BlobStore
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.errors import MissingAsset, MissingLibrary
from daemon.image.architecture import AMD64
from daemon.image.errors import BadImageSettings
from daemon.image.includes import Inclusion
from daemon.image.library_source import LibrarySource
from daemon.image.rootfs import RootFile
from daemon.tarball import Member
from tests.fakes.engine import FakeEngine, file
from tests.fakes.images import MemoryIndex

SOURCES = {
    "diesel.toml": b"[print_schema]",
    "src/main.rs": b"fn main() {}",
    "templates/index.html": b"<p>",
    "templates/mail/hello.txt": b"hello",
    "templates-old/index.html": b"<b>",
    "users/templates/user.html": b"<i>",
    "ca/own.pem": b"pem",
}


@pytest.fixture
def tree(blobs: BlobStore) -> SourceTree:
    files = [
        TreeEntry(path, EntryKind.FILE, len(content), executable=False, digest=blobs.put(content))
        for path, content in SOURCES.items()
    ]
    script = TreeEntry("templates/run", EntryKind.FILE, 2, executable=True, digest=blobs.put(b"#!"))
    return SourceTree.of([*files, script, TreeEntry("templates/empty", EntryKind.DIRECTORY)])


class Including:
    def __init__(self, blobs: BlobStore, tree: SourceTree) -> None:
        self.engine = FakeEngine()
        self.blobs = blobs
        self.tree = tree

    async def __call__(
        self, *names: str, within: str = "", toolchain: dict[str, Member] | None = None
    ) -> dict[str, RootFile]:
        image = self.engine.add_image("t:1", toolchain)
        source = LibrarySource(self.engine.sandboxes, self.blobs, MemoryIndex(), {})
        inclusion = Inclusion(self.blobs, AMD64, "stable")
        async with source.open(image.id) as files:
            found = await inclusion.files(names, self.tree, within, "/app", files)
        return {one.path: one for one in found}

    def add(self, entry: TreeEntry) -> None:
        self.tree = SourceTree.of([*self.tree, entry])


@pytest.fixture
def include(blobs: BlobStore, tree: SourceTree) -> Including:
    return Including(blobs, tree)


async def test_a_file_goes_under_the_working_directory(include: Including):
    found = await include("diesel.toml")
    assert found["/app/diesel.toml"].reason == "included: diesel.toml"
    assert len(found) == 1


@pytest.mark.parametrize("name", ["templates", "templates/", "./templates"])
async def test_a_directory_is_taken_whole_with_modes_and_empty_directories(include: Including, name: str):
    found = await include(name)
    assert set(found) == {
        "/app/templates/index.html",
        "/app/templates/mail/hello.txt",
        "/app/templates/run",
        "/app/templates/empty",
    }
    assert found["/app/templates/run"].mode == 0o755
    assert found["/app/templates/index.html"].mode == 0o644
    assert found["/app/templates/empty"].kind is EntryKind.DIRECTORY


async def test_paths_start_from_the_manifests_directory(include: Including):
    assert set(await include("templates/", within="users")) == {"/app/templates/user.html"}


async def test_the_whole_tree_can_be_asked_for(include: Including):
    assert len(await include(".")) == len(include.tree)


@pytest.mark.parametrize("name", ["template", "static/", "diesel.toml/", "templates/*.html", "src/main"])
async def test_what_the_tree_does_not_hold_is_named(include: Including, name: str):
    with pytest.raises(MissingAsset) as missing:
        await include("diesel.toml", name)
    assert repr(name) in missing.value.detail
    assert missing.value.evidence["path"] == name


@pytest.mark.parametrize("name", ["/etc/passwd", "..", "../other", "a/../../b", "", "a\0b"])
async def test_a_path_that_leads_out_is_refused(include: Including, name: str):
    with pytest.raises(BadImageSettings, match="stays in it"):
        await include(name, within="users")


async def test_a_link_within_what_is_included_stays_a_link(include: Including):
    include.add(TreeEntry("templates/latest", EntryKind.SYMLINK, target="mail/hello.txt"))
    assert (await include("templates/"))["/app/templates/latest"].target == "mail/hello.txt"


async def test_a_link_to_a_directory_that_is_included_stays_a_link(include: Including):
    include.add(TreeEntry("templates/post", EntryKind.SYMLINK, target="mail"))
    assert (await include("templates/"))["/app/templates/post"].target == "mail"


async def test_a_link_that_would_dangle_is_refused(include: Including):
    include.add(TreeEntry("templates/old", EntryKind.SYMLINK, target="../templates-old/index.html"))
    with pytest.raises(MissingAsset, match=r"/app/templates/old leads to \.\./templates-old/index\.html"):
        await include("templates/")
    assert "/app/templates/old" in await include("templates/", "templates-old/")


ZONE = {"/usr/share/zoneinfo/Asia/Tokyo": file(b"tokyo"), "/usr/share/zoneinfo/UTC": file(b"utc")}


async def test_a_set_comes_from_the_toolchain_image(include: Including):
    found = await include("tzdata", toolchain=ZONE)
    assert {path for path, one in found.items() if one.kind is EntryKind.FILE} == set(ZONE)
    assert {one.reason for one in found.values()} == {"included: tzdata"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("ca", "/etc/ssl/certs/ca-certificates.crt"),
        ("openssl-legacy", "/usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so"),
        ("gconv", "/usr/lib/x86_64-linux-gnu/gconv/UTF-16.so"),
    ],
)
async def test_each_set_has_its_place(include: Including, name: str, path: str):
    assert path in await include(name, toolchain={path: file(b"content")})


@pytest.mark.parametrize(
    ("name", "package"),
    [("tzdata", "tzdata"), ("ca", "ca-certificates"), ("openssl-legacy", "libssl3"), ("gconv", "libc6")],
)
async def test_a_set_that_is_not_there_names_its_package_and_the_remedy(include: Including, name: str, package: str):
    with pytest.raises(MissingLibrary) as missing:
        await include(name)
    assert missing.value.evidence["package"] == package
    assert f"bloomery toolchain make stable --with {package}" in missing.value.detail


async def test_a_directory_with_a_sets_name_is_written_with_a_dot(include: Including):
    assert set(await include("./ca")) == {"/app/ca/own.pem"}
