"""Reads what cargo prints: JSON messages on stdout, progress and errors on stderr.

The format of the messages: https://doc.rust-lang.org/cargo/reference/external-tools.html#json-messages. Lines on stdout
that are no such messages come from procedural macros and are passed on as log.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import msgspec

from cache.errors import Failure
from daemon.builds import Diagnostic
from daemon.ecosystems.rust.failures import classify
from daemon.engine.engine import OutputStream
from daemon.events import Progress

_KEPT_LINES = 400
_LONGEST_LINE = 1 << 20
_MOST_DIAGNOSTICS = 200
STUB_MARK = "bloomery.stub"
"""In the version of every stub and of no real package."""
WRITTEN = "bloomery-written "
"""The step's own lines on stderr: a path of the source tree that the build wrote."""


@dataclass(frozen=True, slots=True)
class PackageId:
    """A package as cargo names it: a source URL, a name and a version.

    The forms are those of https://doc.rust-lang.org/cargo/reference/pkgid-spec.html: `path+file:///work/a#0.1.0`,
    `path+file:///work/a#other-name@0.1.0`, `registry+https://…#name@1.0.0`.
    """

    source: str
    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> "PackageId":
        """Read one; the name defaults to the last component of the source's path."""
        source, _, fragment = text.partition("#")
        name, at, version = fragment.rpartition("@")
        if not at:
            name = PurePosixPath(source.partition("?")[0]).name
        return cls(source, name, version)

    @property
    def is_path(self) -> bool:
        """Whether the package is a path package: first-party, or patched in."""
        return self.source.startswith("path+")

    @property
    def is_stub(self) -> bool:
        """Whether its version is one that only the skeleton's stubs have."""
        return STUB_MARK in self.version

    @property
    def words(self) -> str:
        """`name version`, as cargo's own lines have it."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One unit that cargo compiled or found fresh."""

    package: PackageId
    target: str
    kinds: tuple[str, ...]
    fresh: bool
    files: tuple[str, ...]
    executable: str | None


class _Lines:
    """Puts pieces together to lines; what is longer than a line may be is cut."""

    def __init__(self) -> None:
        self._held = b""

    def take(self, piece: bytes) -> list[bytes]:
        parts = (self._held + piece).split(b"\n")
        self._held = parts.pop()[:_LONGEST_LINE]
        return [part.removesuffix(b"\r") for part in parts]

    def rest(self) -> list[bytes]:
        held, self._held = self._held, b""
        return [held] if held else []


class CargoReader:
    """A `StepReader` for `cargo build --message-format=json-diagnostic-rendered-ansi` and for `cargo fetch`.

    What is said of stubs is not passed on.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._out = _Lines()
        self._err = _Lines()
        self._seen: set[PackageId] = set()
        self._diagnostics: list[Diagnostic] = []
        self.artifacts: list[Artifact] = []
        self.script_runs: list[tuple[PackageId, str]] = []
        self.written: list[str] = []
        self.finished: bool | None = None
        self.tail: list[str] = []

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What the compiler said about the source; the first 200."""
        return self._diagnostics

    def feed(self, stream: OutputStream, piece: bytes) -> None:
        """Take a piece of output."""
        if stream is OutputStream.STDOUT:
            for line in self._out.take(piece):
                self._message(line)
        else:
            for line in self._err.take(piece):
                self._line(line.decode(errors="replace"))

    def close(self) -> None:
        """The output has ended; a last line may lack its newline."""
        for line in self._out.rest():
            self._message(line)
        for line in self._err.rest():
            self._line(line.decode(errors="replace"))

    def failure(self, code: int) -> Failure:
        """What cargo failed of."""
        return classify(code, tuple(self.tail), tuple(self._diagnostics))

    def compiled(self) -> tuple[str, ...]:
        """`name version` of every package of which something was compiled, in the order of compiling."""
        real = (artifact.package for artifact in self.artifacts if not artifact.fresh and not artifact.package.is_stub)
        return tuple(dict.fromkeys(package.words for package in real))

    def _line(self, text: str) -> None:
        if text.startswith(WRITTEN):
            self.written.append(text.removeprefix(WRITTEN))
            return
        self.tail.append(text)
        if len(self.tail) > _KEPT_LINES:
            del self.tail[: _KEPT_LINES // 2]
        if STUB_MARK not in text:
            self._progress.log(text)

    def _message(self, line: bytes) -> None:
        if not line:
            return
        try:
            message = msgspec.json.decode(line)
        except msgspec.DecodeError:
            message = None
        if not isinstance(message, dict) or "reason" not in message:
            self._line(line.decode(errors="replace"))
            return
        match message["reason"]:
            case "compiler-artifact":
                self._artifact(message)
            case "compiler-message":
                self._diagnostic(message)
            case "build-script-executed":
                self.script_runs.append((PackageId.parse(message["package_id"]), str(message.get("out_dir", ""))))
            case "build-finished":
                self.finished = bool(message.get("success"))

    def _artifact(self, message: dict[str, Any]) -> None:
        target = message["target"]
        artifact = Artifact(
            package=PackageId.parse(message["package_id"]),
            target=target["name"],
            kinds=tuple(target["kind"]),
            fresh=bool(message["fresh"]),
            files=tuple(message["filenames"]),
            executable=message.get("executable"),
        )
        self.artifacts.append(artifact)
        if artifact.package not in self._seen and "custom-build" not in artifact.kinds:
            self._seen.add(artifact.package)
            if not artifact.package.is_stub:
                self._progress.compiled(artifact.package.words, fresh=artifact.fresh, done=len(self._seen), total=0)

    def _diagnostic(self, message: dict[str, Any]) -> None:
        said = message["message"]
        rendered = said.get("rendered") or said["message"]
        spans = [span for span in said.get("spans", ()) if span.get("is_primary")]
        where = spans[0] if spans else {}
        diagnostic = Diagnostic(
            level=said["level"],
            message=said["message"],
            code=(said.get("code") or {}).get("code"),
            file=where.get("file_name"),
            line=where.get("line_start"),
            column=where.get("column_start"),
            package=PackageId.parse(message["package_id"]).name,
            rendered=rendered,
        )
        if len(self._diagnostics) < _MOST_DIAGNOSTICS:
            self._diagnostics.append(diagnostic)
        for line in rendered.rstrip("\n").split("\n"):
            self.tail.append(line)
        self._progress.diagnostic(diagnostic)
