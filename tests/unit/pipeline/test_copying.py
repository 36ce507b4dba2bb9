"""Artefacts on their way into another sandbox: what goes on is as ours would be, and what is hostile ends the copy."""

import io
import tarfile
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace

import pytest

from daemon.pipeline.copying import Artefacts, UnsoundArtefacts, copied
from daemon.units.target_directory import TargetLimits

TIME = 1_700_000_000
ALL = Artefacts(directory="/target", wanted=lambda _: True, time=TIME)


def directory(path: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.mode = tarfile.DIRTYPE, 0o2777
    return info


def file(path: str, content: bytes = b"content", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.mtime, info.uname = len(content), mode, 4_102_444_800, "somebody"
    return info, content


def link(path: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info


Entry = tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]
TOP = (directory("target"), directory("target/release"))


def archive(entries: Iterable[Entry]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info, content = entry if isinstance(entry, tuple) else (entry, b"")
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


async def pieces(data: bytes, size: int = 1000) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def came(data: bytes, artefacts: Artefacts = ALL, size: int = 1000) -> list[tarfile.TarInfo]:
    """The entries that are put, their contents as `content`."""
    out = b"".join([piece async for piece in copied(pieces(data, size), artefacts)])
    with tarfile.open(fileobj=io.BytesIO(out), mode="r:") as tar:
        return [with_content(tar, info) for info in tar]


def with_content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> tarfile.TarInfo:
    content = tar.extractfile(info) if info.isreg() else None
    info.pax_headers = {"content": content.read().decode() if content else ""}
    return info


def text(info: tarfile.TarInfo) -> str:
    return info.pax_headers["content"]


@pytest.mark.parametrize("size", [1, 511, 512, 1 << 20])
async def test_what_is_there_goes_on_however_its_bytes_are_cut(size: int):
    long = "target/release/" + "long-" * 30
    entries = (*TOP, file("target/release/app", b"program", 0o4755), file(long, b"x" * 3000))
    found = await came(archive(entries), size=size)

    assert [info.name for info in found] == ["target", "target/release", "target/release/app", long]
    assert [text(info) for info in found[2:]] == ["program", "x" * 3000]


async def test_owner_mode_and_time_are_ours_whatever_they_were():
    found = await came(archive((*TOP, file("target/a", mode=0o4755), file("target/b", mode=0o666))))

    assert {(info.uid, info.gid, info.mtime, info.uname) for info in found} == {(10001, 10001, TIME, "")}
    assert [info.mode for info in found] == [0o755, 0o755, 0o755, 0o644]


async def test_what_is_not_wanted_stays_with_directories_that_nothing_needs():
    entries = (*TOP, directory("target/old"), file("target/old/a"), directory("target/new"), file("target/new/b"))
    only = replace(ALL, wanted=lambda path: path == "new/b")
    found = await came(archive(entries), only)

    assert [info.name for info in found] == ["target", "target/new", "target/new/b"]


async def test_an_empty_directory_goes_on():
    assert [info.name for info in await came(archive((*TOP, directory("target/out"))))][-1] == "target/out"


async def test_the_second_name_of_a_file_is_its_second_name_there():
    entries = (*TOP, file("target/release/app"), link("target/release/again", "target/release/app", tarfile.LNKTYPE))
    found = await came(archive(entries))

    assert (found[-1].islnk(), found[-1].linkname) == (True, "target/release/app")


@pytest.mark.parametrize("target", ["app", "../release/app", "/target/release/app", "nowhere", "."])
async def test_a_link_that_stays_goes_on_as_it_is(target: str):
    found = await came(archive((*TOP, file("target/release/app"), link("target/release/link", target))))

    assert (found[-1].issym(), found[-1].linkname) == (True, target)


HOSTILE: dict[str, tuple[Entry, ...]] = {
    "a link out": (*TOP, link("target/out", "/usr/bin")),
    "a link above": (*TOP, link("target/release/out", "../../cargo")),
    "a link out through another": (
        *TOP, directory("target/a"), directory("target/a/b"), link("target/a/b/up", "../../release"),
        link("target/out", "a/b/up/../../../etc"),
    ),
    "links in circles": (*TOP, link("target/a", "b"), link("target/b", "a")),
    "a file below a link": (*TOP, link("target/here", "release"), file("target/here/app")),
    "a file below a file": (*TOP, file("target/app"), file("target/app/inside")),
    "a file in no directory": (*TOP, file("target/missing/app")),
    "a pipe": (*TOP, link("target/pipe", "", tarfile.FIFOTYPE)),
    "a device": (*TOP, link("target/device", "", tarfile.CHRTYPE)),
    "the second name of what is elsewhere": (*TOP, link("target/shadow", "etc/shadow", tarfile.LNKTYPE)),
    "the second name of a later file": (*TOP, link("target/a", "target/b", tarfile.LNKTYPE), file("target/b")),
    "the second name of a link": (*TOP, link("target/a", "release"), link("target/b", "target/a", tarfile.LNKTYPE)),
    "two entries of one name": (*TOP, file("target/app"), file("target/app", b"another")),
    "a way up": (*TOP, file("target/../etc/passwd")),
    "another place": (*TOP, file("etc/passwd")),
    "no directory at its top": (file("target"),),
    "a control character": (*TOP, file("target/a\nb")),
    "a name in another form": (*TOP, file("target/a\u0308")),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_hostile_ends_the_copy(name: str):
    with pytest.raises(UnsoundArtefacts):
        await came(archive(HOSTILE[name]))


async def test_the_second_name_of_what_stays_behind_ends_it():
    entries = (*TOP, file("target/old"), link("target/new", "target/old", tarfile.LNKTYPE))
    with pytest.raises(UnsoundArtefacts, match="not copied"):
        await came(archive(entries), replace(ALL, wanted=lambda path: path != "old"))


WHOLE = archive((*TOP, file("target/release/app", b"x" * 2000)))
DAMAGE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "half a header": lambda: WHOLE[:200],
    "half a file": lambda: WHOLE[: 3 * 512 + 700],
    "no end": lambda: WHOLE[: 2 * 512],
    "a header that is none": lambda: b"x" + WHOLE[1:],
    "something after the end": lambda: WHOLE + b"more",
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_what_is_not_whole_ends_the_copy(name: str):
    with pytest.raises(UnsoundArtefacts):
        await came(DAMAGE[name]())


@pytest.mark.parametrize("limits", [TargetLimits(archive=2048), TargetLimits(entries=1)], ids=["bytes", "entries"])
async def test_what_is_larger_than_is_taken_ends_the_copy(limits: TargetLimits):
    with pytest.raises(UnsoundArtefacts):
        await came(WHOLE, replace(ALL, limits=limits))
