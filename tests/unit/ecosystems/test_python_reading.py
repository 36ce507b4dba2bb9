"""What uv 0.13.9, the compiler and the programs inside print when a step fails, and what is made of it."""

# ruff: noqa: E501, RUF001 - the lines and signs are uv's

import pytest

from cache.errors import Blame, Failure
from daemon.ecosystems.python.inside.fetch_files import GONE, OTHER_CONTENT, UNREACHABLE
from daemon.ecosystems.python.reading import PythonReader
from daemon.engine.engine import OutputStream
from daemon.errors import (
    DependencyFailed,
    FetchFailed,
    MissingLibrary,
    OutOfMemory,
    RegistryUnreachable,
    Unresolvable,
)
from tests.fakes.progress import Heard

NO_VERSION = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because only apple==1.0 is available and you require apple>=2, we can conclude that your requirements are unsatisfiable.
"""
NO_BUILD = """\
  × Failed to download and build `quince==1.0`
  ├─▶ Failed to create directory
  ╰─▶ failed to create directory `/target/uv/builds-v0/.tmpq2Fx0V`: Not a directory (os error 20)
"""
SDISTS_ALONE = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because all versions of setuptools have no usable wheels and you require setuptools, we can conclude that your requirements are unsatisfiable.

      hint: Wheels are required for `setuptools` because building source distributions is disabled for all packages (i.e., with `--no-build`)
"""
STALE = (
    "error: Unable to find lockfile at `uv.lock`, but `--frozen` was provided. To create a lockfile, run `uv lock`\n"
)
NO_HOST = """\
error: Request failed after 3 retries
  Caused by: Failed to fetch: `https://index.example.org/simple/apple/`
  Caused by: error sending request for url (https://index.example.org/simple/apple/)
  Caused by: client error (Connect)
  Caused by: dns error
"""
SERVER = """\
error: Failed to fetch: `https://index.example.org/simple/apple/`
  Caused by: HTTP status server error (503 Service Unavailable) for url (https://index.example.org/simple/apple/)
"""
DENIED = """\
error: Failed to fetch: `https://index.example.org/simple/apple/`
  Caused by: HTTP status client error (403 Forbidden) for url (https://index.example.org/simple/apple/)
"""


def failed(err: str, code: int = 1, out: str = "") -> Failure:
    reader = PythonReader(Heard())
    reader.feed(OutputStream.STDOUT, out.encode())
    reader.feed(OutputStream.STDERR, err.encode())
    reader.close()
    return reader.failure(code)


def building(said: str, package: str = "quince==1.0") -> str:
    """What uv prints when the build of an sdist fails."""
    lines = "".join(f"      {line}\n" for line in said.splitlines())
    return f"""\
Using Python 3.11.2 environment at: /env
Resolved 1 package in 4ms
  × Failed to build `{package}`
  ├─▶ The build backend returned an error
  ╰─▶ Call to `setuptools.build_meta.build_wheel` failed (exit status: 1)

      [stderr]
{lines}
      hint: This usually indicates a problem with the package or the build environment.
"""


@pytest.mark.parametrize("said", [NO_VERSION, SDISTS_ALONE, STALE])
def test_what_cannot_be_resolved_is_the_sources_affair_and_told_in_uvs_words(said: str):
    failure = failed(said)

    assert type(failure) is Unresolvable
    assert failure.blame is Blame.SOURCE
    first = said.removeprefix("error: ").strip().splitlines()[-1].strip()
    assert first in failure.detail


def test_an_sdist_whose_code_would_have_to_be_asked_is_named_with_what_helps():
    failure = failed(NO_BUILD)

    assert type(failure) is Unresolvable
    assert failure.detail.startswith("quince==1.0 is an sdist, and only its own code can tell what it requires")
    assert "require a version that has a wheel" in failure.detail


@pytest.mark.parametrize(
    "said",
    [
        NO_HOST,
        SERVER,
        "error: https://index.example.org/a.whl: timed out\n",
        "error: https://index.example.org/a.whl: [Errno 111] Connection refused\n",
        "error: Failed to fetch\n  Caused by: invalid peer certificate: UnknownIssuer\n",
        "error: Failed to fetch\n  Caused by: HTTP status client error (429 Too Many Requests) for url (https://index.example.org/)\n",
    ],
)
def test_an_index_that_does_not_answer_is_nobodys_fault_here(said: str):
    failure = failed(said)

    assert type(failure) is RegistryUnreachable
    assert failure.detail == said.removeprefix("error: ").rstrip()


