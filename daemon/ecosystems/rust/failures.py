"""What cargo failed of, from its own words: whose fault it was and what to do.

The words of users stand among cargo's: in the compiler's messages about their source, in what their build scripts and
procedural macros print. So each pattern is looked for only where the program that says it speaks:

1. errors that point at a place in source are the source's, whatever they say;
2. what a failed build script printed tells of libraries and tools that are missing, and of nothing else;
3. errors without a place are the linker's;
4. only where nothing was being compiled are the words cargo's own: lock, manifests, network.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cache.errors import Failure
from cache.manifests.errors import BadManifest
from cache.manifests.rust.errors import LockMismatch
from daemon.builds import Diagnostic, Link
from daemon.ecosystems.libraries import debian_package
from daemon.ecosystems.rust.package_id import PackageId
from daemon.errors import (
    CompileFailed,
    DependencyFailed,
    FetchFailed,
    MissingLibrary,
    NotStatic,
    OutOfMemory,
    RegistryUnreachable,
)

_OF_CRATES = frozenset({"E0460", "E0461", "E0462", "E0463", "E0464", "E0514", "E0786"})
"""The compiler's errors about crates that it cannot find, cannot read, or that do not fit each other."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TAIL = 30

_UNLINKED = (
    re.compile(r"cannot find -l(?::lib)?([\w.+-]+?)(?:\.so[\d.]*|\.a)?(?=[:\s]|$)"),
    re.compile(r"unable to find library -l(?::lib)?([\w.+-]+?)(?:\.so[\d.]*|\.a)?(?=[:\s]|$)"),
    re.compile(r"could not find native static library `([^`]+)`"),
    re.compile(r"attempted static link of dynamic object [`'](?:[^`']*/)?(?:lib)?([\w+-]+)\.so"),
)
_MISSING = (
    re.compile(r"`?(pkg-config)`?(?: command)? could not be found"),
    re.compile(r"[Tt]he system library `([^`]+)` required by crate"),
    re.compile(r"No package '([^']+)' found"),
    re.compile(r"Package '([^']+)', required by '[^']+', not found"),
    re.compile(r"Package ([\w.+-]+) was not found in the pkg-config search path"),
    re.compile(r"fatal error: '?([\w./+-]+\.h(?:pp)?)'?(?:: No such file| file not found)"),
    re.compile(r"is `([\w+-]+)` not installed\?"),
    re.compile(r"[Cc]ould not find `?(protoc|cmake|clang|nasm|bindgen|pkg-config|make|perl|git)`?(?:[ .]|$)"),
    re.compile(r"[Uu]nable to find (libclang)"),
    re.compile(r"[Dd]id not find (?:a compatible version of )?(lib[\w+-]+)"),
    re.compile(r"[Cc]ould not find (?:directory of )?(OpenSSL)(?: |$)"),
    re.compile(r"[Ff]ailed to (?:execute|run|spawn|find) (?:command |tool )?[`'\"]?([\w+-]+)[`'\"]?: No such file"),
    re.compile(r"[Ff]ailed to (?:execute|run|spawn|find) (?:command )?[`'\"]?(protoc|cmake|clang|nasm|autoreconf)\b"),
    re.compile(r"[Cc]ommand '([\w+-]+)' not found"),
    re.compile(r"sh: (?:line )?\d+: ([\w+-]+): (?:command )?not found"),
    *_UNLINKED,
)
_LOCK = re.compile(r"the lock file .* needs to be updated|cannot update the lock file")
_MANIFEST = re.compile(r"failed to (?:parse|load) manifest|^\s*--> \S*(?:Cargo|config)\.toml:\d+:\d+$|invalid type: ")
_UNREACHABLE = re.compile(
    r"[Cc]ould not (?:resolve (?:host|proxy)|connect to server)|[Ff]ailed to connect to|failed to resolve address"
    r"|[Oo]peration timed out|[Tt]imeout was reached|[Cc]onnection (?:refused|reset|timed out)|class=(?:Net|Ssl)\b"
    r"|SSL (?:connect error|certificate problem|peer certificate)|unexpected EOF|got (?:429|50[0234])\b"
    r"|HTTP (?:429|50[0234])\b|unexpected http status code: 5\d\d"
)
_UNFETCHED = re.compile(
    r"no matching package|failed to select a version"
    r"|failed to (?:download|fetch|load source|query replaced source|get `)"
    r"|unable to update|no such ref|rev(?:spec|ision) .* not found|attempting to make an HTTP request"
    r"|failed to verify the checksum|checksum .* (?:changed|mismatch)"
)
_KILLED = re.compile(
    r"signal: 9, SIGKILL|signal: 9 \(SIGKILL\)|Killed signal terminated program|terminated with signal 9"
    r"|LLVM ERROR: out of memory|memory allocation of \d+ bytes failed"
)
_SCRIPT = re.compile(r"^error: failed to run custom build command for `([^`]+)`")
_PACKAGE = re.compile(r"^error: could not compile `([^`]+)`")
_IN_TREE = re.compile(r" \(/")


@dataclass(frozen=True, slots=True)
class CompilerError:
    """An error of the compiler, and the package that it was compiling."""

    package: PackageId
    diagnostic: Diagnostic


