"""The loader's search, on real libraries: what it finds is where the real loader finds it."""

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from daemon.errors import MissingLibrary
from daemon.image.architecture import AMD64
from daemon.image.closure import Library, Root, closure
from daemon.image.elf import ElfReader
from tests.fakes.elves import HELLO, HostFiles, compile_c, library, read

CALLS = "int answer(void);\nint main(void) { return answer(); }\n"
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


Resolve = Callable[..., Awaitable[dict[str, Library]]]


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def resolve(blobs: BlobStore, reader: ElfReader, files: HostFiles):
    async def resolve(*programs: Path, at: str = "/app/program", among: HostFiles = files) -> dict[str, Library]:
        roots = [
            Root(path=at if number == 0 else f"/app/plugin{number}.so", elf=await read(reader, blobs, program))
            for number, program in enumerate(programs)
        ]
        found = await closure(roots, among, reader, AMD64, "the toolchain image")
        return {one.path: one for one in found}

    return resolve


async def test_a_program_gets_its_loader_and_its_library(tmp_path: Path, resolve: Resolve):
    found = await resolve(compile_c(tmp_path / "p", HELLO))
    assert set(found) == {"/lib64/ld-linux-x86-64.so.2", LIBC}
    assert found["/lib64/ld-linux-x86-64.so.2"].loader
    assert found[LIBC].needed_by == "/app/program"


@pytest.mark.parametrize("flags", [["-static"], ["-static-pie"]])
async def test_a_static_program_gets_nothing(tmp_path: Path, resolve: Resolve, flags: list[str]):
    assert await resolve(compile_c(tmp_path / "p", HELLO, *flags)) == {}


async def test_the_real_loader_finds_the_same(resolve: Resolve):
    """`ldd` of the C compiler proper, which needs a dozen libraries."""
    program = Path(output_of("gcc", "-print-prog-name=cc1").strip())
    lines = output_of("ldd", str(program)).splitlines()
    expected = {line.split()[2] if "=>" in line else line.split()[0] for line in lines if "vdso" not in line}
    assert len(expected) > 3
    assert set(await resolve(program)) == expected


async def test_a_private_library_is_found_by_runpath(tmp_path: Path, root: Path, resolve: Resolve):
    made = library(root / "opt/private/libanswer.so.1")
    found = await resolve(compile_c(tmp_path / "p", CALLS, made, "-Wl,-rpath,/opt/private"))
    assert found["/opt/private/libanswer.so.1"].needed_by == "/app/program"


async def test_origin_is_where_the_program_will_be(tmp_path: Path, root: Path, resolve: Resolve):
    made = library(root / "app/lib/libanswer.so.1")
    found = await resolve(compile_c(tmp_path / "p", CALLS, made, "-Wl,-rpath,$ORIGIN/lib"))
    assert "/app/lib/libanswer.so.1" in found


@pytest.mark.parametrize(
    ("flag", "missing"),
    [("-Wl,--disable-new-dtags", None), ("-Wl,--enable-new-dtags", r"/opt/libouter\.so needs libinner\.so")],
)
async def test_rpath_is_for_the_libraries_of_libraries_too_and_runpath_is_not(
    tmp_path: Path, root: Path, resolve: Resolve, flag: str, missing: str | None
):
    inner = library(root / "opt/libinner.so", function="inner")
    outer = compile_c(
        root / "opt/libouter.so",
        "int inner(void);\nint answer(void) { return inner(); }\n",
        *("-shared", "-fPIC", "-Wl,-soname,libouter.so", inner),
    )
    program = compile_c(
        tmp_path / "p", CALLS, outer, inner.with_name("libinner.so"), flag, "-Wl,-rpath,/opt", "-Wl,--as-needed"
    )
    if missing is None:
        assert (await resolve(program))["/opt/libinner.so"].needed_by == "/opt/libouter.so"
    else:
        with pytest.raises(MissingLibrary, match=missing):
            await resolve(program)


async def test_what_only_the_cache_of_ldconfig_finds_is_moved_to_where_the_image_looks(
    tmp_path: Path, root: Path, blobs: BlobStore, resolve: Resolve
):
    made = library(root / "usr/local/special/libanswer.so.1")
    configured = HostFiles(root, blobs, configured=("/usr/local/special",))
    found = await resolve(compile_c(tmp_path / "p", CALLS, made), among=configured)
    assert "/lib/x86_64-linux-gnu/libanswer.so.1" in found


