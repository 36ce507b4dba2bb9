"""Uv in a fake engine: what the steps of Python projects leave behind and print, enough for the pipeline to work on.

A script is known by what it runs. Wheels are unpacked for real, with records as uv writes them; an sdist becomes its
`module.py`, once all that it is built with lies there. What a real step cannot have is refused in its own words: a
fetch without a network, a file that no index has, a package to install that was not fetched.
"""

# ruff: noqa: RUF001 - the signs are uv's

import asyncio
import base64
import hashlib
import io
import itertools
import json
import posixpath
import re
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping

from packaging.requirements import Requirement

from daemon.ecosystems.python.environment import FILES, INSTALLED
from daemon.ecosystems.python.steps import LISTED, LOCK, WANTED
from daemon.engine.engine import Network
from daemon.tarball import Member
from tests.fakes.engine import Exit, Step
from tests.fakes.python_packages import Distribution
from tests.fakes.python_projects import INDEX, pylock

_STEP = "/bloomery/step"
_PURPOSES = {"uv pip install": "install", "inside.fetch_files": "fetch", "inside.build_requirements": "lock"}
_UNREACHABLE, _GONE, _OTHER_CONTENT = 75, 76, 77


class FakeUv:
    """The script of every step. `failures` are exit codes and stderr by step; `packages` are what the index has."""

    def __init__(self, *packages: Distribution) -> None:
        self.packages = list(packages)
        self.failures: dict[str, tuple[int, str]] = {}
        self.ran: list[str] = []
        """Each step that was run: `lock`, `fetch`, `install`, or `check` for a check's own command."""
        self.networks: dict[str, str] = {}
        self.downloaded: list[str] = []
        """Each file that was asked of the index."""
        self.installed: list[list[str]] = []
        """`name version` of the packages of each installation."""
        self.beside: list[list[str]] = []
        """The files that lay there in each installation."""
        self.in_memory: list[tuple[str, ...]] = []
        """The directories of each installation's sandbox that are in memory."""
        self.besides: Callable[[Step], None] = lambda _: None
        """What an installation does to the environment besides."""
        self.pause = 0.0
        """Seconds that a step takes."""
        self._moments = itertools.count(1)

    async def __call__(self, step: Step) -> int | Exit:
        purpose = purpose_of(step)
        self.ran.append(purpose)
        self.networks[purpose] = str(step.spec.network)
        await asyncio.sleep(self.pause)
        if purpose in self.failures:
            code, text = self.failures[purpose]
            step.complain(text)
            return code
        work = {"lock": self._lock, "fetch": self._fetch, "install": self._install, "check": lambda _step: None}
        return work[purpose](step) or 0

    # --- lock

    def _lock(self, step: Step) -> int | None:
        (manifest,) = re.findall(r"(?:cp|-o /target/pylock\.toml.*) (/work/\S+)", step.read(_STEP).decode())
        if manifest.endswith("pylock.toml"):
            text = tomllib.loads(step.read(manifest).decode())
            locked = [self._named(package["name"], package["version"]) for package in text["packages"]]
        else:
            wanted = [Requirement(line) for line in _requirements(manifest, step.read(manifest).decode())]
            try:
                locked = list(self._resolved(wanted))
            except LookupError as missing:
                return _no_solution(step, str(missing))
        sdists = [one for one in locked if _is_sdist(one.file)]
        requires = sorted({text for one in sdists for text in _build_requires(one.content)})
        building = list(self._resolved([Requirement(text) for text in requires]))
        step.write(LOCK, pylock(*locked, building=building).encode())
        return None

    def _resolved(self, wanted: Iterable[Requirement]) -> Iterator[Distribution]:
        """The newest of each, and all that it requires."""
        waiting, done = list(wanted), set[str]()
        while waiting:
            requirement = waiting.pop(0)
            if requirement.name in done:
                continue
            done.add(requirement.name)
            found = [one for one in self.packages if one.name == requirement.name]
            fitting = [one for one in found if requirement.specifier.contains(one.version)]
            if not fitting:
                raise LookupError(requirement.name)
            best = max(fitting, key=lambda one: (one.version, one.file.endswith(".whl")))
            waiting += [Requirement(text) for text in re.findall(r"Requires-Dist: (.+)", best.metadata)]
            yield best

    def _named(self, name: str, version: str) -> Distribution:
        return next(one for one in self.packages if (one.name, one.version) == (name, version))

    # --- fetch

    def _fetch(self, step: Step) -> int | None:
        by_url = {f"{INDEX}/files/{one.file}": one for one in self.packages}
        for wanted in json.loads(step.read(LISTED)):
            if step.spec.network is Network.NONE:
                step.complain(f"error: {wanted['url']}: [Errno -3] Temporary failure in name resolution\n")
                return _UNREACHABLE
            self.downloaded.append(wanted["file"])
            found = by_url.get(wanted["url"])
            if found is None:
                step.complain(f"error: {wanted['url']}: 404 Not Found\n")
                return _GONE
            if found.sha256 != wanted["sha256"]:
                step.complain(f"error: {wanted['file']} has sha256 {found.sha256}, and the lock says another\n")
                return _OTHER_CONTENT
            step.write(f"{FILES}/{wanted['file']}", found.content)
        return None

    # --- install

    def _install(self, step: Step) -> int | None:
        there = {posixpath.basename(path): step.read(path) for path in step.files if path.startswith(f"{FILES}/")}
        wanted = [tuple(line.split("==")) for line in step.read(WANTED).decode().splitlines()]
        self.installed.append([f"{name} {version}" for name, version in wanted])
        self.beside.append(sorted(there))
        self.in_memory.append(step.spec.in_memory)
        python = posixpath.basename(step.environment["UV_PYTHON"])
        step.write("/env/pyvenv.cfg", b"home = /usr/bin\nuv = 0.13.9\n")
        step.write("/env/.lock", b"")
        step.files["/env/bin/python"] = Member(path="", mode=0o777, mtime=0, target=step.environment["UV_PYTHON"])
        for name, version in wanted:
            files = sorted(file for file in there if file.startswith(f"{name}-{version}"))
            if not files:
                return _no_solution(step, name)
            wheel = next((file for file in files if file.endswith(".whl")), None)
            if wheel is not None:
                self._unpack(step, _wheel(there[wheel]), python)
                continue
            for requirement in map(Requirement, _build_requires(there[files[0]])):
                if not any(file.startswith(f"{requirement.name}-") for file in there):
                    step.complain(f"  × Failed to build `{name}=={version}`\n")
                    return _no_solution(step, requirement.name)
            self._unpack(step, _built(name, version, there[files[0]]), python)
        self.besides(step)
        step.write(INSTALLED, packed(step))
        if "/env" in step.spec.in_memory:
            step.delete("/env")
        return None

    def _unpack(self, step: Step, contents: Mapping[str, bytes], python: str) -> None:
        """As uv does: into the environment, with scripts, what it notes for itself, and a record of all that."""
        site = f"/env/lib/{python}/site-packages"
        (info,) = {path.partition("/")[0] for path in contents if ".dist-info/" in path}
        lines = [(path, content) for path, content in contents.items() if path != f"{info}/RECORD"]
        lines.append((f"{info}/INSTALLER", b"uv"))
        lines.append((f"{info}/uv_cache.json", f'{{"timestamp": {next(self._moments)}}}'.encode()))
        points = contents.get(f"{info}/entry_points.txt", b"").decode()
        for script, module in re.findall(r"(\S+) = (\w+):", points):
            program = f"#!/env/bin/python\nimport {module}\n".encode()
            lines.append((f"../../../bin/{script}", program))
        for path, content in lines:
            executable = path.startswith("../../../bin/")
            step.write(posixpath.normpath(f"{site}/{path}"), content, 0o755 if executable else 0o644)
            if path.endswith(".py"):
                folder, _, name = path.rpartition("/")
                cached = (
                    f"{site}/{folder}/__pycache__/{name.removesuffix('.py')}.cpython-{python[6:].replace('.', '')}.pyc"
                )
                step.write(posixpath.normpath(cached), b"bytecode of " + content)
        record = "".join(f"{path},sha256={_hash(content)},{len(content)}\n" for path, content in lines)
        step.write(f"{site}/{info}/RECORD", f"{record}{info}/RECORD,,\n".encode())


