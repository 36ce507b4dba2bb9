"""The two programs that run inside sandboxes, for real, against a server on this machine."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tomli_w

from daemon.ecosystems.python.inside import build_requirements, fetch_files
from daemon.ecosystems.python.steps import programs
from tests.fakes.python_packages import sdist

TAGS = "cp311-cp311-manylinux_2_36_x86_64\npy3-none-any\n"


class Shelf:
    """Serves what is put on it: for each path its answers in order, the last one again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.asked: list[str] = []
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shelf.asked.append(self.path)
                answers = shelf.answers.get(self.path, [(404, b"")])
                code, content = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Nothing is said."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def put(self, name: str, content: bytes, *before: int) -> dict[str, str]:
        """A file, which comes after answers of these codes; returns its line of the list."""
        self.answers[f"/{name}"] = [*((code, b"") for code in before), (200, content)]
        return {"url": self.url(name), "file": name, "sha256": hashlib.sha256(content).hexdigest()}

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{name}"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which takes any time."""
    made: list[float] = []
    monkeypatch.setattr("time.sleep", made.append)
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    return made


def fetch(directory: Path, *wanted: Mapping[str, str]) -> None:
    listing = directory.parent / "files.json"
    listing.write_text(json.dumps(wanted))
    fetch_files.main(str(listing), str(directory))


def ended(directory: Path, capsys: pytest.CaptureFixture[str], *wanted: Mapping[str, str]) -> tuple[int, str]:
    """The code that a fetch ends with, and what it says."""
    with pytest.raises(SystemExit) as end:
        fetch(directory, *wanted)
    assert isinstance(end.value.code, int)
    return end.value.code, capsys.readouterr().err


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# --- fetching


def test_files_come_under_their_names_with_their_contents(shelf: Shelf, directory: Path):
    wanted = [shelf.put(f"{number}.whl", f"content of {number}".encode() * 1000) for number in range(20)]

    fetch(directory, *wanted)

    assert names(directory) == sorted(one["file"] for one in wanted)
    assert (directory / "7.whl").read_bytes() == b"content of 7" * 1000
    assert len(shelf.asked) == 20


def test_where_nothing_is_wanted_nobody_is_asked(shelf: Shelf, directory: Path):
    fetch(directory)

    assert (names(directory), shelf.asked) == ([], [])


def test_another_content_is_told_with_both_checksums_and_not_kept(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]
):
    wanted = {**shelf.put("a.whl", b"other"), "sha256": "0" * 64}

    code, said = ended(directory, capsys, wanted)

    assert code == fetch_files.OTHER_CONTENT
    assert said == (
        f"error: a.whl has sha256 {hashlib.sha256(b'other').hexdigest()}, and the lock says {'0' * 64} "
        f"({shelf.url('a.whl')})\n"
    )
    assert names(directory) == []


def test_a_file_that_is_gone_is_not_asked_for_again(
    shelf: Shelf, directory: Path, pauses: list[float], capsys: pytest.CaptureFixture[str]
):
    code, said = ended(directory, capsys, {"url": shelf.url("gone.whl"), "file": "gone.whl", "sha256": "0" * 64})

    assert (code, said) == (fetch_files.GONE, f"error: {shelf.url('gone.whl')}: 404 Not Found\n")
    assert (pauses, shelf.asked) == ([], ["/gone.whl"])


@pytest.mark.parametrize("code", [408, 425, 429, 500, 503])
def test_a_server_that_comes_back_is_asked_again(shelf: Shelf, directory: Path, pauses: list[float], code: int):
    fetch(directory, shelf.put("a.whl", b"a", code, code))

    assert (directory / "a.whl").read_bytes() == b"a"
    assert pauses == [0.5, 2.0]


def test_a_server_that_stays_away_is_unreachable_after_four_tries(
    shelf: Shelf, directory: Path, pauses: list[float], capsys: pytest.CaptureFixture[str]
):
    wanted = shelf.put("a.whl", b"a", 503, 503, 503, 503)

    assert ended(directory, capsys, wanted) == (
        fetch_files.UNREACHABLE,
        f"error: {shelf.url('a.whl')}: 503 Service Unavailable\n",
    )
    assert (len(pauses), len(shelf.asked)) == (3, 4)


def test_nobody_there_is_unreachable_with_the_reason(
    shelf: Shelf, directory: Path, pauses: list[float], capsys: pytest.CaptureFixture[str]
):
    wanted = shelf.put("a.whl", b"a")
    nobody = {**wanted, "url": "http://127.0.0.1:1/a.whl"}

    code, said = ended(directory, capsys, nobody)

    assert code == fetch_files.UNREACHABLE
    assert "Connection refused" in said
    assert len(pauses) == 3


