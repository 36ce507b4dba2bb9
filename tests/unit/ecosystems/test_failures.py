"""What cargo 1.95 and the build scripts of well-known crates print when they fail, and what is made of it."""

# ruff: noqa: E501 - the lines are cargo's

import json

import pytest

from cache.errors import Blame, Failure
from cache.manifests.errors import BadManifest
from cache.manifests.rust.errors import LockMismatch
from daemon.builds import Link
from daemon.ecosystems.rust.messages import CargoReader
from daemon.engine.engine import OutputStream
from daemon.errors import (
    CompileFailed,
    DependencyFailed,
    FetchFailed,
    MissingLibrary,
    NotStatic,
    OutOfMemory,
    RegistryUnreachable,
)
from tests.fakes.progress import Heard

APP = "path+file:///work#app@0.1.0"
RING = "registry+https://github.com/rust-lang/crates.io-index#ring@0.17.14"


def said(message: str, rendered: str = "", *, package: str = APP, level: str = "error", file: str | None = None) -> str:
    """A compiler's message on stdout."""
    spans = [{"file_name": file, "line_start": 3, "column_start": 5, "is_primary": True}] if file else []
    told = {"message": message, "code": None, "level": level, "spans": spans, "children": [], "rendered": rendered}
    return json.dumps({"reason": "compiler-message", "package_id": package, "message": told}) + "\n"


def failed(err: str, out: str = "", link: Link = Link.DYNAMIC) -> Failure:
    reader = CargoReader(Heard(), link)
    reader.feed(OutputStream.STDOUT, out.encode())
    reader.feed(OutputStream.STDERR, err.encode())
    reader.close()
    return reader.failure(101)


def script(said: str, package: str = "openssl-sys v0.9.109") -> str:
    """What cargo prints when a build script fails."""
    return f"""\
   Compiling openssl-sys v0.9.109
error: failed to run custom build command for `{package}`

Caused by:
  process didn't exit successfully: `/target/release/build/openssl-sys-7d0ae9ccec5956a3/build-script-main` (exit status: 101)
  --- stdout
  cargo:rerun-if-env-changed=X86_64_UNKNOWN_LINUX_GNU_OPENSSL_LIB_DIR

  --- stderr
{said}
warning: build failed, waiting for other jobs to finish...
"""


NOT_COMPILED = '   Compiling app v0.1.0 (/work)\nerror: could not compile `app` (bin "app") due to 1 previous error\n'
LLD = """\
\x1b[1m\x1b[91merror\x1b[0m\x1b[1m: linking with `cc` failed: exit status: 1\x1b[0m
  \x1b[1m\x1b[94m= \x1b[0m\x1b[1mnote\x1b[0m:  "cc" "-m64" "-Wl,-Bdynamic" "-lfoo" "-lc" "-o" "/target/release/deps/app-79bfa575b00ad3a3"
  \x1b[1m\x1b[94m= \x1b[0m\x1b[1mnote\x1b[0m: rust-lld: error: unable to find library -lfoo
          collect2: error: ld returned 1 exit status
"""
LD = LLD.replace(
    "rust-lld: error: unable to find library -lfoo", "/usr/bin/ld: cannot find -lfoo: No such file or directory"
)
OLD_LD = LLD.replace("rust-lld: error: unable to find library -lfoo", "/usr/bin/ld: cannot find -lfoo")
LINKING = "linking with `cc` failed: exit status: 1"


@pytest.mark.parametrize(
    ("rendered", "library", "package"),
    [
        (LLD, "foo", None),
        (LD, "foo", None),
        (OLD_LD, "foo", None),
        (LLD.replace("-lfoo", "-lpq"), "pq", "libpq-dev"),
        (LD.replace("-lfoo", "-lssl"), "ssl", "libssl-dev"),
        (LD.replace("-lfoo", "-lstdc++"), "stdc++", "g++"),
        (LD.replace("-lfoo:", "-l:libsqlite3.so.0:"), "sqlite3", "libsqlite3-dev"),
        (OLD_LD.replace("-lfoo", "-l:libz.a"), "z", "zlib1g-dev"),
    ],
)
def test_a_library_that_the_linker_misses_is_named_with_its_debian_package(rendered: str, library: str, package: str):
    failure = failed(NOT_COMPILED, said(LINKING, rendered))

    assert isinstance(failure, MissingLibrary)
    assert failure.evidence == {"library": library, "package": package}
    assert "bloomery toolchain make NAME --with" in failure.detail


