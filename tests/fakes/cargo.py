"""Cargo in a fake engine: what its steps leave behind and print, enough for the pipeline to work on.

It compiles nothing. A compile's binary is a real program with the sources' digest at its end, so that other sources
make another image, and its messages are those of the daemon's own expectations: dependencies are fresh where the layer
has them.
"""

import asyncio
import hashlib
import json
import re
import time
import tomllib
from collections.abc import Mapping

from cache.digest import Digest
from daemon.ecosystems.rust.index_entries import checksums, entry_path
from daemon.ecosystems.rust.steps import BROUGHT, KNOWN, LIVE, OUT, REMOVED
from daemon.ecosystems.step import SOURCE_TIME
from daemon.tarball import Member
from tests.fakes.engine import Exit, Step
from tests.fakes.index_entries import entry as index_entry
from tests.fakes.rust_projects import BYTES_CRATE, REGISTRY, SIMPLE
from tests.fakes.target_directories import library

HOME = "index.example-1949cf8c6b5b557f"
_ARCHIVES = f"/cargo/registry/cache/{HOME}"
_INDEX = f"/cargo/registry/index/{HOME}"
_OFFLINE = "attempting to make an HTTP request, but --offline was specified"
_DEPS = "/target/release/deps"
STALE = "/target/release/stale"
"""In a layer: cargo finds its members fresh there, as it would if the layer had been damaged."""