def purpose_of(step: Step) -> str:
    """What a step is for, by what its script runs."""
    script = step.read(_STEP).decode() if _STEP in step.files else ""
    return next((purpose for words, purpose in _PURPOSES.items() if words in script), "check")


def packed(step: Step) -> bytes:
    """A tar of the environment, as the step's own `tar` makes it."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for path, member in sorted(step.files.items()):
            if not path.startswith("/env/") or (member.content is None and not member.target):
                continue
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.mode = member.mode
            if member.target:
                entry.type, entry.linkname = tarfile.SYMTYPE, member.target
                tar.addfile(entry)
            else:
                content = step.read(path)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def _requirements(manifest: str, text: str) -> list[str]:
    if manifest.endswith(".toml"):
        return tomllib.loads(text)["project"].get("dependencies", [])
    return [line.partition(" --hash")[0] for line in text.splitlines() if line.strip()]


def _no_solution(step: Step, name: str) -> int:
    step.complain(
        "  × No solution found when resolving dependencies:\n"
        f"  ╰─▶ Because {name} was not found in the package registry and you require {name}, we can conclude that\n"
        "      your requirements are unsatisfiable.\n"
    )
    return 1


def _is_sdist(file: str) -> bool:
    return not file.endswith(".whl")


def _members(content: bytes) -> dict[str, bytes]:
    """An sdist's files, without the directory at its top."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {entry.name.partition("/")[2]: archive.extractfile(entry) for entry in archive if entry.isreg()}
        return {path: stream.read() for path, stream in found.items() if stream is not None}


def _build_requires(content: bytes) -> list[str]:
    text = _members(content).get("pyproject.toml", b"").decode()
    return tomllib.loads(text).get("build-system", {}).get("requires", ["setuptools"])


def _wheel(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _built(name: str, version: str, content: bytes) -> dict[str, bytes]:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    return {f"{name}.py": _members(content)["module.py"], f"{name}-{version}.dist-info/METADATA": metadata}


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