def test_a_native_static_library_that_rustc_misses_is_named():
    message = "could not find native static library `z`, perhaps an -L flag is missing?"

    failure = failed(NOT_COMPILED, said(message, f"error: {message}\n"))

    assert isinstance(failure, MissingLibrary)
    assert failure.evidence == {"library": "z", "package": "zlib1g-dev"}


@pytest.mark.parametrize("rendered", [LLD, LD, OLD_LD])
def test_a_static_build_that_misses_a_library_is_refused_by_the_librarys_name(rendered: str):
    failure = failed(NOT_COMPILED, said(LINKING, rendered), Link.STATIC)

    assert isinstance(failure, NotStatic)
    assert failure.evidence == {"libraries": ["foo"]}
    assert 'link = "dynamic"' in failure.detail


def test_a_static_build_that_finds_only_a_shared_object_is_refused_by_the_librarys_name():
    told = LLD.replace(
        "unable to find library -lfoo", "attempted static link of dynamic object `/usr/lib/x86_64-linux-gnu/libpq.so'"
    )

    failure = failed(NOT_COMPILED, said(LINKING, told), Link.STATIC)

    assert isinstance(failure, NotStatic)
    assert failure.evidence == {"libraries": ["pq"]}


def test_a_static_build_whose_script_misses_a_header_misses_a_package():
    failure = failed(script("  src/a.c:1:10: fatal error: libpq-fe.h: No such file or directory"), link=Link.STATIC)

    assert isinstance(failure, MissingLibrary)
    assert failure.evidence["package"] == "libpq-dev"


def test_another_failure_of_the_linker_is_the_sources():
    told = LLD.replace("rust-lld: error: unable to find library -lfoo", "rust-lld: error: undefined symbol: answer")

    failure = failed(NOT_COMPILED, said(LINKING, told))

    assert isinstance(failure, CompileFailed)
    assert "undefined symbol: answer" in failure.detail


PKG_CONFIG = """\
  thread 'main' panicked at build/main.rs:10:5:
  `PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 pkg-config --libs --cflags alsa` did not exit successfully
  error: could not find system library 'alsa' required by the 'alsa-sys' crate

  --- stderr
  Package alsa was not found in the pkg-config search path.
  Perhaps you should add the directory containing `alsa.pc'
  to the PKG_CONFIG_PATH environment variable
  No package 'alsa' found"""
SYSTEM_LIBRARY = """\
  The system library `libudev` required by crate `libudev-sys` was not found.
  The file `libudev.pc` needs to be installed and the PKG_CONFIG_PATH environment variable must contain its parent directory."""
NO_PKG_CONFIG = """\
  Could not run `PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 pkg-config --libs --cflags libudev`
  The pkg-config command could not be found.

  Most likely, you need to install a pkg-config package for your OS.
  Try `apt install pkg-config`, or `yum install pkg-config`,"""
OPENSSL = """\
  Could not find openssl via pkg-config:
  The system library `openssl` required by crate `openssl-sys` was not found.

  Could not find directory of OpenSSL installation, and this `-sys` crate cannot
  proceed without this knowledge. If OpenSSL is installed and this crate had
  trouble finding it,  you can set the `OPENSSL_DIR` environment variable for the
  compilation process."""
OPENSSL_ALONE = (
    "  Could not find directory of OpenSSL installation, and this `-sys` crate cannot\n  proceed without it."
)
OPENSSL_NO_TOOL = f"""\
{OPENSSL_ALONE}
  It looks like you're compiling on Linux and also targeting Linux. Currently this
  requires the `pkg-config` utility to find OpenSSL but unfortunately `pkg-config`
  could not be found. If you have OpenSSL installed you can likely fix this by
  installing `pkg-config`.
  `pkg-config` could not be found"""
HEADER = "  src/wrapper.c:1:10: fatal error: openssl/ssl.h: No such file or directory\n  compilation terminated."
CLANG_HEADER = "  wrapper.h:2:10: fatal error: 'rocksdb/c.h' file not found"
CMAKE = """\
  thread 'main' panicked at /cargo/registry/src/index/cmake-0.1.54/src/lib.rs:1119:5:

  failed to execute command: No such file or directory (os error 2)
  is `cmake` not installed?

  build script failed, must exit now"""