class FakeCargo:
    """The script of every step. `failures` are exit codes and stderr by step; `lock` is what a made lock holds."""

    def __init__(self, program: bytes) -> None:
        self.program = program
        self.crates = {"bytes-1.0.0": BYTES_CRATE}
        self.elsewhere: set[str] = set()
        """The crates that are for another platform."""
        self.downloaded: list[str] = []
        """Each archive that was asked of the registry."""
        self.lock = str(SIMPLE["Cargo.lock"])
        self.failures: dict[str, tuple[int, str]] = {}
        self.ran: list[str] = []
        """Each step that was run: `lock`, `fetch`, `cook`, `settle`, `compile`, `clear`, or the check's own command."""
        self.networks: dict[str, str] = {}
        self.stale: set[str] = set()
        """Crates whose units a cook finds, and compiles again."""
        self.pause = 0.0
        """Seconds that a step takes."""

    async def __call__(self, step: Step) -> int | Exit:
        purpose = purpose_of(step)
        self.ran.append(purpose)
        self.networks[purpose] = str(step.spec.network)
        step.complain("    Begun\n")
        await asyncio.sleep(self.pause)
        if purpose in self.failures:
            code, text = self.failures[purpose]
            step.complain(text)
            return code
        work = {
            "lock": self._lock,
            "fetch": self._fetch,
            "cook": self._cook,
            "settle": self._settle,
            "compile": self._compile,
            "clear": self._clear,
            "check": lambda _step: None,
        }
        return work[purpose](step) or 0

    def _lock(self, step: Step) -> None:
        step.write("/work/Cargo.lock", self.lock.encode())

    def _fetch(self, step: Step) -> None:
        for name, content in self._locked(step).items():
            package, _, version = name.rpartition("-")
            archive, entry = f"{_ARCHIVES}/{name}.crate", f"{_INDEX}/{entry_path(package)}"
            if archive not in step.files and name not in self.elsewhere:
                self.downloaded.append(name)
                bring(step, archive, content)
            if entry not in step.files or not checksums(step.read(entry), package, [version]):
                bring(step, entry, self._entry(package))
            bring(step, f"{_INDEX}/config.json", b'{"dl": "https://example.org"}')

    def _entry(self, package: str) -> bytes:
        """What the registry says of a crate now."""
        found = {name.rpartition("-")[2]: text for name, text in self.crates.items() if name.startswith(f"{package}-")}
        return index_entry(package, {version: Digest.of(text).hex for version, text in found.items()})

    def _locked(self, step: Step) -> Mapping[str, bytes]:
        """Of the crates that the registry has those that the step's lock names."""
        (text,) = [step.read(path) for path in step.files if re.fullmatch(r"/work/(?:.*/)?Cargo\.lock", path)]
        packages = tomllib.loads(text.decode())["package"]
        names = [f"{package['name']}-{package['version']}" for package in packages if "source" in package]
        return {name: self.crates[name] for name in names if name in self.crates}

    def _cook(self, step: Step) -> int | None:
        for path in [path for path in step.files if path.startswith(f"{BROUGHT}/")]:
            step.delete(path)
        for name in self._locked(step):
            package, _, version = name.rpartition("-")
            entry = step.files.get(f"{_INDEX}/{entry_path(package)}")
            if entry is None or not checksums(entry.content or b"", package, [version]):
                step.complain(f"error: failed to select a version for the requirement `{package} = {version}`\n")
                return 101
            if name in self.elsewhere:
                continue
            if f"{_ARCHIVES}/{name}.crate" not in step.files:
                step.complain(f"error: failed to download `{package} v{version}`\n\nCaused by:\n  {_OFFLINE}\n")
                return 101
            fresh = name not in self.stale and all(f"/target/{path}" in step.files for path in _files(name))
            for path, content in _files(name).items() if not fresh else ():
                step.write(f"/target/{path}", content)
            _tell_unit(step, name, fresh=fresh)
        package = _package(step)
        step.write(f"{_DEPS}/{package['name']}-{'0' * 16}", b"a stub")
        self._finish(step, package)
        return None

    def _settle(self, step: Step) -> None:
        live = set(step.read(LIVE).decode().split())
        for path in [path for path in step.files if path.startswith(f"{_DEPS}/")]:
            if path.partition(".")[0][-16:] not in live:
                step.delete(path)
        for path in [path for path in step.files if path.startswith("/work/")]:
            step.files.pop(path, None)
        step.delete("/target/release/app")

    def _clear(self, step: Step) -> None:
        for path in step.read(REMOVED).decode().split("\0"):
            if path:
                step.delete(f"/work/{path.removeprefix('./')}")
        if "/bloomery/stay" in step.read("/bloomery/step").decode():
            self._move(step)

    def _move(self, step: Step) -> None:
        stay = set(step.read("/bloomery/stay").decode().split())
        for path in [path for path, member in step.files.items() if member.content is not None]:
            if path.startswith("/target/release/") and not any(mark in path for mark in stay - {"-"}):
                step.delete(path)
        for crate in step.read("/bloomery/gone").decode().split():
            step.delete(f"/cargo/registry/cache/{crate}")

    def _compile(self, step: Step) -> None:
        if _clears(step):
            self._clear(step)
        for name in self._locked(step):
            if name in self.elsewhere:
                continue
            step.read(f"{_ARCHIVES}/{name}.crate")
            fresh = _unit(name) in step.files
            for path, content in _files(name).items() if not fresh else ():
                step.write(f"/target/{path}", content)
            _tell_unit(step, name, fresh=fresh)
        package = _package(step)
        fresh = _may_be_fresh(step, package)
        sources = hashlib.sha256()
        for path in sorted(path for path in step.files if _is_read(path)):
            sources.update(path.encode() + (step.files[path].content or b""))
        for binary in package["binaries"]:
            program = self.program + f"{binary} of {sources.hexdigest()}".encode()
            step.write(f"/target/release/{binary}", program, 0o755)
            step.write(f"{OUT}/{binary}", program, 0o755)
            step.write(f"{OUT}/{binary}.debug", b"symbols of " + program[-64:])
        _leave(step)
        self._finish(step, package, fresh=fresh)

    def _finish(self, step: Step, package: Mapping[str, object], *, fresh: bool = False) -> None:
        identity = f"path+file:///work#{package['name']}@{package['version']}"
        for binary in package["binaries"]:
            path = f"/target/release/{binary}"
            _tell(step, identity, "bin", binary, [path], fresh=fresh or STALE in step.files, executable=path)
        step.print('{"reason":"build-finished","success":true}\n')


