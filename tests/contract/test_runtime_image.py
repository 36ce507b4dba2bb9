"""A runtime image in a real engine: it is loaded, it runs, and `docker run` needs nothing but its name."""

import io
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.tree import SourceTree
from daemon.builds import ImageSettings, Link
from daemon.engine.docker import DockerEngine
from daemon.engine.engine import Limits, SandboxSpec
from daemon.errors import CheckFailed
from daemon.image.architecture import AMD64
from daemon.image.assembled import AssembledImage
from daemon.image.elf import ElfReader
from daemon.image.layout import archive
from daemon.image.library_source import LibrarySource
from daemon.pipeline.assemble import Assembler, CompiledBinary
from daemon.pipeline.check import Checker, run_check
from daemon.tarball import Member, stream
from tests.fakes.elves import compile_c, stored
from tests.fakes.images import HOST_FILES, MemoryIndex, toolchain

pytestmark = pytest.mark.engine
SESSION = uuid.uuid4().hex[:8]
QUICK = Limits(memory=256 << 20, pids=64, deadline=60, silence=60)
SOURCE = """
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
    if (count > 1) { fprintf(stderr, "told to fail\\n"); return atoi(words[1]); }
    FILE *file = fopen("/tmp/scratch", "w");
    char home[256], here[256];
    snprintf(home, sizeof home, "%s/state", getenv("HOME"));
    FILE *state = fopen(home, "w");
    struct passwd *user = getpwuid(getuid());
    printf("%s %s %s %s\\n", user ? user->pw_name : "nobody", getcwd(here, sizeof here), file ? "tmp" : "-",
           state ? "home" : "-");
    return 0;
}
"""


@pytest.fixture
async def engine() -> AsyncIterator[DockerEngine]:
    async with await DockerEngine.connect(None) as engine:
        yield engine


def debian() -> list[Member]:
    """This machine's C library behind symbolic links, as Debian has it."""
    files = [Member(path=f"usr{path}", mode=0o755, mtime=0, content=Path(path).read_bytes()) for path in HOST_FILES[:2]]
    links = [Member(path=name, mode=0o777, mtime=0, target=f"usr/{name}") for name in ("lib", "lib64")]
    return [*links, *files]


@pytest.fixture
async def toolchain_image(engine: DockerEngine) -> AsyncIterator[str]:
    reference = f"bloomery-asm/toolchain:{SESSION}"
    yield await engine.images.import_root(stream(debian()), reference, ())
    await engine.images.remove(reference)


async def assemble(engine: DockerEngine, image_id: str, program: Path, state: Path, link: Link) -> AssembledImage:
    blobs = BlobStore(state)
    digest = stored(blobs, program)
    source = LibrarySource(engine.sandboxes, blobs, MemoryIndex(), {"bloomery.test": SESSION})
    reader = ElfReader()
    output = CompiledBinary(name="hello", digest=digest, size=blobs.size(digest))
    assembler = Assembler(blobs, source, reader, AMD64)
    image = await assembler.assemble(output, ImageSettings(), link, SourceTree.of(()), toolchain(image_id))
    await Checker(blobs, reader, AMD64).check(image, SourceTree.of(()), ())
    return image


@pytest.mark.parametrize(("link", "user"), [(Link.DYNAMIC, "nonroot"), (Link.STATIC, "nobody")])
async def test_an_assembled_image_is_loaded_and_runs(
    engine: DockerEngine, toolchain_image: str, tmp_path: Path, link: Link, user: str
):
    program = compile_c(tmp_path / "hello", SOURCE, *(["-static"] if link is Link.STATIC else []))
    image = await assemble(engine, toolchain_image, program, tmp_path / "state", link)
    tag = f"bloomery-asm/hello:{SESSION}-{link}"
    await engine.images.load(archive(image.manifest_digest, (tag,), BlobStore(tmp_path / "state")))
    try:
        found = await engine.images.inspect(tag)
        assert found is not None
        assert found.id == str(image.image_id)
        assert found.size == image.size
        assert await output_of(engine, image) == f"{user} /app tmp home\n"
        await run_check(engine.images, engine.sandboxes, image, ("hello",), QUICK)
        with pytest.raises(CheckFailed, match="exit code 7; it printed: told to fail"):
            await run_check(engine.images, engine.sandboxes, image, ("hello", "7"), QUICK)
        assert await engine.survey.sandboxes({"bloomery.test": SESSION}) == ()
    finally:
        await engine.images.remove(tag)


async def output_of(engine: DockerEngine, image: AssembledImage) -> str:
    """What the image prints when it is started as `docker run IMAGE` starts it."""
    said = io.BytesIO()
    spec = SandboxSpec(
        name=f"bloomery-asm-{uuid.uuid4().hex[:8]}",
        image=str(image.image_id),
        command=(),
        user=image.user,
        working_directory=image.working_directory,
        limits=QUICK,
    )
    sandbox = await engine.sandboxes.create(spec)
    try:
        ended = await engine.sandboxes.run(sandbox, lambda _stream, piece: said.write(piece) and None, QUICK)
    finally:
        await engine.sandboxes.remove(sandbox)
    assert ended.code == 0
    return said.getvalue().decode()