PROTOC = """\
  Error: Custom { kind: NotFound, error: "Could not find `protoc`. If `protoc` is installed, try setting the `PROTOC` \
environment variable to the path of the `protoc` binary." }"""
LIBCLANG = """\
  Unable to find libclang: "couldn't find any valid shared libraries matching: ['libclang.so', 'libclang-*.so']" """
MYSQL = """\
  thread 'main' (1326) panicked at /cargo/registry/src/index/mysqlclient-sys-0.5.2/build.rs:105:5:

          Did not find a compatible version of libmysqlclient.
              Ensure that you installed one and taught mysqlclient-sys how to find it."""
CC = '  error occurred in cc-rs: failed to find tool "clang": No such file or directory (os error 2)'
SHELL = "  sh: 1: nasm: not found\n  make: *** [Makefile:1: all] Error 127"
REQUIRED = "  Package 'krb5-gssapi', required by 'libpq', not found"


@pytest.mark.parametrize(
    ("text", "library", "package"),
    [
        (PKG_CONFIG, "alsa", "libasound2-dev"),
        (SYSTEM_LIBRARY, "libudev", "libudev-dev"),
        (NO_PKG_CONFIG, "pkg-config", "pkg-config"),
        (OPENSSL, "openssl", "libssl-dev"),
        (OPENSSL_ALONE, "OpenSSL", "libssl-dev"),
        (OPENSSL_NO_TOOL, "pkg-config", "pkg-config"),
        (HEADER, "openssl/ssl.h", "libssl-dev"),
        (CLANG_HEADER, "rocksdb/c.h", "librocksdb-dev"),
        (CMAKE, "cmake", "cmake"),
        (PROTOC, "protoc", "protobuf-compiler"),
        (LIBCLANG, "libclang", "libclang-dev"),
        (MYSQL, "libmysqlclient", "libmariadb-dev-compat"),
        (CC, "clang", "clang"),
        (SHELL, "nasm", "nasm"),
        (REQUIRED, "krb5-gssapi", None),
    ],
)
def test_a_build_script_that_misses_a_library_or_tool_says_which_package_has_it(text: str, library: str, package: str):
    failure = failed(script(text))

    assert isinstance(failure, MissingLibrary)
    assert failure.evidence == {"library": library, "package": package}
    assert failure.blame is Blame.SOURCE
    if package:
        assert f"--with {package}" in failure.detail


def test_a_build_script_of_a_dependency_that_panics_is_the_dependencys():
    failure = failed(
        script("  thread 'main' panicked at build.rs:1:93:\n  error: failed to download the model", "ort v2.0.0")
    )

    assert isinstance(failure, DependencyFailed)
    assert failure.evidence == {"package": "ort v2.0.0"}
    assert "failed to download the model" in failure.detail
    assert "rerun-if-env-changed" not in failure.detail  # its instructions to cargo say nothing of why


@pytest.mark.parametrize(
    "words",
    [
        "error: failed to download the model",
        "error: cannot update the lock file because I say so",
        "error: failed to parse manifest at here",
        "Could not resolve host: example.org",
    ],
)
def test_a_build_script_of_the_project_that_panics_is_the_projects_whatever_it_says(words: str):
    failure = failed(script(f"  {words}\n{words}", "app v0.1.0 (/work)"))

    assert isinstance(failure, CompileFailed)
    assert failure.evidence == {"package": "app v0.1.0 (/work)"}


def test_a_build_script_that_is_killed_wants_memory():
    killed = """\
error: failed to run custom build command for `killed v0.1.0`

Caused by:
  process didn't exit successfully: `/target/release/build/killed-0e49effd4f2fbd99/build-script-build` (signal: 9, SIGKILL: kill)
"""
    assert isinstance(failed(killed), OutOfMemory)


@pytest.mark.parametrize(
    "last",
    [
        "(signal: 9, SIGKILL: kill)",
        "(signal: 6, SIGABRT: process abort signal)\nmemory allocation of 1073741824 bytes failed",
        "(signal: 6, SIGABRT: process abort signal)\nrustc-LLVM ERROR: out of memory",
    ],
)
def test_a_compiler_that_is_killed_wants_memory(last: str):
    killed = f"""\
   Compiling app v0.1.0 (/work)
error: could not compile `app` (bin "app")

Caused by:
  process didn't exit successfully: `/usr/local/rust/bin/rustc --crate-name app src/main.rs` {last}
"""
    assert isinstance(failed(killed), OutOfMemory)