def bring(step: Step, path: str, content: bytes) -> None:
    """Write a file of a registry, as a fetch does: what came has a second name."""
    step.write(path, content)
    step.write(path.replace("/cargo/registry", BROUGHT, 1), content)


def purpose_of(step: Step) -> str:
    """A cook's sandbox runs the cook and settles it, after the fetch if that was there."""
    begun_as = step.spec.labels.get("bloomery.step", "check")
    if begun_as == "compile" and _clears(step) and "\ncargo build" not in step.read("/bloomery/step").decode():
        return "clear"
    if begun_as not in {"fetch", "cook"}:
        return begun_as
    steps = ("fetch", "cook", "settle")
    return steps[steps.index(begun_as) + step.run - 1]


def _clears(step: Step) -> bool:
    return f"rm -rf -- < {REMOVED}" in step.read("/bloomery/step").decode()


def _may_be_fresh(step: Step, package: Mapping[str, object]) -> bool:
    """Whether what an earlier compile made of the package is here, and the step does not mark it."""
    made = all(f"/target/release/{binary}" in step.files for binary in package["binaries"])
    before_cargo, _, _ = step.read("/bloomery/step").decode().partition("\ncargo build")
    marked = re.findall(r"for package in (.*); do", before_cargo)
    return made and not any(package["name"] in names.split() for names in marked)


def _leave(step: Step) -> None:
    """What a real step collects: no unit tells what it has read, and nothing has written to the sources."""
    listing = b""
    for path, member in sorted(step.files.items()):
        if path.startswith("/work/"):
            kind = "l" if member.target is not None else "d" if member.content is None else "f"
            size = len(member.content or b"")
            times = f"{SOURCE_TIME}.0 {_accessed(path, member)}.0"
            line = f"={kind} {member.mode:o} {size} {times} {path.removeprefix('/work/')}"
            listing += f"{line}\0{member.target or ''}\0".encode()
    step.write(f"{KNOWN}/paths", listing)
    step.write(f"{KNOWN}/inputs.tar", bytes(10240))
    step.write(f"{KNOWN}/size", b"1000\t/target\n")


def _accessed(path: str, member: Member) -> int:
    """The time at which a file was read last: all but documentation is."""
    return int(time.time()) if _is_read(path) or member.atime is None else member.atime


def _is_read(path: str) -> bool:
    return path.startswith("/work/") and not path.endswith(".md")


def _package(step: Step) -> dict[str, object]:
    manifest = tomllib.loads(step.read("/work/Cargo.toml").decode())
    binaries = [binary["name"] for binary in manifest.get("bin", ())] or [manifest["package"]["name"]]
    return {**manifest["package"], "binaries": binaries}


def _files(name: str) -> Mapping[str, bytes]:
    """What compiling a crate, `NAME-VERSION`, leaves below the target directory."""
    package, _, version = name.rpartition("-")
    files = library(package, version=version).files
    return {path: content for path, content in files.items() if isinstance(content, bytes)}


def _unit(name: str) -> str:
    return next(f"/target/{path}" for path in _files(name) if path.endswith(".rlib"))


def _tell_unit(step: Step, name: str, *, fresh: bool) -> None:
    package, _, version = name.rpartition("-")
    _tell(step, f"{REGISTRY}#{package}@{version}", "lib", package, [_unit(name)], fresh=fresh)


def _tell(
    step: Step, package: str, kind: str, name: str, files: list[str], *, fresh: bool, executable: str | None = None
) -> None:
    message = {"reason": "compiler-artifact", "package_id": package, "target": {"name": name, "kind": [kind]}}
    step.print(json.dumps({**message, "filenames": files, "executable": executable, "fresh": fresh}) + "\n")
