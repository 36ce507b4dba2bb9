"""Reads what uv and the programs inside say, and makes failures of it: whose turn it is, in their own words."""

import re
from collections.abc import Mapping, Sequence

from cache.errors import Failure
from daemon.builds import Diagnostic
from daemon.ecosystems.libraries import debian_package
from daemon.ecosystems.python.inside.fetch_files import UNREACHABLE as NOT_REACHED
from daemon.ecosystems.python.steps import BUILDS
from daemon.engine.engine import OutputStream
from daemon.errors import DependencyFailed, FetchFailed, MissingLibrary, OutOfMemory, RegistryUnreachable, Unresolvable
from daemon.events import Progress

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TAIL = 60
_KILLED = 137
_UNREACHABLE = re.compile(
    r"error sending request|dns error|[Cc]onnection (?:refused|reset|closed)|operation timed out|timed out"
    r"|tcp connect error|HTTP status (?:server error|client error \(429)|certificate verify failed"
    r"|invalid peer certificate"
)
_UNRESOLVED = re.compile(
    r"No solution found|requirements are unsatisfiable|marked as `--no-build`|[Bb]uilding source distributions"
    r"|Because .* we can conclude|conflicting URLs|Unable to find lockfile|needs to be updated"
)
_ASKS_CODE = re.compile(rf"Failed to (?:download and )?build `?([^`\s]+)`?(?s:.*){BUILDS}")
_BUILDING = re.compile(r"Failed to (?:download and )?build `?([^`\s]+)`?")
_MISSING = (
    re.compile(r"fatal error: '?([\w./+-]+\.h(?:pp)?)'?(?:: No such file| file not found)"),
    re.compile(r"(pg_config|mysql_config|xml2-config|xslt-config|krb5-config|curl-config)\b.*not found"),
    re.compile(r"cannot find -l(?::lib)?([\w.+-]+?)(?:\.so[\d.]*|\.a)?(?=[:\s]|$)"),
    re.compile(r"[Pp]ackage '?([\w.+-]+)'?,? (?:was not found|required by|not found)"),
    re.compile(r"No package '([^']+)' found"),
    re.compile(r"command '([\w+-]+)' failed: No such file"),
    re.compile(r"(?:error|Error): (?:can't find|cannot find|could not find) (?:the )?[`']?([\w+-]+)[`']?"),
)


class PythonReader:
    """A `StepReader` over the output of a Python step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._held: dict[OutputStream, bytearray] = {stream: bytearray() for stream in OutputStream}
        self._said: list[str] = []

    def feed(self, stream: OutputStream, piece: bytes) -> None:
        """Every line is told."""
        held = self._held[stream]
        held += piece
        *lines, rest = held.split(b"\n")
        held[:] = rest
        for line in lines:
            self._line(bytes(line))

    def close(self) -> None:
        """What is left is a line, too."""
        for held in self._held.values():
            if held:
                self._line(bytes(held))
                held.clear()

    def failure(self, code: int) -> Failure:
        """What the last lines tell."""
        text = "\n".join(self._said).strip()
        if code == _KILLED:
            return OutOfMemory("The step was killed for want of memory: raise [limits] memory.")
        if code == NOT_REACHED or _UNREACHABLE.search(text):
            return RegistryUnreachable(_end(text) or "The package index cannot be reached.")
        asks = _ASKS_CODE.search(text)
        if asks is not None:
            return Unresolvable(
                f"{asks[1]} is an sdist, and only its own code can tell what it requires, which runs nowhere with a "
                "network: require a version that has a wheel, or commit a lock (`uv pip compile --format pylock.toml`)",
            )
        building = _BUILDING.search(text)
        if building is not None:
            return self._not_built(building[1], text)
        if _UNRESOLVED.search(text):
            return Unresolvable(_end(text))
        return FetchFailed(_end(text) or f"The step ended with code {code} and said nothing.")

    def compiled(self) -> Mapping[str, float]:
        """Nothing is compiled."""
        return {}

    def reused(self) -> tuple[str, ...]:
        """Nothing tells."""
        return ()

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        """None."""
        return ()

    def _line(self, raw: bytes) -> None:
        text = _COLOURS.sub("", raw.decode("utf-8", "replace")).rstrip()
        if text:
            self._progress.log(text)
            self._said.append(text)
            del self._said[:-_TAIL]

    def _not_built(self, package: str, text: str) -> Failure:
        for pattern in _MISSING:
            if (found := pattern.search(text)) is not None:
                wanted = debian_package(found[1])
                advice = f"; Debian's package {wanted} has it" if wanted else ""
                return MissingLibrary(
                    f"{package} cannot be built: the toolchain image has no {found[1]}{advice}",
                    package=wanted or "",
                    dependency=package,
                )
        return DependencyFailed(f"{package} has no wheel that fits, and cannot be built:\n{_end(text)}")


def _end(text: str) -> str:
    """From the error on."""
    start = text.find("error: ")
    found = text[start:] if start >= 0 else text
    return found.removeprefix("error: ")[-4000:]