def test_a_c_compiler_that_is_killed_in_a_build_script_wants_memory():
    assert isinstance(failed(script("  c++: fatal error: Killed signal terminated program cc1plus")), OutOfMemory)


def test_a_linker_that_is_killed_wants_memory():
    told = LLD.replace(
        "rust-lld: error: unable to find library -lfoo", "collect2: fatal error: ld terminated with signal 9"
    )

    assert isinstance(failed(NOT_COMPILED, said(LINKING, told)), OutOfMemory)


def test_a_compiler_that_crashes_is_the_packages():
    crashed = """\
error: could not compile `ring` (lib)

Caused by:
  process didn't exit successfully: `/usr/local/rust/bin/rustc --crate-name ring` (signal: 11, SIGSEGV: invalid memory reference)
"""
    failure = failed(crashed)

    assert isinstance(failure, DependencyFailed)
    assert failure.evidence == {"package": "ring"}


MISLEADING = [
    "error: failed to download `x`",
    "cannot find -lzzz: ",
    "signal: 9, SIGKILL",
    "the lock file Cargo.lock needs to be updated",
    "failed to parse manifest at `/work/Cargo.toml`",
    "fatal error: openssl/ssl.h: No such file or directory",
    "error: failed to run custom build command for `ring v0.17.14`",
    "Could not resolve host: example.org",
]


@pytest.mark.parametrize("words", MISLEADING)
@pytest.mark.parametrize("link", list(Link))
def test_what_the_source_says_of_itself_is_never_taken_for_cargos_words(words: str, link: Link):
    rendered = f'\x1b[1m\x1b[91merror\x1b[0m: {words}\n --> src/main.rs:3:5\n  |\n3 | compile_error!("{words}");\n'

    failure = failed(NOT_COMPILED, said(words, rendered, file="src/main.rs"), link)

    assert isinstance(failure, CompileFailed)
    assert failure.detail == f"src/main.rs:3: {words}"
    assert failure.evidence == {"file": "src/main.rs", "line": 3, "package": "app", "codes": []}


@pytest.mark.parametrize("words", MISLEADING)
def test_what_procedural_macros_print_is_never_taken_for_cargos_words(words: str):
    failure = failed(f"{words}\n{NOT_COMPILED}", f"{words}\n" + said("mismatched types", file="src/main.rs"))

    assert isinstance(failure, CompileFailed)
    assert failure.detail == "src/main.rs:3: mismatched types"


def test_several_errors_are_told_by_the_first_and_their_number():
    out = said("unused", level="warning", file="src/a.rs") + said("one", file="src/b.rs") + said("two", file="src/c.rs")

    assert failed(NOT_COMPILED, out).detail == "src/b.rs:3: one (and 1 more)"


def test_an_error_in_a_dependency_is_the_dependencys():
    place = "/cargo/registry/src/index/ring-0.17.14/src/lib.rs"
    out = said("mismatched types", f"error[E0308]: mismatched types\n --> {place}:3:5\n", package=RING, file=place)

    failure = failed("error: could not compile `ring` (lib) due to 1 previous error\n", out)

    assert isinstance(failure, DependencyFailed)
    assert failure.evidence == {"package": "ring 0.17.14"}
    assert "mismatched types" in failure.detail


def test_errors_in_members_win_over_all_others():
    out = said("theirs", package=RING, file="lib.rs") + said(LINKING, LLD) + said("ours", file="src/main.rs")

    failure = failed(script(CMAKE) + NOT_COMPILED, out)

    assert isinstance(failure, CompileFailed)
    assert failure.detail == "src/main.rs:3: ours"


