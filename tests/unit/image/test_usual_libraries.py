from pathlib import Path

from cache.blobs import BlobStore
from daemon.image.architecture import AMD64
from daemon.image.library_source import LibrarySource
from daemon.image.usual_libraries import take_usual_libraries
from tests.fakes.engine import FakeEngine, file
from tests.fakes.images import MemoryIndex


async def test_what_was_taken_is_not_asked_of_the_engine_again(tmp_path: Path):
    engine = FakeEngine()
    image = engine.add_image("toolchain", {"/lib/x86_64-linux-gnu/libc.so.6": file(b"libc")}).id
    source = LibrarySource(engine.sandboxes, BlobStore(tmp_path / "blobs"), MemoryIndex(), {})

    await take_usual_libraries(source, image, AMD64)
    asked = len(engine.calls)
    async with source.open(image) as files:
        taken = await files.file("/lib/x86_64-linux-gnu/libc.so.6")
        missing = await files.file("/lib/x86_64-linux-gnu/libm.so.6")

    assert asked > 0
    assert taken is not None
    assert taken.source.read_bytes() == b"libc"
    assert missing is None
    assert len(engine.calls) == asked
    assert not engine.containers
