"""Archives made to do harm, and honest ones from every common tool, through the reader's real child process."""

import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import archive_child
from cache.archive import command, outcome
from cache.archive_child import read_tree
from cache.archive_errors import BadArchive, BadIgnoreFile, UnsafeEntry, UploadTooLarge, UploadTooSlow
from cache.archive_limits import ArchiveLimits
from cache.digest import Digest
from cache.errors import Failure, NoSpace
from cache.ignore import CACHE_SIGNATURE
from cache.tree import SourceTree

LIMITS = ArchiveLimits()
END = bytes(1024)
MIB = 1 << 20
MEASURED = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


class Reader:
    """Runs the child on archives, and sees to it that it wrote nothing but blobs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.staging = root / "staging"
        self.complaint = ""

    def __call__(self, archive: bytes, limits: ArchiveLimits = LIMITS) -> SourceTree:
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir()
        ran = subprocess.run(
            command(self.staging, limits), input=archive, capture_output=True, env=MEASURED, cwd=self._root, check=False
        )
        self.complaint = ran.stderr.decode()
        assert self.complaint == ""
        assert list(self._root.iterdir()) == [self.staging]
        for path in self.staging.iterdir():
            assert path.is_file()
            assert not path.is_symlink()
            assert path.name in {"arriving", hashlib.sha256(path.read_bytes()).hexdigest()}
        return outcome(ran.stdout, ran.returncode, limits)

    def refusal(self, archive: bytes, kind: type[Failure], limits: ArchiveLimits = LIMITS) -> Failure:
        with pytest.raises(kind) as refusal:
            self(archive, limits)
        assert type(refusal.value) is kind
        return refusal.value

    def rule(self, archive: bytes) -> tuple[object, object]:
        evidence = self.refusal(archive, UnsafeEntry).evidence
        return evidence["rule"], evidence["entry"]

    def limit(self, archive: bytes, limits: ArchiveLimits = LIMITS) -> object:
        return self.refusal(archive, UploadTooLarge, limits).evidence["limit"]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    root = tmp_path / "reader"
    root.mkdir()
    return Reader(root)


def octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def block(
    name: bytes,
    kind: bytes = b"0",
    size: int | bytes = 0,
    *,
    target: bytes = b"",
    mode: bytes = b"0000644\0",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
) -> bytes:
    """One header block with whatever it is told to say, and a right checksum."""
    header = bytearray(512)
    for start, field in (
        (0, name),
        (100, mode),
        (124, size if isinstance(size, bytes) else octal(size, 12)),
        (148, b" " * 8),
        (156, kind),
        (157, target),
        (257, magic),
        (345, prefix),
    ):
        header[start : start + len(field)] = field
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def file(name: bytes, content: bytes = b"x") -> bytes:
    return block(name, size=len(content)) + padded(content)


def pax(records: dict[bytes, bytes], kind: bytes = b"x") -> bytes:
    content = b""
    for key, value in records.items():
        length = len(key) + len(value) + 3
        while len(b"%d" % length) + len(key) + len(value) + 3 != length:
            length += 1
        content += b"%d %s=%s\n" % (length, key, value)
    return block(b"pax", kind, len(content)) + padded(content)


def paths(tree: SourceTree) -> list[str]:
    return [entry.path for entry in tree]


HONEST = file(b"Cargo.toml", b"[package]\n") + file(b"src/main.rs", b"fn main() {}\n")


# --- honest archives


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_what_gnu_tar_writes_is_read_in_all_its_formats(read: Reader, tmp_path: Path, form: str):
    long = "a-long-directory-name/" * (1 if form == "v7" else 6) + "module.rs"
    source = tmp_path / "source"
    for path in ("Cargo.toml", "run.sh", long):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(path)
    (source / "run.sh").chmod(0o755)
    (source / "empty").mkdir()
    (source / "link").symlink_to("run.sh")
    archive = subprocess.run(
        ["tar", "-C", str(source), f"--format={form}", "-cf", "-", "."], capture_output=True, check=True
    ).stdout
    tree = read(archive)
    assert {entry.path: entry.kind for entry in tree} == {
        "Cargo.toml": "file",
        "run.sh": "file",
        long: "file",
        "empty": "directory",
        "link": "symlink",
    }
    assert [entry.path for entry in tree if entry.executable] == ["run.sh"]
    assert all(entry.digest == Digest.of(entry.path.encode()) for entry in tree.files())
    assert [entry.target for entry in tree if entry.target] == ["run.sh"]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_writes_is_read(read: Reader, form: int):
    names = ["Cargo.toml", "deep/" * 30 + "x.rs", "name" * 20 + "/\N{GREEK SMALL LETTER LAMDA}.rs"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid, member.uname = len(name), 1.5, 1000, "gr\u00fcn"
            tar.addfile(member, io.BytesIO(name.encode()))
    assert paths(read(out.getvalue())) == sorted(names)


def test_what_git_archive_writes_is_read_without_its_top_directory(read: Reader, tmp_path: Path):
    def git(*words: str) -> bytes:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *identity, *words], cwd=tmp_path / "g", capture_output=True, check=True).stdout

    (tmp_path / "g" / "src").mkdir(parents=True)
    (tmp_path / "g" / "Cargo.toml").write_text("x")
    (tmp_path / "g" / "src" / "lib.rs").write_text("y")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    tree = read(git("archive", "--format=tar.gz", "--prefix=project-1.2.3/", "HEAD"))
    assert paths(tree) == ["Cargo.toml", "src/lib.rs"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_one_archive_is_one_tree_however_it_is_compressed(read: Reader, pack: Callable[[bytes], bytes]):
    assert read(pack(HONEST + END)) == read(HONEST + END)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_compressed_stream_in_several_members_is_read(read: Reader, pack: Callable[[bytes], bytes]):
    archive = HONEST + END
    parts = (archive[:700], b"", archive[700:])
    assert read(b"".join(map(pack, parts))) == read(archive)


def test_the_top_directory_goes_only_if_it_holds_everything(read: Reader):
    inside = file(b"a-1.0/Cargo.toml") + file(b"a-1.0/src/lib.rs")
    assert paths(read(block(b"a-1.0/", b"5") + inside + END)) == ["Cargo.toml", "src/lib.rs"]
    assert paths(read(inside + file(b"README") + END)) == ["README", "a-1.0/Cargo.toml", "a-1.0/src/lib.rs"]
    assert paths(read(file(b"Cargo.toml") + END)) == ["Cargo.toml"]


def test_a_directory_of_unix_version_7_is_one(read: Reader):
    tree = read(HONEST + block(b"old/", b"\0", magic=b"") + END)
    assert [entry.path for entry in tree if entry.kind == "directory"] == ["old"]


def test_owners_times_and_modes_are_no_part_of_a_tree(read: Reader):
    plain = read(file(b"x.rs") + END)
    odd = bytearray(block(b"x.rs", size=1, mode=b"0007666\0"))
    odd[108:124] = b"\xff" * 16
    odd[136:148] = b"not a time!!"
    odd[148:156] = b" " * 8
    odd[148:156] = b"%06o\0 " % sum(odd)
    assert read(bytes(odd) + padded(b"x") + END) == plain


def test_an_empty_archive_is_an_empty_tree(read: Reader):
    assert len(read(END)) == 0
    assert len(read(block(b"./", b"5") + END)) == 0


def test_names_are_brought_to_one_normal_form(read: Reader):
    tree = read(file("e\u0301.rs".encode()) + block(b"l", b"2", target="e\u0301.rs".encode()) + END)
    assert [(entry.path, entry.target) for entry in tree] == [("l", "\u00e9.rs"), ("\u00e9.rs", "")]


# --- ignore rules


def test_the_archives_own_ignore_file_holds(read: Reader):
    rules = b"*.log\ndocs\n!docs/README.md\n"
    entries = [b"a.log", b"docs/x", b"docs/README.md", b"src/main.rs"]
    archive = b"".join(map(file, entries)) + block(b"docs/", b"5") + file(b".dockerignore", rules)
    assert paths(read(archive + END)) == [".dockerignore", "docs/README.md", "src/main.rs"]
    top = b"".join(file(b"p/" + name, rules) for name in (*entries, b".dockerignore"))
    assert paths(read(top + END)) == [".dockerignore", "docs/README.md", "src/main.rs"]


def test_what_cargo_made_is_left_out_with_its_hard_links(read: Reader):
    made = (
        file(b"target/release/deps/app-1")
        + block(b"target/release/app", b"1", target=b"target/release/deps/app-1")
        + block(b".git/fifo", b"6")
        + file(b".git/refs/heads/Fix")
        + file(b".git/refs/heads/fix")
        + file(b"out/CACHEDIR.TAG", CACHE_SIGNATURE + b"\n")
        + block(b"out/abs", b"2", target=b"/etc/passwd")
        + block(b"logs/dev", b"3")
        + file(b".dockerignore", b"logs\n")
    )
    assert paths(read(made + HONEST + file(b"src/target/mod.rs") + END)) == [
        ".dockerignore",
        "Cargo.toml",
        "src/main.rs",
        "src/target/mod.rs",
    ]


def test_an_ignore_file_that_is_no_such_thing_is_refused(read: Reader):
    assert read.refusal(file(b".dockerignore", b"ok\n[\n") + END, BadIgnoreFile).evidence["line"] == 2
    assert read.limit(file(b".dockerignore", b"#" * (LIMITS.header + 1)) + END) == "header"
    assert paths(read(file(b".dockerignore", b"\xff\xfe") + END)) == [".dockerignore"]


# --- what is no archive


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"hello, this is no archive" * 100,
        HONEST,
        HONEST + END[:512],
        HONEST[:-100],
        HONEST + block(b"p", b"x", 12),
        HONEST + block(b"p", b"x", 1000) + bytes(512),
        HONEST[:700],
        HONEST + END[:512] + file(b"x") + END,
        HONEST + END + b"x",
        HONEST + END + HONEST + END,
        gzip.compress(HONEST + END)[:-1],
        gzip.compress(HONEST + END, mtime=0)[:50],
        gzip.compress(HONEST + END) + b"rest",
        gzip.compress(HONEST + END) + gzip.compress(b"more"),
        b"\x1f\x8b" + b"x" * 100,
        zstandard.ZstdCompressor().compress(HONEST + END)[:-1],
        zstandard.ZstdCompressor().compress(HONEST + END) + b"rest",
        b"\x28\xb5\x2f\xfd" + b"x" * 100,
        zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27)).compressobj()
        .compress(bytes(200 << 20)),
        gzip.compress(gzip.compress(HONEST + END)),
        block(b"x", size=b"12345678901x") + END,
        block(b"x", size=b"9" * 11 + b"\0") + END,
        block(b"x", size=b"-0000000001\0") + END,
        block(b"x", mode=b"rw-r--r-") + END,
        HONEST.replace(b"ustar", b"vstar", 1) + END,
    ],
)  # fmt: skip
def test_a_body_that_is_no_whole_archive_is_refused(read: Reader, body: bytes):
    assert "again" in read.refusal(body, BadArchive).detail or "send" in read.refusal(body, BadArchive).detail


def test_another_kind_of_archive_is_called_by_its_name(read: Reader):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("Cargo.toml", "x")
    assert "zip" in read.refusal(packed.getvalue(), BadArchive).detail
    assert "xz" in read.refusal(lzma.compress(HONEST + END), BadArchive).detail


@pytest.mark.parametrize(
    "entries",
    [
        pax({b"size": b"600"}) + file(b"x"),
        pax({b"size": b"-1"}) + file(b"x"),
        pax({b"size": b"1" * 5000}) + file(b"x"),
        pax({b"path": b"a"}) + pax({b"path": b"b"}) + file(b"x"),
        pax({b"path": b"a"}) + block(b"L", b"L", 2) + padded(b"b\0") + file(b"x"),
        pax({b"path": b"a"}),
        pax({b"path": b"/all"}, b"g") + file(b"x"),
        pax({b"size": b"0"}, b"g") + file(b"x"),
        block(b"L", b"L", 5) + padded(b"a\0b\0\0") + file(b"x"),
        block(b"p", b"x", 10) + padded(b"no records") + file(b"x"),
        block(b"p", b"x", 12) + padded(b"99 path=abc\n") + file(b"x"),
        block(b"p", b"x", 12) + padded(b"11 path=abc\n") + file(b"x"),
        block(b"p", b"x", 12) + padded(b"12 pathxabc\n") + file(b"x"),
        block(b"p", b"x", 5) + padded(b"5 =a\n") + file(b"x"),
        block(b"p", b"x", 9) + padded(b"000000000") + file(b"x"),
        block(b"p", b"x", 24) + padded(b"12 path=abc\n12 path=abd\n") + file(b"x"),
        block(b"d/", b"5", 512) + bytes(512),
        block(b"l", b"2", 1, target=b"x") + padded(b"x"),
        block(b"l", b"1", 1, target=b"x") + padded(b"x"),
        file(b"f/"),
    ],
)
def test_an_archive_that_says_two_things_is_refused(read: Reader, entries: bytes):
    read.refusal(entries + HONEST * bool(entries.endswith(b"x" + bytes(511))) + END, BadArchive)


@pytest.mark.parametrize(
    "size",
    [
        b"\xff" * 12,
        b"\xff" * 11 + b"\x00",
        b"\x80" + b"\xff" * 11,
        b"\x80" + bytes(6) + b"\x08\0\0\0\0",
        b"77777777777\0",
    ],
)
def test_a_size_that_cannot_be_ends_at_once(read: Reader, size: bytes):
    begin = time.monotonic()
    read.refusal(block(b"x", size=size) + END, BadArchive)
    assert time.monotonic() - begin < 5


# --- entries that no tree may hold


@pytest.mark.parametrize(
    ("entry", "rule", "name"),
    [
        (block(b"h", b"1", target=b"Cargo.toml"), "hard_link", "h"),
        (block(b"d", b"3"), "device", "d"),
        (block(b"d", b"4"), "device", "d"),
        (block(b"f", b"6"), "fifo", "f"),
        (block(b"s", b"S", 0), "sparse", "s"),
        (block(b"c", b"7", 0), "unknown_type", "c"),
        (block(b"m", b"M", 0), "unknown_type", "m"),
        (block(b"v", b"V", 0), "unknown_type", "v"),
        (block(b"z", b"\xff", 0), "unknown_type", "z"),
        (pax({b"GNU.sparse.realsize": b"8796093022208", b"path": b"s"}) + file(b"s"), "sparse", "an entry"),
        (pax({b"GNU.sparse.major": b"1"}, b"g") + file(b"s"), "sparse", "an entry"),
        (file(b"/etc/passwd"), "absolute", "/etc/passwd"),
        (file(b"../x"), "parent", "../x"),
        (file(b"a/../../x"), "parent", "a/../../x"),
        (pax({b"path": b"../../x"}) + file(b"ok"), "parent", "../../x"),
        (pax({b"path": b"/x"}) + file(b"ok"), "absolute", "/x"),
        (block(b"L", b"L", 5) + padded(b"/abs\0") + file(b"ok"), "absolute", "/abs"),
        (block(b"passwd", prefix=b"/etc"), "absolute", "/etc/passwd"),
        (block(b"x", prefix=b"../.."), "parent", "../../x"),
        (file(b""), "empty_name", ""),
        (file(b"./"), "empty_name", "./"),
        (file(b"a\nb"), "control_character", "a\\nb"),
        (file(b"a\x1b[31m"), "control_character", "a\\x1b[31m"),
        (pax({b"path": b"a\0b"}) + file(b"ok"), "control_character", "a\\x00b"),
        (file(b"caf\xe9"), "not_utf8", "caf\\xe9"),
        (file(b"\xed\xa0\x80"), "not_utf8", "\\xed\\xa0\\x80"),
        (file(b"Cargo.toml"), "duplicate", "Cargo.toml"),
        (file(b"./Cargo.toml"), "duplicate", "Cargo.toml"),
        (file(b"cargo.toml"), "collision", "cargo.toml"),
        (file(b"SRC/x"), "collision", "SRC"),
        (file("e\u0301".encode()) + file("\u00e9".encode()), "duplicate", "\u00e9"),
        (file(b"Cargo.toml/x"), "below_a_file", "Cargo.toml/x"),
        (block(b"l", b"2", target=b"src") + file(b"l/x"), "below_a_link", "l/x"),
        (file(b"l/x") + block(b"l", b"2", target=b"/tmp"), "below_a_link", "l/x"),
        (block(b"l", b"2", target=b"/etc"), "link_outside", "l"),
        (block(b"l", b"2", target=b"../.."), "link_outside", "l"),
        (pax({b"linkpath": b"../x"}) + block(b"l", b"2", target=b"ok"), "link_outside", "l"),
        (block(b"K", b"K", 6) + padded(b"../../") + block(b"l", b"2", target=b"ok"), "link_outside", "l"),
        (block(b"l", b"2"), "empty_name", "l"),
        (block(b"l", b"2", target=b"\xff"), "not_utf8", "l"),
        (block(b"l", b"2", target=b"l"), "link_loop", "l"),
    ],
)
def test_an_entry_that_no_tree_may_hold_is_refused_by_name(read: Reader, entry: bytes, rule: str, name: str):
    assert read.rule(HONEST + entry + END) == (rule, name)


def test_the_chain_of_links_that_fooled_tarfile_is_refused(read: Reader):
    """CVE-2025-4517: a path too long to resolve hid where the last link leads."""
    step, links, here = b"d" * 200, [], b""
    for letter in b"abcd":
        links.append(block(here + bytes([letter]), b"2", target=step))
        links.append(block(here + step, b"5"))
        here += bytes([letter]) + b"/"
    rule, _ = read.rule(b"".join(links) + block(b"escape", b"2", target=here + b"../" * 20 + b"etc") + END)
    assert rule in {"link_outside", "below_a_link"}


def test_a_link_cannot_carry_a_later_file_outside(read: Reader, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for target in (str(outside).encode()[-99:], b"../../outside"):
        archive = block(b"l", b"2", target=target) + file(b"l/planted") + END
        with pytest.raises(UnsafeEntry):
            read(archive)
    assert list(outside.iterdir()) == []


# --- bounds


def packed_zeros(pack: Callable[[], tuple[Callable[[bytes], bytes], Callable[[], bytes]]], size: int) -> bytes:
    feed, finish = pack()
    out = [feed(block(b"zeros", size=size))]
    out += [feed(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*out, feed(END), finish()])


def gzipping() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    import zlib  # noqa: PLC0415 - here alone

    packer = zlib.compressobj(1, wbits=31)
    return packer.compress, packer.flush


def zstding() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress, packer.flush


@pytest.mark.parametrize("pack", [gzipping, zstding])
def test_a_bomb_ends_soon_and_takes_little_memory(
    read: Reader, pack: Callable[[], tuple[Callable[[bytes], bytes], Callable[[], bytes]]]
):
    bomb = packed_zeros(pack, 1 << 30)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert read.limit(bomb) in {"ratio", "expanded"}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 10
    tight = replace(LIMITS, memory=96 * MIB)
    assert read.limit(bomb, tight) in {"ratio", "expanded"}
    assert sum(path.stat().st_size for path in read.staging.iterdir()) <= LIMITS.ratio_from + MIB


def test_a_bomb_within_the_ratio_ends_at_the_size(read: Reader):
    assert read.limit(packed_zeros(gzipping, 64 * MIB), replace(LIMITS, expanded=40 * MIB, ratio=10**6)) == "expanded"


def test_a_body_over_its_size_is_refused(read: Reader):
    archive = file(b"x", bytes(3 * MIB)) + END
    assert read.limit(archive, replace(LIMITS, body=MIB)) == "body"
    assert paths(read(archive, replace(LIMITS, body=len(archive)))) == ["x"]


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_an_extension_header_is_bounded_before_it_is_read(read: Reader, kind: bytes):
    bomb = gzip.compress(block(b"big", kind, 400 * MIB) + bytes(40 * MIB), 1)
    begin = time.monotonic()
    assert read.limit(bomb) == "header"
    assert time.monotonic() - begin < 5


def test_too_many_entries_end_soon(read: Reader):
    many = gzip.compress(b"".join(block(b"f%d" % n) for n in range(300_000)) + END, 1)
    begin = time.monotonic()
    assert read.limit(many) == "entries"
    assert time.monotonic() - begin < 10


def test_extension_headers_without_end_are_too_many_entries(read: Reader):
    many = gzip.compress(pax({b"comment": b"x"}, b"g") * 100 + HONEST + END)
    assert read.limit(many, replace(LIMITS, entries=20)) == "entries"


def test_names_are_bounded_together(read: Reader):
    named = b"".join(file(b"%0100d" % n, b"") for n in range(100))
    assert read.limit(named + END, replace(LIMITS, names=9_999)) == "names"


@pytest.mark.parametrize(
    ("name", "limit"),
    [(b"n" * 256, "component"), (b"abc/" * 257, "path"), (b"a/" * 65, "depth"), (b"d/" * 30_000, "path")],
)
def test_paths_are_bounded(read: Reader, name: bytes, limit: str):
    archive = pax({b"path": name.rstrip(b"/")}) + file(b"x") + END
    assert read.limit(archive) == limit


def test_a_tree_at_every_bound_is_read(read: Reader):
    many = b"".join(block(b"d%d/f%d" % (n % 50, n)) for n in range(LIMITS.entries)) + END
    assert len(read(gzip.compress(many, 1))) == LIMITS.entries


def test_patterns_that_never_end_are_ended(read: Reader):
    hostile = file(b".dockerignore", b"*a" * 20 + b"b\n") + file(b"a" * 99) + END
    refusal = read.refusal(hostile, UploadTooSlow, replace(LIMITS, cpu=1))
    assert refusal.evidence == {"limit": "cpu", "allowed": 1}


def test_a_lack_of_memory_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def exhausted(*_: object) -> SourceTree:
        raise MemoryError

    monkeypatch.setattr(archive_child, "read_tree", exhausted)
    with pytest.raises(UploadTooLarge) as refusal:
        outcome(json.dumps(archive_child._answer(io.BytesIO().read, tmp_path, LIMITS)).encode(), 0, LIMITS)
    assert refusal.value.evidence["limit"] == "memory"


# --- the child itself


def test_the_child_is_confined_and_knows_nothing_of_its_surroundings(tmp_path: Path):
    code = (
        "import sys, os, resource; sys.path.insert(0, sys.argv[1])\n"
        "from cache import archive_child\nfrom cache.archive_limits import ArchiveLimits\n"
        "archive_child._confine(ArchiveLimits(cpu=7))\n"
        "print([resource.getrlimit(x)[0] for x in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE,"
        " resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)])"
    )
    root = command(tmp_path, LIMITS)[-3]
    ran = subprocess.run([sys.executable, "-I", "-c", code, root], capture_output=True, check=True)
    assert json.loads(ran.stdout) == [LIMITS.memory, 7, LIMITS.expanded, 0, 32]


@pytest.mark.parametrize(("status", "kind"), [(-24, UploadTooSlow), (-9, Failure), (1, Failure)])
def test_a_child_that_ended_without_an_answer_is_a_failure(status: int, kind: type[Failure]):
    with pytest.raises(Failure) as failure:
        outcome(b"", status, LIMITS)
    assert type(failure.value) is kind


def test_a_full_disk_is_not_the_archives_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    problem = OSError(errno.EIO, "Input/output error")

    def failing(*_: object) -> int:
        raise problem

    monkeypatch.setattr(archive_child.os, "write", failing)
    with pytest.raises(OSError, match="Input/output"):
        archive_child._answer(io.BytesIO(HONEST + END).read, tmp_path, LIMITS)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    problem = OSError(errno.ENOSPC, "No space left on device")
    answer = json.dumps(archive_child._answer(io.BytesIO(HONEST + END).read, tmp_path, LIMITS)).encode()
    with pytest.raises(NoSpace):
        outcome(answer, 0, LIMITS)


# --- anything at all

SEED = (
    pax({b"path": b"long/" * 30 + b"x.rs", b"mtime": b"1.5"})
    + file(b"x.rs", b"content")
    + block(b"L", b"L", 6)
    + padded(b"other\0")
    + file(b"y", b"y" * 600)
    + block(b"src/", b"5")
    + block(b"src/link", b"2", target=b"../other")
    + file(b".dockerignore", b"*.log\n!a/**/b.log\n[a-c]?\n")
    + HONEST
    + END
)
CHANGES = st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(min_size=0, max_size=12)), min_size=1, max_size=6)


def mutated(changes: Iterable[tuple[int, bytes]], cut: int, *, mend: bool) -> bytes:
    archive = bytearray(SEED)
    for at, what in changes:
        archive[at : at + len(what)] = what
    if mend:  # a header that is wrong in another way than by its checksum gets further
        for at in range(0, len(archive) - 511, 512):
            if archive[at + 257 : at + 262] == b"ustar":
                archive[at + 148 : at + 156] = b" " * 8
                archive[at + 148 : at + 156] = b"%06o\0 " % sum(archive[at : at + 512])
    return bytes(archive[: len(archive) - cut])


def ends_well(read_it: Callable[[bytes], SourceTree], archive: bytes) -> None:
    try:
        result: SourceTree | Failure = read_it(archive)
    except Failure as failure:
        result = failure
    if isinstance(result, Failure):
        assert result.kind != "internal"
        assert json.dumps(result.evidence)
        assert result.detail.isprintable()
    else:
        assert all(not entry.path.startswith(("/", "../")) for entry in result)


def in_process(archive: bytes) -> SourceTree:
    with tempfile.TemporaryDirectory() as root:
        return read_tree(io.BytesIO(archive).read, Path(root), replace(LIMITS, expanded=4 * MIB))


@settings(deadline=None, max_examples=600)
@given(changes=CHANGES, cut=st.sampled_from([0, 0, 0, 1, 512, 1024, 3000]), mend=st.booleans())
def test_a_changed_archive_is_read_or_refused(changes: list[tuple[int, bytes]], cut: int, *, mend: bool):
    ends_well(in_process, mutated(changes, cut, mend=mend))


@settings(deadline=None, max_examples=300)
@given(
    at=st.integers(0, 5000),
    what=st.binary(min_size=1, max_size=8),
    pack=st.sampled_from([gzip.compress, zstandard.ZstdCompressor().compress]),
)
def test_a_changed_compressed_archive_is_read_or_refused(at: int, what: bytes, pack: Callable[[bytes], bytes]):
    packed = bytearray(pack(SEED))
    at %= len(packed)
    packed[at : at + len(what)] = what
    ends_well(in_process, bytes(packed))


@settings(deadline=None, max_examples=25)
@given(changes=CHANGES, mend=st.booleans())
def test_a_changed_archive_does_not_crash_the_child(changes: list[tuple[int, bytes]], *, mend: bool):
    with tempfile.TemporaryDirectory() as root:
        ends_well(Reader(Path(root)), mutated(changes, 0, mend=mend))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(body: bytes):
    ends_well(in_process, body)
