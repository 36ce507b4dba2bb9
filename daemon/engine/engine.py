"""What the daemon asks of a container engine, as Protocols, so that a fake can stand in and another engine can follow.

The adapter for Docker's API is `daemon.engine.docker`; the fake is `tests/fakes/engine.py`; one contract suite
(`tests/contract`) runs on both. All methods raise `EngineUnavailable` when the engine does not answer, `NoSpace` when
its disk is full, `ImageGone`/`SandboxGone` when what they name is not there, and `EngineRefused` for any other refusal.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

Archive = AsyncGenerator[bytes, None]
"""A tar stream on its way to an engine or out of it: whoever is given one reads it in one task, and closes it."""


class Network(StrEnum):
    """What a sandbox may reach."""

    NONE = "none"
    BRIDGE = "bridge"
    """The engine's default bridge: for the fetch step alone."""
    HOST = "host"
    """For a fetch step on an engine whose bridge has no way out."""


class Privilege(StrEnum):
    """How much of the engine's default rights a sandbox keeps."""

    CONFINED = "confined"
    """The whole profile: no capability, no new privileges, our own system-call filter."""
    MAKER = "maker"
    """The engine's default capabilities and filter: for making toolchain images alone, where apt must be root."""


class OutputStream(StrEnum):
    """Which of a process's streams a piece of output came from."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one sandbox; bytes, CPUs, seconds."""

    memory: int = 4 << 30
    cpus: float = 2.0
    pids: int = 512
    open_files: int = 4096
    file_size: int = 8 << 30
    tmp_size: int = 512 << 20
    deadline: float = 3600.0
    silence: float = 1200.0
    """A step that prints nothing for so long is ended."""
    output: int = 64 << 20
    """A step that prints more than this is ended."""
    weight: float = 1.0
    """Of the processors' time where others want it, too: what it gets for each 1 that another gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """A container to be created. It runs as 10001:10001 under the whole profile of `daemon.engine.profile`."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Baked into an image that is committed from it: nothing secret, nothing that varies."""
    labels: Mapping[str, str] = field(default_factory=dict)
    network: Network = Network.NONE
    limits: Limits = field(default_factory=Limits)
    runtime: str | None = None
    working_directory: str = "/work"
    in_memory: tuple[str, ...] = ()
    """Directories, besides /tmp, that are in memory: the builder's, fast, and gone when the step ends."""
    user: str = "10001:10001"
    privilege: Privilege = Privilege.CONFINED


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a step ended."""

    code: int
    out_of_memory: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A container as the engine lists it."""

    id: str
    name: str
    state: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxState:
    """A container looked at by itself."""

    id: str
    state: str
    """`exited` after a run, `created` before the first."""
    image_id: str
    generation: str
    """When its last run ended, as the engine writes it: another text means that somebody has run it since.

    While it runs, that is still the end of the run before; before the first it is year 1. Files that are put in or
    read do not change it.
    """
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineImage:
    """An image as the engine sees it."""

    id: str
    tags: tuple[str, ...]
    size: int
    labels: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """The engine itself; for the start-up report and `readyz`."""

    name: str
    version: str
    api: str
    driver: str
    root: str
    runtimes: tuple[str, ...]
    security: tuple[str, ...]
    host_cpus: int
    host_memory: int
    cgroup: str = ""
    """The version of the control groups: `1`, `2`, or empty where it is not told."""
    kernel: str = ""
    """The version of the host's kernel, or empty where it is not told."""


OutputSink = Callable[[OutputStream, bytes], None]
"""Gets pieces as they come, not lines, and must return quickly."""


class Sandboxes(Protocol):
    """Containers that run one step after another and are removed.

    A sandbox is stopped whenever it is put into, read or committed; only `run` runs it, and returns when it has
    stopped.
    """

    async def create(self, spec: SandboxSpec) -> str:
        """Create, not start; returns the id. `ImageGone` if the image is not there."""
        ...

    async def put(self, sandbox: str, archive: Archive) -> None:
        """Unpack an uncompressed tar stream at `/` of a container that is not running."""
        ...

    async def run(self, sandbox: str, sink: OutputSink, limits: Limits) -> Exit:
        """Start, pass all output on, wait for the end.

        Raises `DeadlinePassed` (deadline or silence) and `OutputTooLarge` after killing the container; when cancelled,
        the container is killed before the cancellation goes on. `SandboxGone` if it was removed meanwhile.
        """
        ...

    def get(self, sandbox: str, path: str) -> Archive:
        """The tar stream of a path of a stopped container; `FileNotFoundError` where there is no such path."""
        ...

    async def isolate(self, sandbox: str) -> None:
        """Take a stopped container's network away for all its later runs; `EngineRefused` where that is not certain."""
        ...

    async def remove(self, sandbox: str) -> None:
        """Kill if need be and remove; no error if it is gone."""
        ...


class Images(Protocol):
    """Images by id or reference."""

    async def inspect(self, reference: str) -> EngineImage | None:
        """The image, or None where there is none."""
        ...

    async def load(self, archive: Archive) -> None:
        """`docker load` of an uncompressed archive that holds `manifest.json`."""
        ...

    async def import_root(self, archive: Archive, reference: str, changes: tuple[str, ...]) -> str:
        """`docker import` of an uncompressed root filesystem; `changes` are Dockerfile lines; returns the image id."""
        ...

    async def commit(self, sandbox: str, reference: str, labels: Mapping[str, str]) -> str:
        """Make an image of a stopped container; returns its id."""
        ...

    async def tag(self, image: str, reference: str) -> None:
        """Give an image one more name; a name that another image had moves."""
        ...

    async def remove(self, reference: str) -> None:
        """Untag, and delete what no name holds; no error if it is gone."""
        ...


class Survey(Protocol):
    """Looking over the engine: at start-up, for readiness, for what was left behind."""

    async def info(self) -> EngineInfo:
        """The engine's name, versions and abilities."""
        ...

    async def sandboxes(self, labels: Mapping[str, str]) -> tuple[Sandbox, ...]:
        """All containers, running or not, that carry all of these labels."""
        ...

    async def sandbox(self, sandbox: str) -> SandboxState | None:
        """The container with this id, or None where it is gone."""
        ...

    async def images(self, labels: Mapping[str, str]) -> tuple[EngineImage, ...]:
        """All images that carry all of these labels."""
        ...

    async def pull(self, reference: str) -> str:
        """Pull an image; returns its id. `ImageGone` where no registry has it."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...