def test_the_first_that_does_not_come_ends_it(shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]):
    gone = {"url": shelf.url("gone.whl"), "file": "gone.whl", "sha256": "0" * 64}
    others = [shelf.put(f"{number}.whl", b"content") for number in range(200)]

    code, _ = ended(directory, capsys, gone, *others)

    assert code == fetch_files.GONE
    assert len(shelf.asked) < 200


# --- what sdists are built with


def lock(*packages: Mapping[str, object]) -> str:
    return tomli_w.dumps({"lock-version": "1.0", "packages": list(packages)})


def locked(shelf: Shelf, name: str, content: bytes, *wheels: str, file: str = "") -> dict[str, object]:
    """A package of a lock with an sdist, and wheels of these names."""
    put = shelf.put(file or f"{name}-1.0.tar.gz", content)
    package: dict[str, object] = {"name": name, "sdist": {"url": put["url"], "hashes": {"sha256": put["sha256"]}}}
    if wheels:
        package["wheels"] = [{"url": shelf.url(wheel), "hashes": {}} for wheel in wheels]
    return package


def required(directory: Path, *packages: Mapping[str, object]) -> int:
    """Run the program on a lock of these packages."""
    (directory.parent / "pylock.toml").write_text(lock(*packages))
    (directory.parent / "tags").write_text(TAGS)
    return build_requirements.main(
        str(directory.parent / "pylock.toml"), str(directory.parent / "tags"), str(directory)
    )


def with_requires(*requires: str) -> str:
    return f"[build-system]\nrequires = {json.dumps(requires)}\n"


def test_what_sdists_require_is_told_once_and_sorted_and_they_stay(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]
):
    quince = sdist("quince", pyproject=with_requires("tool>=1", "setuptools")).content
    rhubarb = sdist("rhubarb", pyproject=with_requires("cython", "tool>=1")).content

    assert required(directory, locked(shelf, "quince", quince), locked(shelf, "rhubarb", rhubarb)) == 0

    assert capsys.readouterr().out == "cython\nsetuptools\ntool>=1\n"
    assert names(directory) == ["quince-1.0.tar.gz", "rhubarb-1.0.tar.gz"]


@pytest.mark.parametrize("pyproject", ["", '[project]\nname = "quince"\n', '[build-system]\nbuild-backend = "x"\n'])
def test_an_sdist_that_does_not_say_it_is_built_as_in_the_old_days(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str], pyproject: str
):
    required(directory, locked(shelf, "quince", sdist("quince", pyproject=pyproject).content))

    assert capsys.readouterr().out == "setuptools >= 40.8.0\n"


def test_an_sdist_that_is_built_with_nothing_asks_for_nothing(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]
):
    assert required(directory, locked(shelf, "quince", sdist("quince", pyproject=with_requires()).content)) == 0
    assert capsys.readouterr().out == ""


def test_only_the_pyproject_at_the_top_counts(shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]):
    vendored = {"vendored/pyproject.toml": with_requires("vendored")}
    required(directory, locked(shelf, "quince", sdist("quince", files=vendored).content))

    assert capsys.readouterr().out == "setuptools >= 40.8.0\n"


@pytest.mark.parametrize("prefix", ["quince-1.0", "./quince-1.0"])
@pytest.mark.parametrize("form", ["tar.gz", "tar.bz2", "zip"])
def test_an_sdist_is_read_in_every_form(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str], form: str, prefix: str
):
    packed, text = io.BytesIO(), with_requires("tool").encode()
    if form == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(f"{prefix}/pyproject.toml", text)
    else:
        with tarfile.open(fileobj=packed, mode=f"w:{form[4:]}") as tar:
            entry = tarfile.TarInfo(f"{prefix}/pyproject.toml")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))

    assert required(directory, locked(shelf, "quince", packed.getvalue(), file=f"quince-1.0.{form}")) == 0
    assert capsys.readouterr().out == "tool\n"


def test_a_zip_without_a_pyproject_is_built_as_in_the_old_days(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]
):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("quince-1.0/setup.py", b"")
    required(directory, locked(shelf, "quince", packed.getvalue(), file="quince-1.0.zip"))

    assert capsys.readouterr().out == "setuptools >= 40.8.0\n"


