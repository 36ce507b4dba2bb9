"""The interpreter in an image: its program, what of the standard library comes along, and the environment's frame."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.tree import EntryKind
from daemon.errors import ImageGone
from daemon.image.interpreter import frame, interpreter, left_out
from daemon.image.library_source import LibrarySource
from daemon.image.rootfs import Origin, RootFile, complete
from daemon.tarball import Member
from daemon.toolchains.toolchain import PythonFacts
from tests.fakes.engine import FakeEngine, file
from tests.fakes.images import MemoryIndex
from tests.fakes.python_projects import PYTHON

LIBRARY = {
    "os.py": file(b"import sys\n"),
    "__pycache__/os.cpython-311.pyc": file(b"bytecode"),
    "unittest/mock.py": file(b"mock"),
    "lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so": file(b"ssl"),
    "test/test_os.py": file(b"a test"),
    "link.py": Member(path="", mode=0o777, mtime=0, target="os.py"),
}


async def taken(blobs: BlobStore, python: PythonFacts = PYTHON, **files: Member) -> dict[str, RootFile]:
    """What comes of a toolchain image with this library, by path."""
    engine = FakeEngine()
    there = {PYTHON.executable: file(b"program", 0o700), **files}
    there |= {f"{PYTHON.library}/{path}": member for path, member in LIBRARY.items()}
    image = engine.add_image("toolchain", there)
    async with LibrarySource(engine.sandboxes, blobs, MemoryIndex()).open(image.id) as opened:
        return {one.path: one for one in await interpreter(python, opened, blobs)}


@pytest.mark.parametrize(
    "path",
    [
        "test/test_os.py",
        "test/__pycache__/test_os.cpython-311.pyc",
        "unittest/test/test_case.py",
        "sqlite3/test/dbapi.py",
        "distutils/tests/test_core.py",
        "idlelib/idle.py",
        "tkinter/ttk.py",
        "turtle.py",
        "__pycache__/turtle.cpython-311.pyc",
        "turtledemo/clock.py",
        "ensurepip/_bundled/pip-23.0.1-py3-none-any.whl",
        "lib2to3/main.py",
        "pydoc_data/topics.py",
        "config-3.11-x86_64-linux-gnu/Makefile",
        "lib-dynload/_testcapi.cpython-311-x86_64-linux-gnu.so",
        "lib-dynload/_tkinter.cpython-311-x86_64-linux-gnu.so",
        "lib-dynload/xxlimited.cpython-311-x86_64-linux-gnu.so",
        "lib-dynload/_ctypes_test.cpython-311-x86_64-linux-gnu.so",
        "sitecustomize.py",
        "EXTERNALLY-MANAGED",
    ],
)
def test_what_no_service_runs_is_left_out(path: str):
    assert left_out(path)


@pytest.mark.parametrize(
    "path",
    [
        "os.py",
        "unittest/mock.py",
        "doctest.py",
        "pydoc.py",
        "site.py",
        "email/contentmanager.py",
        "encodings/latest.py",
        "configparser.py",
        "lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so",
        "lib-dynload/_ctypes.cpython-311-x86_64-linux-gnu.so",
        "_sysconfigdata__x86_64-linux-gnu.py",
    ],
)
def test_what_a_service_may_import_stays(path: str):
    assert not left_out(path)


async def test_the_program_comes_first_and_can_be_run_with_its_other_name_and_its_library(blobs: BlobStore):
    found = await taken(blobs)

    assert list(found) == [
        *("/usr/bin/python3.11", "/usr/bin/python3"),
        *(
            f"/usr/lib/python3.11/{path}"
            for path in (
                "__pycache__/os.cpython-311.pyc",
                "lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so",
                "os.py",
                "unittest/mock.py",
            )
        ),
    ]
    assert found["/usr/bin/python3.11"].mode == 0o755
    assert found["/usr/bin/python3"].target == "python3.11"
    assert {one.origin for one in found.values()} == {Origin.INTERPRETER}
    assert found["/usr/bin/python3.11"].reason == "interpreter: Python 3.11.2"
    assert found["/usr/lib/python3.11/os.py"].reason == "standard library of Python 3.11.2"
    assert found["/usr/lib/python3.11/os.py"].digest == Digest.of(b"import sys\n")
    assert found["/usr/lib/python3.11/os.py"].mode == 0o644


async def test_an_interpreter_that_has_no_other_name_has_one_entry(blobs: BlobStore):
    plain = replace(PYTHON, executable="/opt/python/bin/python3")

    found = await taken(blobs, plain, **{"/opt/python/bin/python3": file(b"program", 0o755)})

    assert found["/opt/python/bin/python3"].kind is EntryKind.FILE
    assert complete(found.values())


@pytest.mark.parametrize("gone", ["executable", "library"])
async def test_a_toolchain_image_that_has_lost_its_python_is_gone(blobs: BlobStore, gone: str):
    with pytest.raises(ImageGone, match=r"has no .*nowhere.* any more"):
        await taken(blobs, replace(PYTHON, **{gone: "/nowhere"}))


def test_the_frame_makes_a_virtual_environment_of_a_directory():
    found = {one.path: one for one in frame(PYTHON)}

    assert found["/env/pyvenv.cfg"].content == (
        b"home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n"
    )
    assert {path: one.target for path, one in found.items() if one.target} == {
        "/env/bin/python": "/usr/bin/python3.11",
        "/env/bin/python3": "python",
        "/env/bin/python3.11": "python",
    }
    assert {one.origin for one in found.values()} == {Origin.PACKAGE}
    assert all(PurePosixPath(path).is_absolute() for path in found)
