"""What cargo failed of, from its own words: whose fault it was and what to do.

The patterns are matched against the last lines of cargo's output, without colours, most telling first.
"""

import re
from collections.abc import Callable, Sequence

from cache.errors import Failure
from cache.manifests.rust.errors import BadManifest, LockMismatch
from daemon.builds import Diagnostic
from daemon.ecosystems.rust.libraries import debian_package
from daemon.errors import CompileFailed, DependencyFailed, FetchFailed, MissingLibrary, OutOfMemory

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TAIL = 30

_MISSING = (
    re.compile(r"cannot find -l:?(?:lib)?([\w.+-]+?)(?:\.so[\d.]*|\.a)?:? "),
    re.compile(r"cannot find -l:?(?:lib)?([\w.+-]+?)(?:\.so[\d.]*|\.a)?:?$"),
    re.compile(r"unable to find library -l([\w.+-]+)"),
    re.compile(r"could not find native static library `([^`]+)`"),
    re.compile(r"[Tt]he system library `([^`]+)` required by crate"),
    re.compile(r"No package '([^']+)' found"),
    re.compile(r"Package ([\w.+-]+) was not found in the pkg-config search path"),
    re.compile(r"fatal error: '?([\w./+-]+\.h(?:pp)?)'?(?:: No such file| file not found)"),
    re.compile(r"is `([\w+-]+)` not installed\?"),
    re.compile(r"[Cc]ould not find `?(protoc|cmake|clang|nasm|bindgen|pkg-config|make|perl|git)`?(?: |$)"),
    re.compile(r"[Uu]nable to find (libclang)"),
    re.compile(r"[Cc]ould not find (?:directory of )?(OpenSSL)(?: |$)"),
    re.compile(r"[Ff]ailed to (?:execute|run|spawn|find) (?:command )?[`'\"]?(protoc|cmake|clang|nasm|autoreconf)\b"),
)
_LOCK = re.compile(r"the lock file .* needs to be updated|cannot update the lock file")
_MANIFEST = re.compile(r"failed to parse manifest|failed to load manifest|invalid type: |feature .* includes ")
_UNFETCHED = re.compile(
    r"no matching package|failed to select a version"
    r"|failed to (?:download|fetch|load source|query replaced source|get `)"
    r"|unable to update|spurious network error|no such ref|revision .* not found|attempting to make an HTTP request"
    r"|failed to verify the checksum|checksum .* (?:changed|mismatch)"
)
_KILLED = re.compile(r"signal: 9, SIGKILL|LLVM ERROR: out of memory|memory allocation of \d+ bytes failed")
_SCRIPT = re.compile(r"failed to run custom build command for `([^`]+)`")
_PACKAGE = re.compile(r"could not compile `([^`]+)`")


def classify(code: int, lines: Sequence[str], diagnostics: Sequence[Diagnostic]) -> Failure:
    """The failure that cargo's output tells of; `lines` are its last, `diagnostics` the compiler's."""
    text = [_COLOURS.sub("", line) for line in lines]
    for found in (_missing_library, _killed, _lock, _manifest, _unfetched):
        failure = found(text)
        if failure is not None:
            return failure
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.level.startswith("error")]
    if errors:
        return _compile_failed(errors)
    script = _first(_SCRIPT, text)
    if script:
        return DependencyFailed(f"The build script of {script} failed.\n{_tail(text)}", package=script)
    package = _first(_PACKAGE, text)
    if package:
        return DependencyFailed(f"{package} does not compile.\n{_tail(text)}", package=package)
    return CompileFailed(f"cargo ended with code {code}.\n{_tail(text)}", code=code)


def _compile_failed(errors: Sequence[Diagnostic]) -> Failure:
    first = errors[0]
    where = f"{first.file}:{first.line}: " if first.file else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return CompileFailed(f"{where}{first.message}{more}", file=first.file, line=first.line, package=first.package)


def _missing_library(text: Sequence[str]) -> Failure | None:
    for pattern in _MISSING:
        name = _first(pattern, text)
        if name:
            package = debian_package(name)
            remedy = (
                f"Debian's package {package} has it: bloomery toolchain make NAME --with {package}"
                if package
                else "Find the Debian package that has it, then: bloomery toolchain make NAME --with PACKAGE"
            )
            return MissingLibrary(
                f"The build needs {name}, which the toolchain image lacks. {remedy}", library=name, package=package
            )
    return None


def _killed(text: Sequence[str]) -> Failure | None:
    if any(_KILLED.search(line) for line in text):
        return OutOfMemory("The compiler was killed for want of memory: raise [limits] memory, or use fewer jobs.")
    return None


def _told(pattern: re.Pattern[str], make: Callable[[str], Failure]) -> Callable[[Sequence[str]], Failure | None]:
    def look(text: Sequence[str]) -> Failure | None:
        return make(_tail(text)) if any(pattern.search(line) for line in text) else None

    return look


_lock = _told(
    _LOCK, lambda tail: LockMismatch(f"Cargo.lock does not fit the manifests; run `cargo update -w`.\n{tail}")
)
_manifest = _told(_MANIFEST, BadManifest)
_unfetched = _told(_UNFETCHED, FetchFailed)


def _first(pattern: re.Pattern[str], text: Sequence[str]) -> str | None:
    return next((match[1] for line in text if (match := pattern.search(line))), None)


def _tail(text: Sequence[str]) -> str:
    """From the first error on, at most the last 30 lines."""
    start = next((n for n, line in enumerate(text) if line.startswith("error")), 0)
    return "\n".join(text[start:][-_TAIL:]).strip()