@pytest.mark.parametrize(
    ("wheel", "fits"),
    [
        ("quince-1.0-py3-none-any.whl", True),
        ("quince-1.0-py2.py3-none-any.whl", True),
        ("quince-1.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux_2_36_x86_64.whl", True),
        ("quince-1.0-cp310.cp311-abi3.cp311-manylinux_2_36_x86_64.whl", True),
        ("quince-1.0-cp313-cp313-manylinux_2_36_x86_64.whl", False),
        ("quince-1.0-cp311-cp311-win_amd64.whl", False),
    ],
)
def test_where_a_wheel_fits_the_sdist_is_not_even_fetched(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str], wheel: str, *, fits: bool
):
    content = sdist("quince", pyproject=with_requires("tool")).content

    assert required(directory, locked(shelf, "quince", content, wheel)) == 0

    assert capsys.readouterr().out == ("" if fits else "tool\n")
    assert bool(shelf.asked) is not fits


def test_a_wheel_is_known_by_its_name_where_the_lock_has_one(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]
):
    package = locked(shelf, "quince", sdist("quince", pyproject=with_requires("tool")).content)
    package["wheels"] = [{"name": "quince-1.0-py3-none-any.whl", "url": shelf.url("4711"), "hashes": {}}]
    required(directory, package, {"name": "apple", "wheels": []})

    assert capsys.readouterr().out == ""


def test_an_sdist_that_lies_there_is_not_fetched_again(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]
):
    package = locked(shelf, "quince", sdist("quince", pyproject=with_requires("tool")).content)
    required(directory, package)
    required(directory, package)

    assert capsys.readouterr().out == "tool\ntool\n"
    assert len(shelf.asked) == 1


@pytest.mark.parametrize(("content", "file"), [(b"no archive", "quince-1.0.tar.gz"), (b"no archive", "quince-1.0.zip")])
def test_an_sdist_that_cannot_be_read_is_named(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str], content: bytes, file: str
):
    assert required(directory, locked(shelf, "quince", content, file=file)) == 78
    assert capsys.readouterr().err.startswith("error: the sdist of quince cannot be read: ")


def test_an_sdist_whose_pyproject_is_no_toml_is_named(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]
):
    assert required(directory, locked(shelf, "quince", sdist("quince", pyproject="[").content)) == 78
    assert "the sdist of quince cannot be read" in capsys.readouterr().err


def test_an_sdist_without_a_checksum_is_named(shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]):
    package = {"name": "quince", "sdist": {"url": shelf.url("quince-1.0.tar.gz"), "hashes": {}}}

    assert required(directory, package) == 78
    assert "the sdist of quince cannot be read: 'sha256'" in capsys.readouterr().err


def test_an_sdist_that_does_not_come_ends_as_a_fetch_does(
    shelf: Shelf, directory: Path, capsys: pytest.CaptureFixture[str]
):
    package = {"name": "q", "sdist": {"url": shelf.url("gone.tar.gz"), "hashes": {"sha256": "0" * 64}}}

    assert required(directory, package) == fetch_files.GONE
    assert capsys.readouterr().err == f"error: {shelf.url('gone.tar.gz')}: 404 Not Found\n"


# --- as a sandbox runs them


@pytest.fixture
def bloomery(tmp_path: Path) -> Path:
    """The directory of a sandbox that has the programs."""
    for member in programs():
        path = tmp_path / member.path
        if member.content is None:
            path.mkdir(parents=True)
        else:
            path.write_bytes(member.content)
    return tmp_path / "bloomery"


def run(bloomery: Path, module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-E", "-s", "-m", f"inside.{module}", *map(str, arguments)]
    return subprocess.run(command, cwd=bloomery, capture_output=True, text=True, check=False)


def test_the_programs_run_alone_with_the_standard_library(shelf: Shelf, directory: Path, bloomery: Path):
    listing, text, tags = (directory.parent / name for name in ("files.json", "pylock.toml", "tags"))
    listing.write_text(json.dumps([shelf.put("a.whl", b"a")]))
    text.write_text(lock(locked(shelf, "quince", sdist("quince", pyproject=with_requires("tool")).content)))
    tags.write_text(TAGS)

    fetched = run(bloomery, "fetch_files", listing, directory)
    told = run(bloomery, "build_requirements", text, tags, directory)

    assert (fetched.returncode, fetched.stdout, fetched.stderr) == (0, "", "")
    assert (told.returncode, told.stdout, told.stderr) == (0, "tool\n", "")
    assert names(directory) == ["a.whl", "quince-1.0.tar.gz"]


def test_what_went_wrong_is_the_code_they_end_with(shelf: Shelf, directory: Path, bloomery: Path):
    listing = directory.parent / "files.json"
    listing.write_text(json.dumps([{**shelf.put("a.whl", b"a"), "sha256": "0" * 64}]))

    ended = run(bloomery, "fetch_files", listing, directory)

    assert ended.returncode == fetch_files.OTHER_CONTENT
    assert "Traceback" not in ended.stderr