def classify(code: int, lines: Sequence[str], errors: Sequence[CompilerError], link: Link = Link.DYNAMIC) -> Failure:
    """The failure that cargo's output tells of; `lines` are the last of its stderr, `errors` the compiler's."""
    text = [_COLOURS.sub("", line) for line in lines]
    placed = [error for error in errors if error.diagnostic.file]
    placeless = [error for error in errors if not error.diagnostic.file]
    ours = [error for error in placed if not error.package.is_outside]
    if ours:
        return _compile_failed(ours)
    script = next((n for n, line in enumerate(text) if _SCRIPT.search(line)), None)
    if script is not None:
        return _script_failed(text[script:])
    if placed:
        return _dependency_failed(placed[0])
    if placeless:
        return _link_failed(placeless, link)
    package = next((match[1] for line in text if (match := _PACKAGE.search(line))), None)
    if package is not None:
        return _killed(text) or DependencyFailed(f"{package} does not compile.\n{_tail(text)}", package=package)
    return _cargo_failed(code, text)


def _compile_failed(errors: Sequence[CompilerError]) -> Failure:
    first = errors[0].diagnostic
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    codes = sorted({error.diagnostic.code for error in errors if error.diagnostic.code})
    return CompileFailed(
        f"{first.file}:{first.line}: {first.message}{more}",
        file=first.file,
        line=first.line,
        package=first.package,
        codes=[*codes],
    )


def is_of_sources_alone(failure: Failure) -> bool:
    """Whether the compiler refused lines of the project, and nothing of what they are compiled against."""
    codes = failure.evidence.get("codes")
    return isinstance(failure, CompileFailed) and isinstance(codes, list) and _OF_CRATES.isdisjoint(map(str, codes))


def _dependency_failed(error: CompilerError) -> Failure:
    told = _COLOURS.sub("", error.diagnostic.rendered).strip()
    return DependencyFailed(f"{error.package.words} does not compile.\n{told}", package=error.package.words)


def _script_failed(text: Sequence[str]) -> Failure:
    """From the line that names the build script on."""
    match = _SCRIPT.search(text[0])
    assert match is not None
    failure = _missing_library(text) or _killed(text)
    if failure is not None:
        return failure
    package = match[1]
    words = f"The build script of {package} failed.\n{_tail(_panic(text))}"
    return (
        CompileFailed(words, package=package) if _IN_TREE.search(package) else DependencyFailed(words, package=package)
    )


def _panic(text: Sequence[str]) -> Sequence[str]:
    """What the script printed last of all: its standard error, without the instructions to cargo before it."""
    start = next((n for n, line in enumerate(text) if line.strip() == "--- stderr"), 0)
    return text[start:]


def _link_failed(errors: Sequence[CompilerError], link: Link) -> Failure:
    text = [line for error in errors for line in _COLOURS.sub("", error.diagnostic.rendered).splitlines()]
    library = _found(_UNLINKED, text)
    if library is not None and link is Link.STATIC:
        return NotStatic(
            f"The build links {library} statically, and the toolchain image has no static {library}: such a library "
            'exists only as a shared object. Use link = "dynamic", or a crate feature that builds it from source.',
            libraries=[library],
        )
    failure = _missing_library(text) or _killed(text)
    if failure is not None:
        return failure
    first = errors[0]
    if first.package.is_outside:
        return _dependency_failed(first)
    told = "\n".join(text[-_TAIL:]).strip()
    return CompileFailed(f"{first.diagnostic.message}\n{told}", file=None, line=None, package=first.package.name)


def _cargo_failed(code: int, text: Sequence[str]) -> Failure:
    """Nothing was being compiled: cargo's own words."""
    start = next((n for n, line in enumerate(text) if line.startswith("error")), 0)
    said, tail = text[start:], _tail(text)
    reasons: tuple[tuple[re.Pattern[str], Callable[[], Failure]], ...] = (
        (_LOCK, lambda: LockMismatch(f"Cargo.lock does not fit the manifests; run `cargo update -w`.\n{tail}")),
        (_UNREACHABLE, lambda: RegistryUnreachable(f"What the build needs cannot be reached from here.\n{tail}")),
        (_UNFETCHED, lambda: FetchFailed(tail)),
        (_MANIFEST, lambda: BadManifest(tail)),
    )
    for pattern, failure in reasons:
        if any(pattern.search(line) for line in said):
            return failure()
    return _killed(said) or CompileFailed(f"cargo ended with code {code}.\n{tail}", code=code)


def _missing_library(text: Sequence[str]) -> Failure | None:
    name = _found(_MISSING, text)
    if name is None:
        return None
    package = debian_package(name)
    remedy = (
        f"Debian's package {package} has it: bloomery toolchain make NAME --with {package}"
        if package
        else "Find the Debian package that has it, then: bloomery toolchain make NAME --with PACKAGE"
    )
    return MissingLibrary(
        f"The build needs {name}, which the toolchain image lacks. {remedy}", library=name, package=package
    )


def _killed(text: Sequence[str]) -> Failure | None:
    if any(_KILLED.search(line) for line in text):
        return OutOfMemory("The compiler was killed for want of memory: raise [limits] memory, or use fewer jobs.")
    return None


def _found(patterns: Sequence[re.Pattern[str]], text: Sequence[str]) -> str | None:
    """What the first of the patterns that matches any line names."""
    matches = (match[1] for pattern in patterns for line in text if (match := pattern.search(line)))
    return next(matches, None)


def _tail(text: Sequence[str]) -> str:
    """From the first error on, at most the last 30 lines."""
    start = next((n for n, line in enumerate(text) if line.startswith("error")), 0)
    return "\n".join(text[start:][-_TAIL:]).strip()
