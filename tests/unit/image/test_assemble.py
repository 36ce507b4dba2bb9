"""A binary in, a runtime image out: what is in it, why, and that nothing else decides its digest."""

import json
from pathlib import Path

import msgspec
import pytest

from cache.blobs import BlobStore
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.builds import ContentEntry, ImageSettings, Link
from daemon.errors import MissingLibrary
from daemon.image.architecture import AMD64
from daemon.image.assembled import AssembledImage
from daemon.image.elf import ElfReader
from daemon.image.errors import BadImageSettings
from daemon.image.library_source import LibrarySource
from daemon.pipeline.assemble import Assembler, CompiledBinary
from daemon.tarball import Member
from tests.fakes.elves import HELLO, compile_c, compile_rust, library, stored
from tests.fakes.engine import FakeEngine, file
from tests.fakes.images import MemoryIndex, host_toolchain

TLS = '#include <stdio.h>\nint main(void) { puts("SSL_CERT_FILE"); return 0; }\n'
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


class Assembling:
    """An assembler over the fake engine, with its own state directory."""

    def __init__(self, state: Path) -> None:
        self.engine = FakeEngine()
        self.blobs = BlobStore(state)
        self.index = MemoryIndex()
        self.tree: dict[str, bytes] = {}
        self.toolchain_files: dict[str, Member] = {}
        self.without = ""
        self.link = Link.DYNAMIC
        self.toolchain = None

    async def __call__(self, program: Path, **settings: object) -> AssembledImage:
        if self.toolchain is None:
            self.toolchain = host_toolchain(self.engine, self.toolchain_files, without=self.without)
        digest = stored(self.blobs, program)
        source = LibrarySource(self.engine.sandboxes, self.blobs, self.index, {})
        assembler = Assembler(self.blobs, source, ElfReader(), AMD64)
        entries = [
            TreeEntry(path, EntryKind.FILE, len(content), executable=False, digest=self.blobs.put(content))
            for path, content in self.tree.items()
        ]
        return await assembler.assemble(
            CompiledBinary(name="users", digest=digest, size=self.blobs.size(digest)),
            ImageSettings(**settings),
            self.link,
            SourceTree.of(entries),
            self.toolchain,
        )


@pytest.fixture
def assemble(tmp_path: Path) -> Assembling:
    return Assembling(tmp_path / "state")


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    return compile_c(tmp_path / "hello", HELLO)


def regular(image: AssembledImage) -> dict[str, str]:
    return {one.path: one.reason for one in image.contents if one.kind == "file"}


async def test_a_dynamic_binary_gets_what_it_needs_and_nothing_else(assemble: Assembling, hello: Path):
    image = await assemble(hello)
    assert regular(image) == {
        "/app/users": "binary users",
        LOADER: "loader: needed by /app/users",
        LIBC: "library: needed by /app/users",
        "/etc/passwd": "accounts: names nonroot and root",
        "/etc/group": "accounts: names nonroot and root",
    }
    assert image.file_count == 5
    assert image.size == sum(one.size for one in image.contents)
    assert image.warnings == ()
    assert image.user == "65532:65532"
    assert image.entrypoint == ("/app/users",)


async def test_what_rustc_makes(assemble: Assembling, tmp_path: Path):
    image = await assemble(compile_rust(tmp_path / "hello"))
    assert {"/app/users", LOADER, LIBC} <= set(regular(image))
    assert set(regular(image)) <= {
        *("/app/users", LOADER, LIBC, "/lib/x86_64-linux-gnu/libgcc_s.so.1", "/etc/passwd", "/etc/group")
    }


@pytest.mark.parametrize("flag", ["-static", "-static-pie"])
async def test_a_static_binary_is_alone(assemble: Assembling, tmp_path: Path, flag: str):
    assemble.link = Link.STATIC
    image = await assemble(compile_c(tmp_path / "hello", HELLO, flag))
    assert set(regular(image)) == {"/app/users"}
    assert image.file_count == 1
    assert {one.path for one in image.contents if one.kind == "directory"} >= {"/tmp", "/home/nonroot", "/app"}
    assert [method for method, _ in assemble.engine.calls] == []


async def test_a_static_binary_that_speaks_tls_has_the_bundle_beside_it(assemble: Assembling, tmp_path: Path):
    assemble.link = Link.STATIC
    image = await assemble(compile_c(tmp_path / "hello", TLS, "-static"))
    assert regular(image) == {
        "/app/users": "binary users",
        CERTIFICATES: "certificates: TLS is linked (SSL_CERT_FILE)",
    }


async def test_the_bundle_is_there_and_named_only_where_tls_is_linked(
    assemble: Assembling, hello: Path, tmp_path: Path
):
    assert "SSL_CERT_FILE" not in (await assemble(hello)).environment
    image = await assemble(compile_c(tmp_path / "tls", TLS))
    assert regular(image)[CERTIFICATES] == "certificates: TLS is linked (SSL_CERT_FILE)"
    assert image.environment["SSL_CERT_FILE"] == CERTIFICATES


async def test_the_bundle_comes_for_a_library_of_a_library(assemble: Assembling, tmp_path: Path):
    ssl = library(tmp_path / "libssl.so.3", function="connect_tls")
    source = "int connect_tls(void);\nint answer(void) { return connect_tls(); }\n"
    outer = compile_c(tmp_path / "libpq.so.5", source, "-shared", "-fPIC", "-Wl,-soname,libpq.so.5", ssl)
    for made in (ssl, outer):
        assemble.toolchain_files[f"/usr/lib/x86_64-linux-gnu/{made.name}"] = file(made.read_bytes())
    flags = (outer, f"-Wl,-rpath-link,{tmp_path}")
    image = await assemble(
        compile_c(tmp_path / "p", "int answer(void);\nint main(void) { return answer(); }\n", *flags)
    )
    assert regular(image)[CERTIFICATES] == "certificates: TLS is linked (libssl.so.3)"
    assert regular(image)["/usr/lib/x86_64-linux-gnu/libssl.so.3"] == (
        "library: needed by /usr/lib/x86_64-linux-gnu/libpq.so.5"
    )