def test_the_program_that_fetches_says_by_its_code_that_nobody_answered():
    assert type(failed("error: https://index.example.org/a.whl: odd\n", UNREACHABLE)) is RegistryUnreachable
    assert failed("", UNREACHABLE).detail == "The package index cannot be reached."


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("error: https://index.example.org/a.whl: 404 Not Found\n", GONE),
        ("error: a.whl has sha256 00, and the lock says 11 (https://index.example.org/a.whl)\n", OTHER_CONTENT),
        (DENIED, 2),
    ],
)
def test_a_file_that_does_not_come_or_is_another_is_a_fetch_that_failed(said: str, code: int):
    failure = failed(said, code)

    assert type(failure) is FetchFailed
    assert failure.detail == said.removeprefix("error: ").rstrip()


def test_a_step_that_says_nothing_is_told_by_its_code():
    assert failed("", 2).detail == "The step ended with code 2 and said nothing."


def test_a_killed_step_wanted_memory_whatever_it_said():
    assert type(failed(NO_VERSION, 137)) is OutOfMemory


def test_an_sdist_that_does_not_build_is_named_with_the_end_of_what_was_said():
    failure = failed(building('Traceback (most recent call last):\n  File "setup.py", line 1\nValueError: no'))

    assert type(failure) is DependencyFailed
    assert failure.detail.startswith("quince==1.0 has no wheel that fits, and cannot be built:\n")
    assert "ValueError: no" in failure.detail


@pytest.mark.parametrize(
    ("said", "lacks", "package"),
    [
        ("src/q.c:1:10: fatal error: libpq-fe.h: No such file or directory", "libpq-fe.h", "libpq-dev"),
        ("./q.h:3:10: fatal error: 'openssl/ssl.h' file not found", "openssl/ssl.h", "libssl-dev"),
        ("src/q.c:1:10: fatal error: unheard_of.h: No such file or directory", "unheard_of.h", ""),
        ("/usr/bin/ld: cannot find -lz: No such file or directory", "z", "zlib1g-dev"),
        ("/usr/bin/ld: cannot find -lpq", "pq", "libpq-dev"),
        ("Package libffi was not found in the pkg-config search path.", "libffi", "libffi-dev"),
        ("No package 'libxml-2.0' found", "libxml-2.0", "libxml2-dev"),
        ("error: command 'cmake' failed: No such file or directory", "cmake", "cmake"),
        ("error: can't find Rust compiler", "Rust", ""),
        ("Error: pg_config executable not found.", "pg_config", "libpq-dev"),
        ("/bin/sh: 1: mysql_config: not found", "mysql_config", "libmariadb-dev-compat"),
        ("src/q.c:1:10: fatal error: Python.h: No such file or directory", "Python.h", "python3-dev"),
    ],
)
def test_what_the_toolchain_image_lacks_is_named_with_the_package_that_has_it(said: str, lacks: str, package: str):
    failure = failed(building(said))

    assert type(failure) is MissingLibrary
    assert failure.evidence["dependency"] == "quince==1.0"
    assert failure.evidence["package"] == package
    assert f"the toolchain image has no {lacks}" in failure.detail
    assert (f"Debian's package {package} has it" in failure.detail) == bool(package)


def test_colours_and_blank_lines_are_no_words():
    heard = Heard()
    reader = PythonReader(heard)

    reader.feed(OutputStream.STDERR, b"\x1b[1m\x1b[31merror\x1b[39m: no\x1b[0m\n\n   \n")

    assert heard.lines == ["error: no"]


def test_lines_that_come_in_pieces_are_put_together_each_stream_by_itself():
    heard = Heard()
    reader = PythonReader(heard)

    reader.feed(OutputStream.STDERR, b"Resolved 2 ")
    reader.feed(OutputStream.STDOUT, b"word\n")
    reader.feed(OutputStream.STDERR, b"packages\nthe last")
    assert heard.lines == ["word", "Resolved 2 packages"]
    reader.close()
    reader.close()

    assert heard.lines == ["word", "Resolved 2 packages", "the last"]


def test_bytes_that_are_no_text_are_told_as_far_as_they_are():
    heard = Heard()
    reader = PythonReader(heard)

    reader.feed(OutputStream.STDERR, b"caf\xe9 is closed\n")

    assert heard.lines == ["caf\ufffd is closed"]


def test_of_what_was_said_the_last_lines_are_told():
    failure = failed("".join(f"line {number}\n" for number in range(100)), 2)

    assert failure.detail.splitlines()[0] == "line 40"
    assert failure.detail.splitlines()[-1] == "line 99"


def test_nothing_is_compiled_and_nothing_diagnosed():
    reader = PythonReader(Heard())

    assert (reader.compiled(), reader.reused(), reader.diagnostics) == ({}, (), ())
