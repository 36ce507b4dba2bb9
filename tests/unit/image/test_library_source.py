"""Files of a toolchain image: taken once, remembered by the image's id, and no container left behind."""

from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.tree import EntryKind
from daemon.errors import EngineUnavailable
from daemon.image.library_source import LibrarySource
from daemon.tarball import Member
from tests.fakes.engine import FakeEngine, file
from tests.fakes.images import MemoryIndex


def link(target: str) -> Member:
    return Member(path="", mode=0o777, mtime=0, target=target)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def index() -> MemoryIndex:
    return MemoryIndex()


@pytest.fixture
def source(engine: FakeEngine, blobs: BlobStore, index: MemoryIndex) -> LibrarySource:
    return LibrarySource(engine.sandboxes, blobs, index, {"bloomery.instance": "test"})


async def test_a_file_is_a_blob(engine: FakeEngine, source: LibrarySource):
    image = engine.add_image("t:1", {"/usr/lib/libx.so.1": file(b"library")})
    async with source.open(image.id) as files:
        found = await files.file("/usr/lib/libx.so.1")
    assert found is not None
    assert (found.path, found.digest, found.size) == ("/usr/lib/libx.so.1", Digest.of(b"library"), 7)
    assert found.source.read_bytes() == b"library"


@pytest.mark.parametrize(
    ("path", "links"),
    [
        ("/usr/lib/libx.so.1", {"/usr/lib/libx.so.1": "libx.so.1.2"}),
        ("/usr/lib/libx.so", {"/usr/lib/libx.so": "libx.so.1", "/usr/lib/libx.so.1": "libx.so.1.2"}),
        ("/opt/libx.so", {"/opt/libx.so": "/usr/lib/libx.so.1.2"}),
        ("/opt/deep/libx.so", {"/opt/deep/libx.so": "../../usr/lib/libx.so.1.2"}),
        ("/lib/deep/libx.so", {"/lib": "usr/lib", "/lib/deep/libx.so": "../../share/libx.so"}),
    ],
)
async def test_symbolic_links_are_followed(engine: FakeEngine, source: LibrarySource, path: str, links: dict[str, str]):
    members = {at: link(target) for at, target in links.items()}
    stored = {"/usr/lib/libx.so.1.2": file(b"library"), "/usr/share/libx.so": file(b"library")}
    image = engine.add_image("t:1", {**stored, **members})
    async with source.open(image.id) as files:
        found = await files.file(path)
    assert found is not None
    assert found.digest == Digest.of(b"library")
    assert found.path == path


@pytest.mark.parametrize("target", ["libx.so.1", "nothing.so", "/usr/lib"])
async def test_a_link_to_itself_to_nothing_or_to_a_directory_is_no_file(
    engine: FakeEngine, source: LibrarySource, target: str
):
    image = engine.add_image("t:1", {"/usr/lib/libx.so.1": link(target)})
    async with source.open(image.id) as files:
        assert await files.file("/usr/lib/libx.so.1") is None


async def test_a_second_look_asks_the_engine_nothing_not_even_for_what_is_not_there(
    engine: FakeEngine, source: LibrarySource
):
    files_of_image = {"/lib/a.so": file(b"a"), "/share/b/c": file(b"c"), "/etc/ld.so.conf": file(b"/opt/lib\n")}
    image = engine.add_image("t:1", files_of_image)

    async def look() -> list[object]:
        async with source.open(image.id) as files:
            return [
                await files.file("/lib/a.so"),
                await files.file("/lib/none.so"),
                await files.directory("/share/b"),
                await files.directory("/share/none"),
                await files.library_directories(),
            ]

    first = await look()
    asked = len(engine.calls)
    assert await look() == first
    assert len(engine.calls) == asked
    assert first[1] is None
    assert first[3] is None
    assert first[4] == ("/opt/lib",)


async def test_another_image_is_another_matter(engine: FakeEngine, source: LibrarySource):
    for number in (1, 2):
        image = engine.add_image(f"t:{number}", {"/lib/a.so": file(b"%d" % number)})
        async with source.open(image.id) as files:
            found = await files.file("/lib/a.so")
            assert found is not None
            assert found.digest == Digest.of(b"%d" % number)


async def test_a_blob_that_is_gone_is_taken_again(engine: FakeEngine, source: LibrarySource, blobs: BlobStore):
    image = engine.add_image("t:1", {"/lib/a.so": file(b"a"), "/share/b/c": file(b"c")})
    for _ in range(2):
        async with source.open(image.id) as files:
            found, below = await files.file("/lib/a.so"), await files.directory("/share/b")
        assert found is not None
        assert below is not None
        assert blobs.has(found.digest)
        assert blobs.has(Digest.of(b"c"))
        blobs.remove(found.digest)
        blobs.remove(Digest.of(b"c"))


async def test_a_directory_is_taken_whole(engine: FakeEngine, source: LibrarySource):
    below = {"/share/zone/Asia/Tokyo": file(b"tokyo"), "/share/zone/Japan": link("Asia/Tokyo")}
    image = engine.add_image("t:1", {**below, "/share/zone/run": file(b"run", 0o755), "/share/other": file(b"o")})
    async with source.open(image.id) as files:
        entries = await files.directory("/share/zone")
    assert entries is not None
    assert [(one.path, one.kind, one.executable, one.target) for one in entries] == [
        ("Asia/Tokyo", EntryKind.FILE, False, ""),
        ("Japan", EntryKind.SYMLINK, False, "Asia/Tokyo"),
        ("run", EntryKind.FILE, True, ""),
    ]


async def test_the_directories_of_ldconfig_with_what_its_files_include(engine: FakeEngine, source: LibrarySource):
    image = engine.add_image(
        "t:1",
        {
            "/etc/ld.so.conf": file(b"# ours\n/first/lib  # comment\ninclude ld.so.conf.d/*.conf\nhwcap 1 nosegneg\n"),
            "/etc/ld.so.conf.d/b.conf": file(b"/b/lib/\n/first/lib\n"),
            "/etc/ld.so.conf.d/a.conf": file(b"/a/lib\n"),
            "/etc/ld.so.conf.d/README": file(b"/never\n"),
        },
    )
    async with source.open(image.id) as files:
        assert await files.library_directories() == ("/first/lib", "/a/lib", "/b/lib")


async def test_the_container_never_runs_carries_labels_and_is_gone_afterwards(
    engine: FakeEngine, source: LibrarySource
):
    image = engine.add_image("t:1", {"/lib/a.so": file(b"a")})
    async with source.open(image.id) as files:
        await files.file("/lib/a.so")
        (container,) = engine.containers.values()
        assert container.spec.labels == {"bloomery.instance": "test"}
        assert container.spec.name.startswith("bloomery-libraries-")
    assert engine.containers == {}
    assert "sandboxes.run" not in {method for method, _ in engine.calls}


async def test_a_failure_leaves_no_container(engine: FakeEngine, source: LibrarySource):
    image = engine.add_image("t:1")
    engine.fail("get", EngineUnavailable("gone"))
    with pytest.raises(EngineUnavailable):
        async with source.open(image.id) as files:
            await files.file("/lib/a.so")
    assert engine.containers == {}


async def test_nothing_asked_makes_no_container(engine: FakeEngine, source: LibrarySource, tmp_path: Path):
    async with source.open("sha256:any"):
        pass
    assert engine.calls == []