async def test_a_bundle_that_was_asked_for_is_included(assemble: Assembling, hello: Path):
    image = await assemble(hello, include=("ca",))
    assert regular(image)[CERTIFICATES] == "included: ca"
    assert image.environment["SSL_CERT_FILE"] == CERTIFICATES


async def test_tls_without_a_bundle_in_the_toolchain_image_is_a_warning(assemble: Assembling, tmp_path: Path):
    assemble.without = CERTIFICATES
    image = await assemble(compile_c(tmp_path / "tls", TLS))
    assert CERTIFICATES not in regular(image)
    assert "no CA bundle" in image.warnings[0]
    assert "SSL_CERT_FILE" not in image.environment


async def test_what_may_be_opened_and_is_not_there_is_reported(assemble: Assembling, tmp_path: Path):
    source = '#include <dlfcn.h>\nint main(void) { return dlopen("libsecret-1.so.0", RTLD_NOW) == 0; }\n'
    image = await assemble(compile_c(tmp_path / "p", source))
    assert image.warnings == ("/app/users may dlopen libsecret-1.so.0, which the image does not hold",)


async def test_what_may_be_opened_and_is_included_is_not_reported(assemble: Assembling, tmp_path: Path):
    source = '#include <dlfcn.h>\nint main(void) { return dlopen("libplugin.so", RTLD_NOW) == 0; }\n'
    assemble.tree["libplugin.so"] = library(tmp_path / "libplugin.so").read_bytes()
    image = await assemble(compile_c(tmp_path / "p", source), include=("libplugin.so",))
    assert image.warnings == ()


async def test_a_plugin_that_is_included_gets_what_it_needs(assemble: Assembling, hello: Path, tmp_path: Path):
    needed = library(tmp_path / "libneeded.so.1", function="needed")
    source = "int needed(void);\nint go(void) { return needed(); }\n"
    assemble.tree["plugins/p.so"] = compile_c(tmp_path / "p.so", source, "-shared", "-fPIC", needed).read_bytes()
    with pytest.raises(MissingLibrary, match=r"/app/plugins/p\.so needs libneeded\.so\.1"):
        await assemble(hello, include=("plugins/",))
    assemble.toolchain = None
    assemble.toolchain_files["/usr/lib/x86_64-linux-gnu/libneeded.so.1"] = file(needed.read_bytes())
    image = await assemble(hello, include=("plugins/",))
    assert regular(image)["/usr/lib/x86_64-linux-gnu/libneeded.so.1"] == "library: needed by /app/plugins/p.so"


async def test_a_library_of_the_tree_serves_where_the_binary_looks(assemble: Assembling, tmp_path: Path):
    made = library(tmp_path / "libanswer.so.1")
    program = compile_c(
        *(tmp_path / "p", "int answer(void);\nint main(void) { return answer(); }\n", made, "-Wl,-rpath,$ORIGIN/lib")
    )
    assemble.tree["lib/libanswer.so.1"] = made.read_bytes()
    image = await assemble(program, include=("lib/",))
    assert regular(image)["/app/lib/libanswer.so.1"] == "included: lib/"


async def test_an_asset_that_claims_the_binarys_place_is_refused(assemble: Assembling, hello: Path):
    assemble.tree["users/templates/a.html"] = b"a"
    with pytest.raises(BadImageSettings, match="set another working_directory"):
        await assemble(hello, include=("users/templates/",))
    image = await assemble(hello, include=("users/templates/",), working_directory="/srv")
    assert "/srv/users/templates/a.html" in regular(image)


async def test_two_state_directories_make_one_image(tmp_path: Path, hello: Path):
    first, second = Assembling(tmp_path / "one"), Assembling(tmp_path / "two")
    for one in (first, second):
        one.tree = {"b": b"b", "a": b"a"}
    one = await first(hello, include=("a", "b"), environment={"A": "1", "B": "2"})
    two = await second(hello, include=("b", "a"), environment={"B": "2", "A": "1"})
    assert one.manifest_digest == two.manifest_digest
    assert (one.layers, one.image_id, one.listing) == (two.layers, two.image_id, two.listing)


async def test_another_binary_or_another_setting_makes_another_image(assemble: Assembling, hello: Path, tmp_path: Path):
    other = compile_c(tmp_path / "other", HELLO.replace("hello", "other"))
    images = [await assemble(hello), await assemble(other), await assemble(hello, arguments=("x",))]
    assert len({image.manifest_digest for image in images}) == 3
    assert images[0].layers == images[2].layers


async def test_a_second_build_asks_the_engine_nothing(assemble: Assembling, hello: Path, tmp_path: Path):
    await assemble(hello)
    asked = len(assemble.engine.calls)
    await assemble(compile_c(tmp_path / "other", HELLO.replace("hello", "other")))
    assert asked
    assert len(assemble.engine.calls) == asked
    assert assemble.engine.containers == {}


async def test_the_blobs_are_there_and_the_listing_says_it_all(assemble: Assembling, hello: Path):
    image = await assemble(hello)
    manifest = json.loads(assemble.blobs.read(image.manifest_digest))
    assert manifest["config"]["digest"] == str(image.image_id)
    assert manifest["layers"][0]["digest"] == str(image.layers[0])
    listing = msgspec.json.decode(assemble.blobs.read(image.listing), type=tuple[ContentEntry, ...])
    assert listing == image.contents
    assert all(one.reason for one in listing)
