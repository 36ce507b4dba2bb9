"""Target directories as cargo 1.95 writes them (layout v1), without a cargo: each unit as its files by path."""

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field, replace

from daemon.ecosystems.rust.package_id import PackageId
from daemon.units.cook import LiveUnit
from daemon.units.layout import UnitId
from tests.fakes.rust_projects import REGISTRY


@dataclass(frozen=True)
class Special:
    """An entry that is no file: a tar type, and where it leads."""

    type: bytes
    target: str = ""


Content = bytes | Special
Files = dict[str, Content]
DIRECTORY = Special(tarfile.DIRTYPE)


def link(target: str) -> Special:
    return Special(tarfile.SYMTYPE, target)


def second_name(first: str) -> Special:
    """What an engine writes for the second name of a file."""
    return Special(tarfile.LNKTYPE, f"target/{first}")


@dataclass(frozen=True)
class MadeUnit:
    """One unit and its files."""

    id: UnitId
    name: str
    fingerprint: str
    files: Files = field(hash=False)
    version: str = "1.0.0"

    @property
    def live(self) -> LiveUnit:
        return LiveUnit(unit=self.id, package=PackageId(REGISTRY, self.name, self.version))

    def place(self, area: str) -> str:
        return f"{self.id.home}/{area}/{self.name}-{self.id.unit_hash}"

    def without(self, *ends: str) -> "MadeUnit":
        """Less the files whose paths end so."""
        left = {path: content for path, content in self.files.items() if not path.endswith(ends)}
        assert len(left) == len(self.files) - len(ends)
        return replace(self, files=left)

    def having(self, end: str, content: Content) -> "MadeUnit":
        """With other content where the path ends so."""
        (path,) = [path for path in self.files if path.endswith(end)]
        return self.adding(path, content)

    def adding(self, path: str, content: Content) -> "MadeUnit":
        return replace(self, files={**self.files, path: content})


def _hash(*words: str) -> str:
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


def _described(unit: MadeUnit, mark: str, dependencies: Iterable[MadeUnit], local: list[object]) -> Files:
    run = mark.startswith("run-")
    said = {
        "rustc": 7458672600737419911,
        "features": "" if run else '["default", "std"]',
        "declared_features": "",
        "target": 0,
        "profile": 0 if run else 2040997289075261528,
        "path": 0,
        "deps": [
            [1, each.name, False, int.from_bytes(bytes.fromhex(each.fingerprint), "little")] for each in dependencies
        ],
        "local": local,
        "rustflags": [],
        "config": 0,
        "compile_kind": 0,
    }
    marks = unit.place(".fingerprint")
    return {f"{marks}/{mark}": unit.fingerprint.encode(), f"{marks}/{mark}.json": json.dumps(said).encode()}


def library(
    name: str, *dependencies: MadeUnit, home: str = "release", content: bytes = b"", version: str = "1.0.0"
) -> MadeUnit:
    crate = name.replace("-", "_")
    hashed, fingerprint = (_hash(what, home, name, version) for what in ("lib", "lib print"))
    unit = MadeUnit(UnitId(home, hashed), name, fingerprint, {}, version)
    marks = unit.place(".fingerprint")
    unit.files.update(
        _described(unit, f"lib-{crate}", dependencies, [{"CheckDepInfo": {"dep_info": "", "checksum": False}}])
    )
    unit.files.update(
        {
            f"{marks}/dep-lib-{crate}": bytes.fromhex("01000000ff010000000000000000"),
            f"{marks}/invoked.timestamp": b"This file has an mtime of when this was started.",
            f"{home}/deps/{crate}-{hashed}.d": b"/target/...: /cargo/...\n",
            f"{home}/deps/lib{crate}-{hashed}.rlib": b"rlib of " + name.encode() + content,
            f"{home}/deps/lib{crate}-{hashed}.rmeta": b"rmeta of " + name.encode(),
        }
    )
    return unit


def build_script(name: str, *dependencies: MadeUnit, home: str = "release") -> MadeUnit:
    unit = MadeUnit(UnitId(home, _hash("script", home, name)), name, _hash("script print", home, name), {})
    marks, place, hashed = unit.place(".fingerprint"), unit.place("build"), unit.id.unit_hash
    mark = "build-script-build-script-build"
    unit.files.update(_described(unit, mark, dependencies, [{"CheckDepInfo": {"dep_info": "", "checksum": False}}]))
    unit.files.update(
        {
            f"{marks}/dep-{mark}": b"\1",
            f"{marks}/invoked.timestamp": b"",
            f"{place}/build-script-build": b"\x7fELF program",
            f"{place}/build_script_build-{hashed}": second_name(f"{place}/build-script-build"),
            f"{place}/build_script_build-{hashed}.d": b"",
        }
    )
    return unit


def script_run(script: MadeUnit, out: Mapping[str, Content], watched: Iterable[str] = ("build.rs",)) -> MadeUnit:
    home = script.id.home
    unit = MadeUnit(
        UnitId(home, _hash("run", home, script.name)), script.name, _hash("run print", home, script.name), {}
    )
    place = unit.place("build")
    local: list[object] = [
        {"RerunIfChanged": {"output": f"{place}/output", "paths": list(watched)}},
        {"RerunIfEnvChanged": {"var": "CC", "val": None}},
    ]
    unit.files.update(_described(unit, "run-build-script-build-script-build", [script], local))
    unit.files.update(
        {
            f"{place}/invoked.timestamp": b"",
            f"{place}/output": b"cargo:rerun-if-changed=build.rs\n",
            f"{place}/root-output": f"/target/{place}/out".encode(),
            f"{place}/stderr": b"",
            f"{place}/out": DIRECTORY,
            **{f"{place}/out/{path}": content for path, content in out.items()},
        }
    )
    return unit


def archive(*units: MadeUnit, more: Files | None = None) -> bytes:
    """The target directory that holds these, as an engine gives it."""
    entries = {path: content for unit in units for path, content in unit.files.items()} | (more or {})
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as tar:
        top = tarfile.TarInfo("target")
        top.type = tarfile.DIRTYPE
        tar.addfile(top)
        for path in sorted(entries):
            entry, content = tarfile.TarInfo(f"target/{path}"), entries[path]
            entry.mode, entry.mtime, entry.uid = 0o755 if "script" in path else 0o600, 1_600_000_000, 10001
            if isinstance(content, Special):
                entry.type, entry.linkname = content.type, content.target
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return held.getvalue()


async def streamed(content: bytes) -> AsyncGenerator[bytes, None]:
    """Bytes as an engine's stream."""
    for at in range(0, len(content), 10_000):
        yield content[at : at + 10_000]
