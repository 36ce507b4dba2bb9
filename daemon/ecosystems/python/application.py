"""The application as its image has it: what of the tree is shipped, and its own installation, made without a run."""

import posixpath
from collections.abc import Iterator

from cache.manifests.python.application import find_application
from cache.manifests.python.entrypoint import find_entrypoint
from cache.manifests.python.in_place import ConsoleScript, InPlace, in_place
from cache.manifests.python.project import PythonProject
from cache.manifests.settings import ProjectSettings
from cache.manifests.source import SourceFiles
from daemon.builds import ImageSettings
from daemon.ecosystems.application import Application, WrittenFile
from daemon.ecosystems.python.environment import site_packages
from daemon.image.interpreter import ENVIRONMENT
from daemon.image.manifest import PATH
from daemon.image.rootfs import APP
from daemon.toolchains.toolchain import PythonFacts


def application(
    files: SourceFiles, project: PythonProject, settings: ProjectSettings, asked: ImageSettings, python: PythonFacts
) -> tuple[Application, tuple[str, ...]]:
    """The application and what is to be told of it; `asked` are the image's settings so far."""
    found = find_application(
        files.paths(),
        project.directory,
        named=settings.python.application,
        manifests=[file.path for file in project.inputs],
    )
    own = in_place(files, project.pyproject)
    start = find_entrypoint(files, project.directory, project.pyproject, asked.entrypoint)
    home = asked.working_directory or APP
    roots = [posixpath.normpath(posixpath.join(home, root)) for root in found.import_roots]
    packages = site_packages(python)
    return (
        Application(
            name=project.name,
            directory=project.directory,
            files=found.kept,
            written=(
                WrittenFile(
                    path=f"{packages}/{project.name}.pth",
                    content="".join(f"{root}\n" for root in roots).encode(),
                    reason="where its modules are",
                ),
                *(_installed(own, packages) if own is not None else ()),
            ),
            entrypoint=start.command,
            environment={"PATH": f"{ENVIRONMENT}/bin:{PATH}", "PYTHONUNBUFFERED": "1"},
        ),
        (*([start.said] if start.said else []), *(own.notes if own is not None else ())),
    )


def _installed(own: InPlace, packages: str) -> Iterator[WrittenFile]:
    reason = "its own installation"
    written = {"METADATA": own.metadata, "entry_points.txt": own.entry_points, "INSTALLER": "bloomery\n"}
    for name, content in written.items():
        if content:
            yield WrittenFile(path=f"{packages}/{own.directory}/{name}", content=content.encode(), reason=reason)
    for script in own.scripts:
        yield WrittenFile(
            path=f"{ENVIRONMENT}/bin/{script.name}", content=_program(script), reason=reason, executable=True
        )


def _program(script: ConsoleScript) -> bytes:
    first, *_ = script.attribute.split(".")
    return (
        f"#!{ENVIRONMENT}/bin/python\nimport sys\n\nfrom {script.module} import {first}\n\n"
        f"sys.exit({script.attribute}())\n"
    ).encode()
