"""The side of a Python project that needs the network: its lock, and the files that the lock names."""

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.keys import Key, KeyKind, KeyPart
from cache.manifests.python.interpreter import Interpreter
from cache.manifests.python.locked import LockedPackage
from cache.manifests.python.project import PythonProject
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.python import files
from daemon.ecosystems.python.environment import BUILDER, FILES, RECIPE, WORK
from daemon.ecosystems.python.steps import LISTED, LOCK, TAGS, fetch_script, lock_script, owned, programs, text
from daemon.ecosystems.step import SOURCE_TIME, Afterwards, FetchStep, Step
from daemon.errors import FetchFailed
from daemon.pipeline.spool import regular_files
from daemon.tarball import Member
from daemon.toolchains.toolchain import PythonFacts

_LARGEST_LOCK = 16 << 20
_NOTHING: Mapping[str, str] = MappingProxyType({})


class PythonFetching:
    """A `Fetching` over uv, and over what a lock says by itself; `locked` is None where there is no whole lock yet."""

    def __init__(
        self,
        *,
        project: PythonProject,
        locked: tuple[LockedPackage, ...] | None,
        python: PythonFacts,
        interpreter: Interpreter,
        blobs: BlobStore,
        scope: str,
        image_id: str,
        index: str = "",
    ) -> None:
        self._project = project
        self._locked = locked
        self._python = python
        self._interpreter = interpreter
        self._blobs = blobs
        self._scope = scope
        self._image_id = image_id
        self._index = index

    def key(self) -> Digest:
        """The files, wherever they lie."""
        return self._named("python files", [KeyPart.of_json("files", sorted(map(files.name, self._locked or ())))])

    def lock_key(self) -> Digest | None:
        """All that a lock is made of, where there is none that is whole."""
        if self._locked is not None:
            return None
        project = self._project
        inputs = {file.path: str(Digest.of(file.content)) for file in project.inputs}
        asked = [project.decider, project.manifest, project.directory, list(project.extras), list(project.groups)]
        return self._named(
            "python lock",
            [
                KeyPart("image", self._image_id),
                KeyPart("recipe", RECIPE),
                KeyPart("index", self._index),
                KeyPart.of_json("asked", asked),
                KeyPart.of_json("inputs", inputs),
            ],
        )

    def lock_step(self) -> FetchStep:
        """Uv resolves; only what is static in an sdist's metadata counts, for none of its code runs here."""
        environment = {"UV_DEFAULT_INDEX": self._index} if self._index else dict(_NOTHING)
        return FetchStep(
            step=Step(script=lock_script(self._project, self._python), members=self._inputs(), environment=environment),
            take=(LOCK,),
        )

    def made_lock(self, archive: Path) -> bytes:
        """The lock that uv made."""
        for _, size, content in regular_files(archive):
            if size <= _LARGEST_LOCK:
                return content.read()
        raise FetchFailed("uv made no lock.")

    def step(self, there: Fetched) -> FetchStep | None:
        """What is not there is fetched, and lies beside what is, for the installation."""
        here = {file.path for file in there.files}
        missing = [package for package in self._locked or () if files.path(package) not in here]
        if not self._locked:
            return None
        listed = [{"url": one.url, "file": one.file, "sha256": one.sha256} for one in missing]
        return FetchStep(
            step=Step(
                script=fetch_script(self._python),
                members=chain(
                    programs(), (owned(FILES), text(LISTED, [json.dumps(listed)])), files.members(there, self._blobs)
                ),
            ),
            take=(FILES,),
            afterwards=Afterwards.COOKS,
            in_memory_after=files.in_memory(self._locked),
        )

    def admit(self, path: str, archive: Path) -> Fetched:
        """Every file is proved by the lock."""
        assert path == FILES
        return files.admitted(self._locked or (), archive, self._blobs)

    @property
    def keeping(self) -> files.KeptFiles:
        """The lock's files one by one."""
        return files.KeptFiles(self._locked or (), self._named("python file", []))

    def _inputs(self) -> Iterator[Member]:
        yield from programs()
        yield text(TAGS, map(str, self._interpreter.tags))
        yield owned(WORK)
        made: set[str] = set()
        for file in self._project.inputs:
            parts = file.path.split("/")[:-1]
            for count in range(1, len(parts) + 1):
                directory = "/".join(parts[:count])
                if directory not in made:
                    made.add(directory)
                    yield owned(f"{WORK}/{directory}")
            yield Member(
                path=f"{WORK}/{file.path}".lstrip("/"),
                mode=0o644,
                mtime=SOURCE_TIME,
                uid=BUILDER,
                gid=BUILDER,
                content=file.content,
            )

    def _named(self, what: str, parts: list[KeyPart]) -> Digest:
        return Key(KeyKind.UNIT, (KeyPart("what", what), KeyPart("scope", self._scope), *parts)).digest
