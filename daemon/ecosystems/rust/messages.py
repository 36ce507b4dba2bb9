"""Reads what cargo prints: JSON messages on stdout, progress and errors on stderr.

The format of the messages: https://doc.rust-lang.org/cargo/reference/external-tools.html#json-messages. Lines on stdout
that are no such messages come from procedural macros: they are passed on as log, and are evidence of nothing.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from cache.errors import Failure
from daemon.builds import Diagnostic, Link
from daemon.ecosystems.rust.failures import CompilerError, classify
from daemon.ecosystems.rust.package_id import STUB_MARK, PackageId
from daemon.engine.engine import OutputStream
from daemon.events import Progress

LONGEST_LINE = 1 << 20
"""Bytes; a line is cut there."""
_KEPT_LINES = 400
_LONGEST_KEPT = 4096
_MOST_DIAGNOSTICS = 200
WRITTEN = "bloomery-written "
"""The step's own lines on stderr: a path of the source tree that the build wrote."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One unit that cargo compiled or found fresh."""

    package: PackageId
    target: str
    kinds: tuple[str, ...]
    fresh: bool
    files: tuple[str, ...]
    executable: str | None


class CargoReader:
    """A `StepReader` for `cargo build --message-format=json-diagnostic-rendered-ansi` and for `cargo fetch`.

    What is said of stubs is not passed on. Of the time that passes between two messages the package has all that the
    second one is about: jobs run side by side, and so the shares make up the whole and no more.
    """

    def __init__(
        self, progress: Progress, link: Link = Link.DYNAMIC, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._progress = progress
        self._link = link
        self._clock = clock
        self._told_at: float | None = None
        self._spent: dict[PackageId, float] = {}
        self._out = _Lines()
        self._err = _Lines()
        self._seen: set[PackageId] = set()
        self._diagnostics: list[Diagnostic] = []
        self._errors: list[CompilerError] = []
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)
        self.artifacts: list[Artifact] = []
        self.script_runs: list[tuple[PackageId, str]] = []
        self.written: list[str] = []
        self.finished: bool | None = None

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What the compiler said about the source: the first 200 errors, and the first 200 of all else."""
        return self._diagnostics

    def feed(self, stream: OutputStream, piece: bytes) -> None:
        """Take a piece of output."""
        if self._told_at is None:
            self._told_at = self._clock()
        if stream is OutputStream.STDOUT:
            for line in self._out.take(piece):
                self._message(line)
        else:
            for line in self._err.take(piece):
                self._line(line)

    def close(self) -> None:
        """The output has ended; a last line may lack its newline."""
        for line in self._out.rest():
            self._message(line)
        for line in self._err.rest():
            self._line(line)

    def failure(self, code: int) -> Failure:
        """What cargo failed of."""
        return classify(code, tuple(self._tail), self._errors, self._link)

    def compiled(self) -> Mapping[str, float]:
        """`name version` of every package of which something was compiled, in order, and the seconds that it took."""
        real = (artifact.package for artifact in self.artifacts if not artifact.fresh and not artifact.package.is_stub)
        return {package.words: self._spent.get(package, 0.0) for package in dict.fromkeys(real)}

    def reused(self) -> tuple[str, ...]:
        """The same of every package from outside of which cargo found everything fresh."""
        compiled = self.compiled()
        found = dict.fromkeys(one.package.words for one in self.artifacts if one.fresh and one.package.is_outside)
        return tuple(words for words in found if words not in compiled)

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        if text.startswith(WRITTEN):
            self.written.append(text.removeprefix(WRITTEN))
            return
        self._tail.append(text[:_LONGEST_KEPT])
        self._log(text)

    def _log(self, text: str) -> None:
        if STUB_MARK not in text:
            self._progress.log(text)

    def _message(self, line: bytes) -> None:
        if not line:
            return
        try:
            message = _read(line)
        except msgspec.DecodeError:
            if not _is_message(line):
                self._log(line.decode(errors="replace"))
            return
        match message:
            case _ArtifactMessage():
                self._artifact(message)
            case _CompilerMessage():
                self._diagnostic(message)
            case _ScriptMessage():
                self.script_runs.append((PackageId.parse(message.package_id), message.out_dir))
                self._spend(self.script_runs[-1][0])
            case _FinishedMessage():
                self.finished = message.success

    def _artifact(self, message: "_ArtifactMessage") -> None:
        artifact = Artifact(
            package=PackageId.parse(message.package_id),
            target=message.target.name,
            kinds=message.target.kind,
            fresh=message.fresh,
            files=message.filenames,
            executable=message.executable,
        )
        self.artifacts.append(artifact)
        self._spend(artifact.package)
        if artifact.package not in self._seen and "custom-build" not in artifact.kinds:
            self._seen.add(artifact.package)
            if not artifact.package.is_stub:
                self._progress.compiled(artifact.package.words, fresh=artifact.fresh, done=len(self._seen), total=0)

    def _spend(self, package: PackageId) -> None:
        now = self._clock()
        since = now if self._told_at is None else self._told_at
        self._spent[package] = self._spent.get(package, 0.0) + now - since
        self._told_at = now

    def _diagnostic(self, message: "_CompilerMessage") -> None:
        said, package = message.message, PackageId.parse(message.package_id)
        where = next((span for span in said.spans if span.is_primary), _NOWHERE)
        diagnostic = Diagnostic(
            level=said.level,
            message=said.message,
            code=said.code.code if said.code else None,
            file=where.file_name,
            line=where.line_start,
            column=where.column_start,
            package=package.name,
            rendered=said.rendered or said.message,
        )
        is_error = diagnostic.level.startswith("error")
        if package.is_stub and not is_error:
            return
        others = len(self._diagnostics) - len(self._errors)
        if (len(self._errors) if is_error else others) < _MOST_DIAGNOSTICS:
            self._diagnostics.append(diagnostic)
            if is_error:
                self._errors.append(CompilerError(package, diagnostic))
        self._progress.diagnostic(diagnostic)


class _Lines:
    """Puts pieces together to lines, in time and memory that pieces cannot drive up; a longer line is cut."""

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, piece: bytes) -> list[bytes]:
        first, *others = piece.split(b"\n")
        lines = []
        self._hold(first)
        for part in others:
            lines.append(self._ended())
            self._hold(part)
        return lines

    def rest(self) -> list[bytes]:
        return [self._ended()] if self._held else []

    def _hold(self, part: bytes) -> None:
        self._held += part[: LONGEST_LINE - len(self._held)]

    def _ended(self) -> bytes:
        line = bytes(self._held).removesuffix(b"\r")
        self._held.clear()
        return line


class _Target(msgspec.Struct, frozen=True):
    name: str
    kind: tuple[str, ...]


class _Span(msgspec.Struct, frozen=True):
    is_primary: bool
    file_name: str | None = None
    line_start: int | None = None
    column_start: int | None = None


_NOWHERE = _Span(is_primary=False)


class _Code(msgspec.Struct, frozen=True):
    code: str


class _Said(msgspec.Struct, frozen=True):
    level: str
    message: str
    code: _Code | None = None
    spans: tuple[_Span, ...] = ()
    rendered: str | None = None


class _ArtifactMessage(msgspec.Struct, frozen=True, tag_field="reason", tag="compiler-artifact"):
    package_id: str
    target: _Target
    filenames: tuple[str, ...]
    fresh: bool
    executable: str | None = None


class _CompilerMessage(msgspec.Struct, frozen=True, tag_field="reason", tag="compiler-message"):
    package_id: str
    message: _Said


class _ScriptMessage(msgspec.Struct, frozen=True, tag_field="reason", tag="build-script-executed"):
    package_id: str
    out_dir: str = ""


class _FinishedMessage(msgspec.Struct, frozen=True, tag_field="reason", tag="build-finished"):
    success: bool


_read = msgspec.json.Decoder(_ArtifactMessage | _CompilerMessage | _ScriptMessage | _FinishedMessage).decode


def _is_message(line: bytes) -> bool:
    """Whether this is a message of a kind that is not read here."""
    try:
        message = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return isinstance(message, dict) and "reason" in message
