"""The check sees each thing that an image must not be; every mutation of a good image is one that it must refuse."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest, DigestMismatch
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.builds import ImageSettings, Link
from daemon.engine.engine import Limits, OutputStream
from daemon.errors import CheckFailed, ImageGone
from daemon.image import manifest
from daemon.image.architecture import AMD64
from daemon.image.assembled import AssembledImage
from daemon.image.elf import ElfReader
from daemon.image.layer import Blob, write_layer
from daemon.image.library_source import LibrarySource
from daemon.image.rootfs import Origin, RootFile
from daemon.pipeline.assemble import Assembler, CompiledBinary
from daemon.pipeline.check import Checker, run_check
from tests.fakes.elves import HELLO, compile_c, stored
from tests.fakes.engine import FakeEngine, Step
from tests.fakes.images import MemoryIndex, host_toolchain

LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


def tree(blobs: BlobStore, **files: bytes) -> SourceTree:
    return SourceTree.of(
        TreeEntry(path, EntryKind.FILE, len(content), executable=False, digest=blobs.put(content))
        for path, content in files.items()
    )


class Checking:
    def __init__(self, blobs: BlobStore, reader: ElfReader, program: Path) -> None:
        self.blobs = blobs
        self.reader = reader
        self.program = program
        self.tree = tree(blobs, main_rs=b"fn main() {}", notes=b"notes", empty=b"")

    async def image(self, **settings: object) -> AssembledImage:
        engine = FakeEngine()
        source = LibrarySource(engine.sandboxes, self.blobs, MemoryIndex(), {})
        digest = stored(self.blobs, self.program)
        return await Assembler(self.blobs, source, self.reader, AMD64).assemble(
            CompiledBinary(name="users", digest=digest, size=self.blobs.size(digest)),
            ImageSettings(**settings),
            Link.DYNAMIC,
            self.tree,
            host_toolchain(engine),
        )

    async def check(self, image: AssembledImage, sysroot: tuple[str, ...] = ()) -> None:
        await Checker(self.blobs, self.reader, AMD64).check(image, self.tree, sysroot)

    def again(self, image: AssembledImage, change: Callable[[dict[str, RootFile]], None]) -> AssembledImage:
        """The image as it would be had something else been put into it: contents, layer and all."""
        files = {file.path: file for file in image.rootfs}
        change(files)
        rootfs = tuple(files[path] for path in sorted(files))
        with self.blobs.staging() as staging:
            layer = write_layer(rootfs, staging / "layer")
            self.blobs.adopt({layer.digest: staging / "layer"})
        content = manifest.config(manifest.plan("users", ImageSettings()), {}, (layer,), AMD64)
        config = Blob(self.blobs.put(content), len(content))
        digest = self.blobs.put(manifest.manifest(config, (layer,)))
        return replace(*(image,), rootfs=rootfs, manifest_digest=digest, image_id=config.digest, layers=(layer.digest,))


@pytest.fixture
def checking(blobs: BlobStore, reader: ElfReader, tmp_path: Path) -> Checking:
    return Checking(blobs, reader, compile_c(tmp_path / "hello", HELLO))


def put(path: str, content: bytes, origin: Origin = Origin.LIBRARY) -> RootFile:
    return RootFile(
        path=path,
        kind=EntryKind.FILE,
        mode=0o644,
        origin=origin,
        reason="library: needed by /app/users",
        size=len(content),
        digest=Digest.of(content),
        content=content,
    )


async def test_a_good_image_passes(checking: Checking):
    await checking.check(await checking.image(include=("notes",)))


async def test_a_file_of_the_sources_is_known_by_its_content(checking: Checking):
    image = checking.again(
        await checking.image(), lambda files: files.update({"/app/x": put("/app/x", b"fn main() {}")})
    )
    with pytest.raises(CheckFailed, match="/app/x is main_rs of the source tree"):
        await checking.check(image)


async def test_an_empty_file_is_nobodys(checking: Checking):
    image = checking.again(await checking.image(), lambda files: files.update({"/app/x": put("/app/x", b"")}))
    await checking.check(image)


async def test_a_file_of_the_toolchain_is_known_by_its_content_even_as_a_library(checking: Checking):
    image = await checking.image()
    (libc,) = (file for file in image.rootfs if file.path == LIBC)
    assert libc.digest is not None
    with pytest.raises(CheckFailed, match=f"{LIBC} is a file of the Rust toolchain"):
        await checking.check(image, (libc.digest.hex,))


async def test_a_library_that_is_not_there(checking: Checking):
    image = checking.again(await checking.image(), lambda files: files.pop(LIBC))
    with pytest.raises(CheckFailed, match=r"/app/users needs libc\.so\.6, which the image does not hold"):
        await checking.check(image)


async def test_a_library_where_the_loader_does_not_look(checking: Checking):
    def move(files: dict[str, RootFile]) -> None:
        files["/opt/libc.so.6"] = replace(files.pop(LIBC), path="/opt/libc.so.6")

    with pytest.raises(CheckFailed, match=r"/app/users needs libc\.so\.6"):
        await checking.check(checking.again(await checking.image(), move))


async def test_a_loader_that_is_not_there(checking: Checking):
    image = checking.again(await checking.image(), lambda files: files.pop("/lib64/ld-linux-x86-64.so.2"))
    with pytest.raises(CheckFailed, match=r"needs /lib64/ld-linux-x86-64\.so\.2"):
        await checking.check(image)


async def test_a_binary_that_would_run_as_its_owner(checking: Checking):
    def raise_rights(files: dict[str, RootFile]) -> None:
        files["/app/users"] = replace(files["/app/users"], mode=0o4755)

    with pytest.raises(CheckFailed, match="/app/users would run with another user's rights"):
        await checking.check(checking.again(await checking.image(), raise_rights))


async def test_a_file_without_a_reason(checking: Checking):
    def forget(files: dict[str, RootFile]) -> None:
        files[LIBC] = replace(files[LIBC], reason="")

    with pytest.raises(CheckFailed, match=f"{LIBC} has no reason to be there"):
        await checking.check(checking.again(await checking.image(), forget))


async def test_a_layer_that_holds_more_than_the_contents_say(checking: Checking):
    image = await checking.image()
    fuller = checking.again(image, lambda files: files.update({"/app/y": put("/app/y", b"y")}))
    with pytest.raises(CheckFailed, match="/app/y is in the layer and nothing explains it"):
        await checking.check(replace(fuller, rootfs=image.rootfs))
    with pytest.raises(CheckFailed, match="/app/y is in the list of contents and not in the layer"):
        await checking.check(replace(image, rootfs=fuller.rootfs))


async def test_a_layer_that_holds_another_content_than_the_contents_say(checking: Checking):
    image = await checking.image()

    def swap(files: dict[str, RootFile]) -> None:
        content = b"root::0:0::/:/bin/sh\n"
        files["/etc/passwd"] = put("/etc/passwd", content, Origin.ACCOUNTS)

    other = checking.again(image, swap)
    with pytest.raises(CheckFailed, match="/etc/passwd is in the layer with another content or mode"):
        await checking.check(replace(other, rootfs=image.rootfs))


async def test_a_layer_that_was_damaged_on_disk_is_named_so_that_it_can_be_dropped(checking: Checking):
    image = await checking.image()
    path = checking.blobs.path(image.layers[0])
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestMismatch) as damage:
        await checking.check(image)
    assert damage.value.expected == image.layers[0]


async def test_a_layer_that_the_configuration_does_not_name(checking: Checking):
    image, other = await checking.image(), checking.again(await checking.image(), lambda files: files.pop("/app/users"))
    content = json.loads(checking.blobs.read(image.manifest_digest))
    content["layers"] = json.loads(checking.blobs.read(other.manifest_digest))["layers"]
    mixed = checking.blobs.put(json.dumps(content).encode())
    with pytest.raises(CheckFailed, match="not the one that the configuration names"):
        await checking.check(replace(image, manifest_digest=mixed))


@pytest.mark.parametrize(
    ("entrypoint", "there"),
    [
        (("/app/users",), True),
        (("users", "--x"), True),
        (("./users",), True),
        (("/bin/sh", "-c", "users"), False),
        (("sh",), False),
        (("/app",), False),
        (("/etc/passwd",), False),
    ],
)
async def test_the_entrypoint_is_a_program_of_the_image(checking: Checking, entrypoint: tuple[str, ...], there: object):
    image = await checking.image(entrypoint=entrypoint)
    if there:
        await checking.check(image)
    else:
        with pytest.raises(CheckFailed, match=f"the entrypoint {entrypoint[0]} is no program in the image"):
            await checking.check(image)


async def test_all_that_is_wrong_is_said_at_once(checking: Checking):
    def spoil(files: dict[str, RootFile]) -> None:
        files["/app/x"] = put("/app/x", b"fn main() {}")
        del files[LIBC]

    with pytest.raises(CheckFailed) as failed:
        await checking.check(checking.again(await checking.image(), spoil))
    assert len(failed.value.evidence["problems"]) == 2


# --- [check] command


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


async def loaded(checking: Checking, engine: FakeEngine) -> AssembledImage:
    image = await checking.image(user="1000", working_directory="/srv")
    stands = engine.add_image("users:check")
    return replace(image, image_id=Digest.parse(stands.id))


async def test_a_command_that_ends_well_passes_in_a_sandbox_of_the_images_user(checking: Checking, engine: FakeEngine):
    seen = []

    def script(step: Step) -> int:
        seen.append(step.spec)
        return 0

    engine.script(script)
    image = await loaded(checking, engine)
    limits = Limits(deadline=5)
    await run_check(engine.images, engine.sandboxes, image, ("users", "--version"), limits, labels={"build": "b1"})
    (spec,) = seen
    assert spec.command == ("users", "--version")
    assert spec.user == "1000:1000"
    assert spec.network == "none"
    assert spec.working_directory == "/srv"
    assert spec.labels == {"build": "b1"}
    assert spec.limits == limits
    assert engine.containers == {}


async def test_a_command_that_fails_shows_the_end_of_its_output(checking: Checking, engine: FakeEngine):
    def script(step: Step) -> int:
        step.print("begun\n" + "x" * 10000)
        step.print("no database\n", OutputStream.STDERR)
        return 3

    engine.script(script)
    image = await loaded(checking, engine)
    with pytest.raises(CheckFailed, match="ended with exit code 3") as failed:
        await run_check(engine.images, engine.sandboxes, image, ("users",), Limits())
    output = failed.value.evidence["output"]
    assert output.endswith("no database")
    assert len(output) <= 4096
    assert failed.value.evidence["exit_code"] == 3
    assert engine.containers == {}


async def test_an_image_that_was_pruned_before_its_check(checking: Checking, engine: FakeEngine):
    with pytest.raises(ImageGone):
        await run_check(engine.images, engine.sandboxes, await checking.image(), ("users",), Limits())
