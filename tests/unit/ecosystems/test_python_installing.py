"""An environment that was installed is told apart by packages: what each has brought stands in its own record."""

import csv
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.manifests.python.locked import FileKind, LockedPackage
from daemon.ecosystems.kept import Fetched, FetchedFile, KeptPackage
from daemon.ecosystems.python import files
from daemon.ecosystems.python.installing import PythonInstalling
from daemon.errors import BadOutput
from daemon.tarball import Member
from tests.fakes.python_packages import Distribution
from tests.fakes.python_projects import APPLE, BERRY, SITE, TOOL, built_with, planned_python, project, url

LIB = SITE.removeprefix("/")
Entries = dict[str, "bytes | tarfile.TarInfo"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "env.tar"


def installing(blobs: BlobStore, *packages: Distribution) -> PythonInstalling:
    return planned_python(blobs, project(*packages)).installing


def installed(
    blobs: BlobStore, archive: Path, entries: Mapping[str, object], *packages: Distribution, seconds: float = 0.0
) -> Mapping[str, KeptPackage]:
    """What the packages' installation is told as, from the tar that it leaves, with these entries."""
    left = io.BytesIO()
    with tarfile.open(fileobj=left, mode="w") as tar:
        for name, content in entries.items():
            entry = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            entry.name = name
            data = content if isinstance(content, bytes) else b""
            entry.size = len(data)
            entry.mode = 0o755 if "/bin/" in name else 0o644
            tar.addfile(entry, io.BytesIO(data))
    taken(archive, left.getvalue())
    found = installing(blobs, *packages).installed(archive, seconds)
    return {line.partition(" ")[0]: package for line, package in found.items()}


def taken(archive: Path, content: bytes) -> None:
    """A file of this content as an engine hands it over."""
    with tarfile.open(archive, "w") as tar:
        entry = tarfile.TarInfo("env.tar")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


def record(info: str, *paths: str) -> bytes:
    """A record of these paths, as seen from site-packages."""
    listed = "".join(f"{path},,\n" for path in paths)
    return f"{listed}{info}/uv_cache.json,sha256=47DE,0\n{info}/RECORD,,\n".encode()


def of(name: str, *more: str, version: str = "1.0", **contents: bytes) -> Entries:
    """A package of one module as uv installs it; `more` are paths that its record has, too."""
    info = f"{name}-{version}.dist-info"
    return {
        f"{LIB}/{name}.py": contents.get("module", f"word = {name!r}\n".encode()),
        f"{LIB}/__pycache__/{name}.cpython-311.pyc": b"bytecode of " + name.encode(),
        f"{LIB}/{info}/METADATA": b"Metadata-Version: 2.1\n" + name.encode(),
        f"{LIB}/{info}/uv_cache.json": b'{"timestamp": 1}',
        f"{LIB}/{info}/RECORD": record(info, f"{name}.py", f"{info}/METADATA", *more),
    }


def paths(package: KeptPackage) -> list[str]:
    return [file.path for file in package.fetched.files]


def content(blobs: BlobStore, package: KeptPackage, path: str) -> bytes:
    (found,) = [file for file in package.fetched.files if file.path == path]
    assert found.size == blobs.size(Digest.parse(found.digest))
    return blobs.read(Digest.parse(found.digest))


def test_each_file_is_its_packages_whose_record_has_it(blobs: BlobStore, archive: Path):
    found = installed(blobs, archive, {**of("apple"), **of("berry")}, APPLE, BERRY)

    assert {name: paths(package) for name, package in found.items()} == {
        name: [
            f"{SITE}/__pycache__/{name}.cpython-311.pyc",
            f"{SITE}/{name}-1.0.dist-info/METADATA",
            f"{SITE}/{name}-1.0.dist-info/RECORD",
            f"{SITE}/{name}.py",
        ]
        for name in ("apple", "berry")
    }
    for name, package in found.items():
        assert content(blobs, package, f"{SITE}/{name}.py") == f"word = {name!r}\n".encode()


def test_packages_are_kept_under_their_lines_of_the_lock(blobs: BlobStore, archive: Path):
    installed(blobs, archive, of("apple"), APPLE)

    (name,) = installing(blobs, APPLE).installed(archive, 1.0)
    (wanted,) = planned_python(blobs, project(APPLE)).plan.packages.names

    assert name == wanted
    assert name.startswith("apple 1.0 ")
    assert name.endswith(f" sha256:{APPLE.sha256}")


def test_files_that_are_the_same_do_not_get_in_each_others_way(blobs: BlobStore, archive: Path):
    entries = {
        **of("apple", "apple/__init__.py", "apple/more/__init__.py", "apple/last.py"),
        f"{LIB}/apple/__init__.py": b"",
        f"{LIB}/apple/more/__init__.py": b"",
        f"{LIB}/apple/last.py": b"the last",
    }

    found = installed(blobs, archive, entries, APPLE)["apple"]

    assert content(blobs, found, f"{SITE}/apple/__init__.py") == b""
    assert content(blobs, found, f"{SITE}/apple/more/__init__.py") == b""
    assert content(blobs, found, f"{SITE}/apple/last.py") == b"the last"


def test_bytecode_is_its_sources_whether_a_record_has_it_or_not(blobs: BlobStore, archive: Path):
    entries = {
        **of("apple", "apple/core.py", "apple/__pycache__/core.cpython-311.pyc"),
        f"{LIB}/apple/core.py": b"core",
        f"{LIB}/apple/__pycache__/core.cpython-311.pyc": b"bytecode",
        f"{LIB}/apple/__pycache__/core.cpython-311.opt-1.pyc": b"bytecode without asserts",
        f"{LIB}/apple/__pycache__/other.cpython-311.pyc": b"bytecode of nothing that is here",
    }

    found = paths(installed(blobs, archive, entries, APPLE)["apple"])

    assert [path for path in found if "core" in path] == [
        f"{SITE}/apple/__pycache__/core.cpython-311.opt-1.pyc",
        f"{SITE}/apple/__pycache__/core.cpython-311.pyc",
        f"{SITE}/apple/core.py",
    ]
    assert not any("other" in path for path in found)


def test_what_uv_notes_for_itself_goes_with_its_line_of_the_record(blobs: BlobStore, archive: Path):
    found = installed(blobs, archive, of("apple", 'apple/a "strange, name.txt'.replace('"', '""')), APPLE)["apple"]

    text = content(blobs, found, f"{SITE}/apple-1.0.dist-info/RECORD").decode()
    lines = [line[0] for line in csv.reader(io.StringIO(text))]
    assert lines[:2] == ["apple.py", "apple-1.0.dist-info/METADATA"]
    assert lines[-1] == "apple-1.0.dist-info/RECORD"
    assert "uv_cache.json" not in text
    assert not any("uv_cache" in path for path in paths(found))


def test_two_installations_of_a_package_come_to_the_same(blobs: BlobStore, archive: Path):
    later = of("apple")
    later[f"{LIB}/apple-1.0.dist-info/uv_cache.json"] = b'{"timestamp": 2}'
    lines = later[f"{LIB}/apple-1.0.dist-info/RECORD"]
    assert isinstance(lines, bytes)
    later[f"{LIB}/apple-1.0.dist-info/RECORD"] = lines.replace(b"uv_cache.json,sha256=47DE", b"uv_cache.json,sha256=2E")

    first = installed(blobs, archive, of("apple"), APPLE)

    assert installed(blobs, archive, later, APPLE) == first


def test_a_script_may_be_run_and_nothing_else(blobs: BlobStore, archive: Path):
    entries = {**of("apple", "../../../bin/apple"), "env/bin/apple": b"#!/env/bin/python\n"}

    found = installed(blobs, archive, entries, APPLE)["apple"]

    assert [file.path for file in found.fetched.files if file.executable] == ["/env/bin/apple"]


def test_lines_that_lead_out_of_the_environment_or_to_nothing_are_passed_over(blobs: BlobStore, archive: Path):
    entries = {
        **of("apple", "../../../../etc/passwd", "/etc/shadow", "../../../../envy/file", "nothing.py"),
        "etc/passwd": b"root",
        "etc/shadow": b"root",
        "envy/file": b"beside",
    }

    found = installed(blobs, archive, entries, APPLE)["apple"]

    assert all(path.startswith(f"{SITE}/") for path in paths(found))
    assert len(paths(found)) == 4


def test_a_record_with_an_empty_line_is_read(blobs: BlobStore, archive: Path):
    entries = of("apple")
    lines = entries[f"{LIB}/apple-1.0.dist-info/RECORD"]
    assert isinstance(lines, bytes)
    entries[f"{LIB}/apple-1.0.dist-info/RECORD"] = b"\n" + lines

    assert len(paths(installed(blobs, archive, entries, APPLE)["apple"])) == 4


def test_links_and_directories_are_the_environments_own(blobs: BlobStore, archive: Path):
    link, folder = tarfile.TarInfo(), tarfile.TarInfo()
    link.type, link.linkname, folder.type = tarfile.SYMTYPE, "/usr/bin/python3", tarfile.DIRTYPE
    entries = {"env": folder, **of("apple", "../../../bin/python"), "env/bin/python": link}

    assert "/env/bin/python" not in paths(installed(blobs, archive, entries, APPLE)["apple"])


def test_a_name_is_found_however_its_record_writes_it(blobs: BlobStore, archive: Path):
    entries = {
        f"{LIB}/Apple_Sauce-1.0.dist-info/METADATA": b"metadata",
        f"{LIB}/Apple_Sauce-1.0.dist-info/RECORD": record(
            "Apple_Sauce-1.0.dist-info", "Apple_Sauce-1.0.dist-info/METADATA"
        ),
    }
    sauce = Distribution("apple-sauce", "1.0", "apple_sauce-1.0-py3-none-any.whl", b"wheel")

    assert len(paths(installed(blobs, archive, entries, sauce)["apple-sauce"])) == 2


def test_a_package_that_left_no_record_is_an_output_that_is_refused(blobs: BlobStore, archive: Path):
    with pytest.raises(BadOutput, match=r"berry 1\.0 was installed and has left no record"):
        installed(blobs, archive, of("apple"), APPLE, BERRY)


@pytest.mark.parametrize(
    "said", [b"caf\xe9.py,,\n", b'"' + bytes(200_000), b"a\rb\rc,,\n"], ids=["bytes", "long", "lines"]
)
def test_a_record_that_is_none_is_an_output_that_is_refused(blobs: BlobStore, archive: Path, said: bytes):
    with pytest.raises(BadOutput, match=r"apple-1\.0\.dist-info/RECORD is no record"):
        installed(blobs, archive, {**of("apple"), f"{LIB}/apple-1.0.dist-info/RECORD": said}, APPLE)


def test_a_record_below_another_directory_is_none(blobs: BlobStore, archive: Path):
    entries = {f"{LIB}/vendored/apple-1.0.dist-info/RECORD": record("apple-1.0.dist-info")}

    with pytest.raises(BadOutput, match="no record"):
        installed(blobs, archive, entries, APPLE)


def test_a_second_name_of_a_file_is_refused(blobs: BlobStore, archive: Path):
    second = tarfile.TarInfo()
    second.type, second.linkname = tarfile.LNKTYPE, f"{LIB}/apple.py"

    with pytest.raises(BadOutput, match=r"apple2\.py is a sparse file or a second name"):
        installed(blobs, archive, {**of("apple"), f"{LIB}/apple2.py": second}, APPLE)


def test_a_sparse_file_is_refused(blobs: BlobStore, archive: Path):
    sparse = tarfile.TarInfo()
    sparse.type = tarfile.GNUTYPE_SPARSE

    with pytest.raises(BadOutput, match=r"holes is a sparse file"):
        installed(blobs, archive, {**of("apple"), f"{LIB}/holes": sparse}, APPLE)


def test_seconds_are_shared_out_by_bytes(blobs: BlobStore, archive: Path):
    small, large = of("apple"), {**of("berry"), f"{LIB}/berry.py": bytes(100_000)}

    found = installed(blobs, archive, {**small, **large}, APPLE, BERRY, seconds=10.0)

    assert 0 < found["apple"].seconds < 0.5
    assert 9.0 < found["berry"].seconds < 10.0


@pytest.mark.parametrize("content", [b"no tar at all" * 100, b""], ids=["other bytes", "empty"])
def test_what_is_no_tar_is_an_output_that_is_refused(blobs: BlobStore, archive: Path, content: bytes):
    taken(archive, content)

    with pytest.raises(BadOutput, match="What was installed cannot be read"):
        installing(blobs, APPLE).installed(archive, 0.0)


def test_something_else_in_its_place_is_an_output_that_is_refused(blobs: BlobStore, archive: Path):
    link = tarfile.TarInfo("env.tar")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(link)

    with pytest.raises(BadOutput, match="left nothing at /target/env"):
        installing(blobs, APPLE).installed(archive, 0.0)


# --- the step


def put_in(part: PythonInstalling, fetched: Fetched | None = None) -> list[Member]:
    """What the step is given, beside the programs that it runs."""
    programs = ("bloomery/inside", "bloomery/inside/")
    return [member for member in part.step(fetched).members if not member.path.startswith(programs)]


@pytest.mark.parametrize(
    ("sizes", "kind", "in_memory"),
    [
        ((4 << 20, 4 << 20), FileKind.WHEEL, ("/env",)),
        ((8 << 20, 8 << 20), FileKind.WHEEL, ()),
        ((1, None), FileKind.WHEEL, ()),
        ((1,), FileKind.SDIST, ()),
    ],
    ids=["small", "large", "of unknown size", "built here"],
)
def test_a_small_environment_of_wheels_is_in_memory_while_it_is_installed(
    sizes: Sequence[int | None], kind: FileKind, in_memory: tuple[str, ...]
):
    def package(size: int | None) -> LockedPackage:
        return LockedPackage(name="apple", version="1", file="apple", url="", sha256="", size=size, kind=kind)

    assert files.in_memory([package(size) for size in sizes]) == in_memory


def test_what_is_wanted_is_put_in_as_requirements_and_nothing_else_where_the_files_lie_there(blobs: BlobStore):
    part = installing(blobs, APPLE, BERRY)

    wanted = put_in(part)

    assert [(one.path, one.content) for one in wanted] == [("bloomery/install.txt", b"apple==1.0\nberry==1.0\n")]
    assert part.taken == "/target/env.tar"


def test_in_a_sandbox_of_its_own_the_files_are_put_beside_it(blobs: BlobStore):
    digest = blobs.put(APPLE.content)
    fetched = Fetched(files=(FetchedFile(path=f"target/files/{APPLE.file}", digest=str(digest), size=3),))

    _, folder, file = put_in(installing(blobs, APPLE), fetched)

    assert (folder.path, folder.uid, folder.content) == ("target/files", 10001, None)
    assert isinstance(file, Member)
    assert (file.path, file.digest, file.source) == (f"target/files/{APPLE.file}", digest, blobs.path(digest))


def test_the_installation_asks_nobody_and_time_plays_no_part_in_its_bytecode(blobs: BlobStore):
    script = installing(blobs, APPLE).step(None).script

    assert "uv pip install --offline --no-index --no-deps --no-config --find-links /target/files" in script
    assert "-m inside.compile_packages /env/lib/python3.11/site-packages" in script
    assert script.startswith("#!/bin/sh\nset -eu\n")


def test_an_sdists_installation_has_what_it_is_built_with_beside_it_and_a_wheels_has_not(blobs: BlobStore):
    quince = built_with("tool")
    files = project(APPLE, quince, building=(TOOL,))
    plan = planned_python(blobs, files)

    wheels, sdist = plan.lacking(plan.plan.packages.names)

    assert [member.content for member in put_in(wheels.installing)] == [b"apple==1.0\n"]
    assert [member.content for member in put_in(sdist.installing)] == [b"quince==1.0\n"]
    assert [one.partition(" ")[0] for one in wheels.keeping.wanted().names] == [APPLE.file]
    assert [one.partition(" ")[0] for one in sdist.keeping.wanted().names] == [quince.file, TOOL.file]
    assert url(TOOL).endswith(TOOL.file)


def test_of_several_one_whose_file_is_not_its_records_is_left_out_and_alone_it_is_not(blobs: BlobStore, tmp_path: Path):
    one, other = APPLE, BERRY
    path = f"{LIB}/apple-1.0.dist-info/RECORD"
    apple = of("apple")
    spoilt = {**apple, path: apple[path].replace(b"apple.py,,", b"apple.py,sha256=" + b"A" * 43 + b",9")}

    assert installed(blobs, tmp_path / "both.tar", {**spoilt, **of("berry")}, one, other).keys() == {"berry"}
    assert installed(blobs, tmp_path / "one.tar", spoilt, one).keys() == {"apple"}