LOCK = """\
error: cannot update the lock file /work/Cargo.lock because --locked was passed to prevent this
help: to generate the lock file without accessing the network, remove the --locked flag and use --offline instead.
"""
OLD_LOCK = """\
error: the lock file /work/Cargo.lock needs to be updated but --locked was passed to prevent this
If you want to try to generate the lock file without accessing the network, remove the --locked flag and use --offline.
"""
NO_VERSION = """\
    Updating crates.io index
error: failed to select a version for the requirement `bytes = "^99"`
candidate versions found which didn't match: 1.12.1, 1.12.0, 1.11.1, ...
location searched: crates.io index
required by package `app v0.1.0 (/work)`
"""
NO_PACKAGE = """\
error: no matching package named `bytes-no-such` found
location searched: crates.io index
required by package `app v0.1.0 (/work)`
"""
NO_REPOSITORY = """\
    Updating git repository `file:///nonexistent`
warning: spurious network error (1 try remaining): failed to resolve path '/nonexistent': No such file; class=Os (2)
error: failed to get `x` as a dependency of package `app v0.1.0 (/work)`

Caused by:
  failed to load source for dependency `x`

Caused by:
  unable to update file:///nonexistent?rev=abc

Caused by:
  failed to resolve path '/nonexistent': No such file or directory; class=Os (2)
"""
NO_REVISION = """\
    Updating git repository `file:///srv/repo`
error: failed to get `x` as a dependency of package `app v0.1.0 (/work)`

Caused by:
  failed to load source for dependency `x`

Caused by:
  unable to update file:///srv/repo?rev=abcdef12

Caused by:
  revspec 'abcdef12' not found; class=Reference (4); code=NotFound (-3)
"""
CHECKSUM = """\
 Downloading crates ...
error: failed to verify the checksum of `bytes v1.10.1`
"""
CHANGED = """\
error: checksum for `bytes v1.10.1` changed between lock files

this could be indicative of a few possible errors:
"""
GONE = """\
error: failed to download from `https://registry.example.org/api/v1/crates/bytes/1.10.1/download`

Caused by:
  failed to get successful HTTP response from `https://registry.example.org/` (203.0.113.1), got 404
"""
NO_SERVER = """\
    Updating crates.io index
error: failed to get `itoa` as a dependency of package `app v0.1.0 (/work)`

Caused by:
  download of config.json failed

Caused by:
  failed to download from `https://registry.example.org/config.json`

Caused by:
  [7] Could not connect to server (Failed to connect to 127.0.0.1 port 1 after 1 ms: Could not connect to server)
"""
NO_NAME = NO_SERVER.replace("[7] Could not connect to server", "[6] Could not resolve hostname")
BUSY = GONE.replace("got 404", "got 503")
NO_TRUST = NO_SERVER.replace(
    "[7] Could not connect to server", "[60] SSL peer certificate or SSH remote key was not OK"
)
GIT_NET = NO_REPOSITORY.replace(
    "failed to resolve path '/nonexistent': No such file or directory; class=Os (2)\n",
    "failed to resolve address for git.example.org: Name or service not known; class=Net (12)\n",
)
NO_FEATURE = """\
error: failed to parse manifest at `/work/Cargo.toml`

Caused by:
  feature `a` includes `b` which is neither a dependency nor another feature
"""
NO_TABLE = """\
error: unclosed table, expected `]`
 --> Cargo.toml:5:14
  |
5 | [dependencies
  |              ^
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LOCK, LockMismatch),
        (OLD_LOCK, LockMismatch),
        (NO_VERSION, FetchFailed),
        (NO_PACKAGE, FetchFailed),
        (NO_REPOSITORY, FetchFailed),
        (NO_REVISION, FetchFailed),
        (CHECKSUM, FetchFailed),
        (CHANGED, FetchFailed),
        (GONE, FetchFailed),
        (NO_SERVER, RegistryUnreachable),
        (NO_NAME, RegistryUnreachable),
        (BUSY, RegistryUnreachable),
        (NO_TRUST, RegistryUnreachable),
        (GIT_NET, RegistryUnreachable),
        (NO_FEATURE, BadManifest),
        (NO_TABLE, BadManifest),
    ],
)
def test_what_cargo_itself_refuses_is_told_with_its_words(text: str, expected: type[Failure]):
    failure = failed(text)

    assert type(failure) is expected
    assert next(line for line in text.splitlines() if line.startswith("error")) in failure.detail


def test_a_registry_that_does_not_answer_is_no_fault_of_the_source():
    assert failed(NO_SERVER).blame is Blame.INFRASTRUCTURE
    assert failed(NO_VERSION).blame is Blame.SOURCE


def test_a_network_error_that_cargo_got_over_is_not_what_it_failed_of():
    text = "warning: spurious network error (2 tries remaining): [7] Could not connect to server\n" + NO_VERSION

    assert isinstance(failed(text), FetchFailed)


def test_a_step_that_says_nothing_fails_with_its_code():
    failure = failed("")

    assert isinstance(failure, CompileFailed)
    assert failure.evidence == {"code": 101}
