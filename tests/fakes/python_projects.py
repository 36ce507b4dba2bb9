"""Python projects in tests: locks, sources as a tree in a store of blobs, planned as the daemon plans them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import tomli_w

from cache.blobs import BlobStore
from daemon.ecosystems.python.ecosystem import PythonEcosystem
from daemon.ecosystems.python.project import PlannedPython
from daemon.toolchains.toolchain import PythonFacts, Toolchain
from tests.fakes.python_packages import Distribution, sdist, wheel
from tests.fakes.rust_projects import Files, source_of, stable

PYTHON = PythonFacts(version="3.11.2", executable="/usr/bin/python3.11", library="/usr/lib/python3.11", uv="0.13.9")
INDEX = "https://index.example.org"
SITE = "/env/lib/python3.11/site-packages"
"""Where packages lie in an environment of `PYTHON`."""

APPLE = wheel("apple")
BERRY = wheel("berry")
CHERRY = wheel("cherry")
TOOL = wheel("tool")


def _packages(files: Iterable[Distribution]) -> Iterable[dict[str, object]]:
    by_name: dict[str, dict[str, object]] = {}
    for one in files:
        package = by_name.setdefault(one.name, {"name": one.name, "version": one.version, "index": INDEX})
        file = {"url": url(one), "hashes": {"sha256": one.sha256}, "size": len(one.content)}
        if one.file.endswith(".whl"):
            package.setdefault("wheels", []).append(file)  # type: ignore[attr-defined]
        else:
            package["sdist"] = file
    return by_name.values()


def url(one: Distribution) -> str:
    """Where the index has a file."""
    return f"{INDEX}/files/{one.file}"


def pylock(*packages: Distribution, building: Sequence[Distribution] = (), **more: object) -> str:
    """A lock of these files; `building` are what sdists among them are built with."""
    document: dict[str, object] = {"lock-version": "1.0", "created-by": "uv", **more}
    document["packages"] = list(_packages(packages))
    if building:
        document["tool"] = {"bloomery": {"build": {"packages": list(_packages(building))}}}
    return tomli_w.dumps(document)


PROGRAM: Files = {"app.py": "import apple\n", "Procfile": "web: python app.py\n"}
"""A program without dependencies."""


def project(*packages: Distribution, building: Sequence[Distribution] = (), files: Files | None = None) -> Files:
    """A program that is locked to these packages, and more files."""
    return {"pylock.toml": pylock(*packages, building=building), **PROGRAM, **(files or {})}


SIMPLE = project(APPLE, BERRY)
"""A program and two packages."""


def python_toolchain(image_id: str = "sha256:" + "0" * 64, *, name: str = "stable", **facts: object) -> Toolchain:
    """A toolchain that can serve Python projects."""
    return replace(stable(image_id, **{"python": PYTHON, **facts}), name=name)


def planned_python(
    blobs: BlobStore,
    files: Files = SIMPLE,
    *,
    made_lock: str | None = None,
    offered: Sequence[Toolchain] | None = None,
    mirrors: Mapping[str, str] | None = None,
    **request: object,
) -> PlannedPython:
    """The project of a request, planned."""
    source = source_of(blobs, files, made_lock=made_lock, **request)
    found = PythonEcosystem(mirrors or {}).plan(source, offered or [python_toolchain()], "stable")
    assert isinstance(found, PlannedPython)
    return found


def built_with(*requires: str, name: str = "quince") -> Distribution:
    """An sdist that is built with these."""
    wanted = ", ".join(f'"{one}"' for one in requires)
    pyproject = f'[build-system]\nrequires = [{wanted}]\nbuild-backend = "tool"\n'
    return sdist(name, files={"module.py": f"word = {name!r}\n"}, pyproject=pyproject)
