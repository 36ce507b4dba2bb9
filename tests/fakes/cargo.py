"""Cargo in a fake engine: what its steps leave behind and print, enough for the pipeline to work on.

It compiles nothing. A compile's binary is a real program with the sources' digest at its end, so that other sources
make another image, and its messages are those of the daemon's own expectations: dependencies are fresh where the layer
has them.
"""

import asyncio
import hashlib
import json
import tomllib
from collections.abc import Mapping

from daemon.ecosystems.rust.steps import LIVE, OUT
from tests.fakes.engine import Exit, Step
from tests.fakes.rust_projects import BYTES_CRATE, REGISTRY, SIMPLE

_HOME = "index.example-1949cf8c6b5b557f"
_DEPS = "/target/release/deps"
STALE = "/target/release/stale"
"""In a layer: cargo finds its members fresh there, as it would if the layer had been damaged."""


class FakeCargo:
    """The script of every step. `failures` are exit codes and stderr by step; `lock` is what a made lock holds."""

    def __init__(self, program: bytes) -> None:
        self.program = program
        self.crates = {"bytes-1.0.0": BYTES_CRATE}
        self.lock = str(SIMPLE["Cargo.lock"])
        self.failures: dict[str, tuple[int, str]] = {}
        self.ran: list[str] = []
        """Each step that was run: `lock`, `fetch`, `cook`, `settle`, `compile`, or the check's own command."""
        self.networks: dict[str, str] = {}
        self.pause = 0.0
        """Seconds that a step takes."""

    async def __call__(self, step: Step) -> int | Exit:
        purpose = step.spec.labels.get("bloomery.step", "check")
        if purpose == "cook" and step.run > 1:
            purpose = "settle"
        self.ran.append(purpose)
        self.networks[purpose] = str(step.spec.network)
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
            "check": lambda _step: None,
        }
        work[purpose](step)
        return 0

    def _lock(self, step: Step) -> None:
        step.write("/work/Cargo.lock", self.lock.encode())

    def _fetch(self, step: Step) -> None:
        for name, content in self.crates.items():
            step.write(f"/cargo/registry/cache/{_HOME}/{name}.crate", content)
            step.write(f"/cargo/registry/index/{_HOME}/.cache/{name}", b"entry")

    def _cook(self, step: Step) -> None:
        for name in self.crates:
            step.read(f"/cargo/registry/cache/{_HOME}/{name}.crate")
            step.write(_unit(name), f"unit of {name}".encode())
            _tell_unit(step, name, fresh=False)
        package = _package(step)
        step.write(f"{_DEPS}/{package['name']}-{'0' * 16}", b"a stub")
        self._finish(step, package)

    def _settle(self, step: Step) -> None:
        live = set(step.read(LIVE).decode().split())
        for path in [path for path in step.files if path.startswith(f"{_DEPS}/")]:
            if path.partition(".")[0][-16:] not in live:
                step.delete(path)
        for path in [path for path in step.files if path.startswith("/work/")]:
            step.files.pop(path, None)
        step.delete("/target/release/app")

    def _compile(self, step: Step) -> None:
        for name in self.crates:
            fresh = _unit(name) in step.files
            step.write(_unit(name), f"unit of {name}".encode())
            _tell_unit(step, name, fresh=fresh)
        package = _package(step)
        sources = hashlib.sha256()
        for path in sorted(path for path in step.files if path.startswith("/work/")):
            sources.update(path.encode() + (step.files[path].content or b""))
        for binary in package["binaries"]:
            program = self.program + f"{binary} of {sources.hexdigest()}".encode()
            step.write(f"/target/release/{binary}", program, 0o755)
            step.write(f"{OUT}/{binary}", program, 0o755)
            step.write(f"{OUT}/{binary}.debug", b"symbols of " + program[-64:])
        self._finish(step, package)

    def _finish(self, step: Step, package: Mapping[str, object]) -> None:
        identity = f"path+file:///work#{package['name']}@{package['version']}"
        for binary in package["binaries"]:
            path = f"/target/release/{binary}"
            _tell(step, identity, "bin", binary, [path], fresh=STALE in step.files, executable=path)
        step.print('{"reason":"build-finished","success":true}\n')


def _package(step: Step) -> dict[str, object]:
    manifest = tomllib.loads(step.read("/work/Cargo.toml").decode())
    binaries = [binary["name"] for binary in manifest.get("bin", ())] or [manifest["package"]["name"]]
    return {**manifest["package"], "binaries": binaries}


def _unit(name: str) -> str:
    return f"{_DEPS}/lib{name.rpartition('-')[0]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.rlib"


def _tell_unit(step: Step, name: str, *, fresh: bool) -> None:
    package, _, version = name.rpartition("-")
    _tell(step, f"{REGISTRY}#{package}@{version}", "lib", package, [_unit(name)], fresh=fresh)


def _tell(
    step: Step, package: str, kind: str, name: str, files: list[str], *, fresh: bool, executable: str | None = None
) -> None:
    message = {"reason": "compiler-artifact", "package_id": package, "target": {"name": name, "kind": [kind]}}
    step.print(json.dumps({**message, "filenames": files, "executable": executable, "fresh": fresh}) + "\n")