async def test_one_file_under_two_names_is_one_library_and_a_link(tmp_path: Path, root: Path, resolve: Resolve):
    """The first has no soname, so the program asks for it by the name it was linked under."""
    made = compile_c(root / "opt/libanswer.so", "int answer(void) { return 42; }\n", "-shared", "-fPIC")
    other = root / "opt/libother.so"
    other.symlink_to(made.name)
    flags = ["-L", root / "opt", "-Wl,--no-as-needed", "-lanswer", "-lother", "-Wl,-rpath,/opt"]
    found = await resolve(compile_c(tmp_path / "p", CALLS, *flags))
    assert found["/opt/libanswer.so"].aliases == ("/opt/libother.so",)
    assert "/opt/libother.so" not in found


async def test_a_missing_library_is_named_with_who_needs_it(tmp_path: Path, resolve: Resolve):
    made = library(tmp_path / "elsewhere/libanswer.so.7")
    with pytest.raises(MissingLibrary) as missing:
        await resolve(compile_c(tmp_path / "p", CALLS, made))
    assert "/app/program needs libanswer.so.7, which the toolchain image does not hold" in missing.value.detail
    assert missing.value.evidence["libraries"] == [{"library": "libanswer.so.7", "needed_by": "/app/program"}]


async def test_a_missing_loader_is_named(tmp_path: Path, resolve: Resolve):
    program = compile_c(tmp_path / "p", HELLO, "-Wl,--dynamic-linker=/lib/ld-strange.so.1")
    with pytest.raises(MissingLibrary, match=r"needs /lib/ld-strange\.so\.1"):
        await resolve(program)


def versioned(path: Path, *versions: str) -> Path:
    script = path.parent / "versions"
    path.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("".join(f"{version} {{ global: f_{version}; answer; }};\n" for version in versions))
    bodies = "".join(f"int f_{version}(void) {{ return 1; }}\n" for version in versions)
    flags = ["-shared", "-fPIC", f"-Wl,-soname,{path.name}", f"-Wl,--version-script={script}"]
    return compile_c(path, bodies, *flags)


async def test_a_missing_symbol_version_is_named(tmp_path: Path, root: Path, resolve: Resolve):
    newer = versioned(tmp_path / "new/libanswer.so.1", "ANSWER_1", "ANSWER_2")
    older = versioned(root / "opt/libanswer.so.1", "ANSWER_1")
    source = "int f_ANSWER_2(void);\nint main(void) { return f_ANSWER_2(); }\n"
    program = compile_c(tmp_path / "p", source, newer, "-Wl,-rpath,/opt")
    with pytest.raises(MissingLibrary) as missing:
        await resolve(program)
    assert "/app/program needs version ANSWER_2 of libanswer.so.1" in missing.value.detail
    older.write_bytes(newer.read_bytes())
    assert "/opt/libanswer.so.1" in await resolve(program)


async def test_a_library_for_another_machine_is_passed_over(tmp_path: Path, root: Path, resolve: Resolve):
    foreign = library(root / "opt/foreign/libanswer.so.1")
    program = compile_c(tmp_path / "p", CALLS, foreign, "-Wl,-rpath,/opt/foreign:/opt/right")
    content = bytearray(foreign.read_bytes())
    right = root / "opt/right/libanswer.so.1"
    right.parent.mkdir()
    right.write_bytes(content)
    content[18:20] = (183).to_bytes(2, "little")
    foreign.write_bytes(content)
    assert "/opt/right/libanswer.so.1" in await resolve(program)


async def test_a_plugin_uses_what_its_program_has_loaded(tmp_path: Path, root: Path, resolve: Resolve):
    private = library(root / "opt/private/libanswer.so.1")
    program = compile_c(tmp_path / "p", CALLS, private, "-Wl,-rpath,/opt/private")
    plugin = compile_c(
        tmp_path / "plugin.so", "int answer(void);\nint go(void) { return answer(); }\n", "-shared", "-fPIC", private
    )
    found = await resolve(program, plugin)
    assert [path for path in found if "answer" in path] == ["/opt/private/libanswer.so.1"]
    assert not any(path.startswith("/lib/x86_64-linux-gnu/ld-") for path in found)


async def test_what_a_plugin_alone_needs_comes_too(tmp_path: Path, root: Path, resolve: Resolve):
    private = library(root / "opt/private/libanswer.so.1")
    source = "int answer(void);\nint go(void) { return answer(); }\n"
    plugin = compile_c(tmp_path / "plugin.so", source, "-shared", "-fPIC", private, "-Wl,-rpath,/opt/private")
    found = await resolve(compile_c(tmp_path / "p", HELLO), plugin)
    assert found["/opt/private/libanswer.so.1"].needed_by == "/app/plugin1.so"
