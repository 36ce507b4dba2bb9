"""The standard library's bytecode, as it is made for toolchain images and as their probe judges it."""

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.toolchains import bytecode, probe_python

_PYTHON = """\
#!{executable}
import runpy, sys, sysconfig
sysconfig.get_path = lambda _: {library!r}
while sys.argv[1] not in ("-c", "-m"):
    del sys.argv[1]
del sys.argv[0]
if sys.argv[0] == "-c":
    exec(sys.argv[1])
else:
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""A Python whose standard library is somewhere else."""
UNCHECKED = (1).to_bytes(4, "little")


class Library:
    def __init__(self, directory: Path) -> None:
        self.directory = directory / "lib"
        self.path = f"{directory}/bin:{os.environ['PATH']}"
        self.write("os.py", "name = 'posix'\n")
        self.write("json/decoder.py", "def decode(text):\n    return {'a', 'b', text}\n")
        python = directory / "bin/python3"
        python.parent.mkdir()
        python.write_text(_PYTHON.format(executable=sys.executable, library=str(self.directory)))
        python.chmod(0o755)

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def compiled(self) -> dict[str, bytes]:
        return {
            f"{path.parent.parent.relative_to(self.directory)}/{path.name.partition('.')[0]}": path.read_bytes()
            for path in self.directory.rglob("*.pyc")
        }

    def prepare(self, **environment: str) -> int:
        """What is done as an image is made."""
        environment = {"PATH": self.path, **environment}
        return subprocess.run(["sh", "-c", bytecode.STEP], env=environment, capture_output=True, check=False).returncode

    def judged(self) -> str:
        """What the probe's script says of it."""
        script = f'say() {{ echo "$1 $2"; }}\n{probe_python.SCRIPT}'
        done = subprocess.run(["sh", "-c", script], env={"PATH": self.path}, capture_output=True, text=True, check=True)
        [said] = [line for line in done.stdout.splitlines() if line.startswith("python bytecode")] or [""]
        return said.removeprefix("python bytecode ")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_every_module_is_compiled_so_that_its_sources_time_does_not_matter(library: Library):
    assert library.prepare() == 0
    assert {name: code[4:8] for name, code in library.compiled().items()} == {
        "./os": UNCHECKED,
        "json/decoder": UNCHECKED,
    }


def test_what_was_compiled_before_goes(library: Library):
    py_compile.compile(str(library.directory / "os.py"))
    py_compile.compile(str(gone := library.write("gone.py", "")))
    gone.unlink()
    library.prepare()
    assert set(library.compiled()) == {"./os", "json/decoder"}


def test_packages_beside_the_standard_library_stay_as_they_are(library: Library):
    py_compile.compile(str(library.write("site-packages/pip/main.py", "")))
    library.write("dist-packages/odd.py", "this is no Python")
    before = library.compiled()["site-packages/pip/main"]
    assert library.prepare() == 0
    assert library.compiled()["site-packages/pip/main"] == before
    assert library.judged() == "unchecked-hash"


def test_what_is_no_python_on_purpose_is_no_obstacle(library: Library):
    library.write("test/badsyntax_3131.py", "x = € = 1")
    library.write("lib2to3/tests/data/py2_test_grammar.py", "print 1")
    assert library.prepare() == 0


def test_a_library_that_does_not_compile_is_a_failure(library: Library):
    library.write("broken.py", "def")
    assert library.prepare() != 0


def test_the_bytes_are_the_same_whatever_the_hosts_environment(library: Library):
    library.prepare(PYTHONHASHSEED="1")
    first = library.compiled()
    library.prepare(PYTHONHASHSEED="2", PYTHONOPTIMIZE="2", SOURCE_DATE_EPOCH="1", TZ="Asia/Tokyo")
    assert library.compiled() == first


def test_the_probe_believes_what_is_made(library: Library):
    library.prepare()
    assert library.judged() == "unchecked-hash"


@pytest.mark.parametrize(
    "mode", [py_compile.PycInvalidationMode.TIMESTAMP, py_compile.PycInvalidationMode.CHECKED_HASH]
)
def test_one_module_that_is_compiled_otherwise_is_noticed(library: Library, mode: py_compile.PycInvalidationMode):
    library.prepare()
    py_compile.compile(str(library.directory / "json/decoder.py"), invalidation_mode=mode)
    assert library.judged() == "other"


def test_a_library_without_bytecode_is_noticed(library: Library):
    assert library.judged() == ""


def test_bytecode_of_another_python_is_noticed(library: Library):
    library.prepare()
    [path] = library.directory.glob("__pycache__/os.*.pyc")
    path.write_bytes(b"\0\0\r\n" + path.read_bytes()[4:])
    assert library.judged() == "other"
