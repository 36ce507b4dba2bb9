"""The daemon's settings, as values. `config.example.toml` says the same with each default, unit and meaning.

`Config()` is what a daemon without a file works with; `daemon.config_file` reads one. Sizes are in bytes and durations
in seconds here; a file may write `"64 MiB"` and `"5 min"`. An empty text means that a setting is not set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from cache.archive_limits import ArchiveLimits
from daemon.engine.engine import Limits, Network
from daemon.engine.transport import EngineTimeouts

Bytes = NewType("Bytes", int)
Seconds = NewType("Seconds", float)
Count = NewType("Count", int)
"""At least one."""
Positive = NewType("Positive", float)
Share = NewType("Share", float)
"""From 0 to 1."""

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30


class LogFormat(StrEnum):
    """How the log's lines look."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class FetchNetwork(StrEnum):
    """What the fetch step's sandbox is connected to."""

    BRIDGE = Network.BRIDGE.value
    HOST = Network.HOST.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the daemon listens and keeps its state."""

    listen: str = "127.0.0.1:7878"
    state_dir: str = "/var/lib/bloomery"
    drain: Seconds = Seconds(30)
    tokens: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The container engine, and how long each kind of call may take."""

    url: str = ""
    runtime: str = ""
    control: Seconds = Seconds(60)
    start: Seconds = Seconds(120)
    remove: Seconds = Seconds(300)
    commit: Seconds = Seconds(1800)
    transfer: Seconds = Seconds(300)
    drain: Seconds = Seconds(10)

    def timeouts(self) -> EngineTimeouts:
        """For the engine's adapter."""
        return EngineTimeouts(
            control=self.control,
            start=self.start,
            remove=self.remove,
            commit=self.commit,
            transfer=self.transfer,
            drain=self.drain,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """How the fetch step reaches the world; see `daemon.network` for what an unset one becomes."""

    mode: FetchNetwork = FetchNetwork.BRIDGE
    ca_bundle: str = ""
    https_proxy: str = ""
    http_proxy: str = ""
    no_proxy: str = ""
    mirrors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolchainSettings:
    """Which toolchains are offered."""

    default: str = ""
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """The queue."""

    concurrent: Count = Count(2)
    queue: Count = Count(100)
    attempts: Count = Count(3)
    backoff: Seconds = Seconds(5)
    """Three attempts outlast a restart of the engine, which takes about 12 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """The bounds of every sandbox, and of the binary that comes out of one."""

    memory: Bytes = Bytes(4 * _GIB)
    cpus: Positive = Positive(2.0)
    pids: Count = Count(512)
    open_files: Count = Count(4096)
    file_size: Bytes = Bytes(8 * _GIB)
    tmp: Bytes = Bytes(512 * _MIB)
    deadline: Seconds = Seconds(3600)
    silence: Seconds = Seconds(1200)
    output: Bytes = Bytes(64 * _MIB)
    binary: Bytes = Bytes(_GIB)

    def sandbox(self) -> Limits:
        """For a sandbox."""
        return Limits(
            memory=self.memory,
            cpus=self.cpus,
            pids=self.pids,
            open_files=self.open_files,
            file_size=self.file_size,
            tmp_size=self.tmp,
            deadline=self.deadline,
            silence=self.silence,
            output=self.output,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """All that is kept from build to build."""

    size: Bytes = Bytes(50 * _GIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceSettings:
    """How many stopped containers stay, in which the next build of a lineage goes on."""

    count: Count = Count(16)
    size: Bytes = Bytes(20 * _GIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSettings:
    """The store of compiled dependencies, one by one."""

    size: Bytes = Bytes(10 * _GIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySettings:
    """The proof of reuse: which builds are built again clean behind their answers."""

    rate: Share = Share(0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings:
    """Registries that images are pushed to."""

    push: bool = False
    plain_http: tuple[str, ...] = ()
    credentials: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings:
    """The bounds of one upload, and how many are read at once."""

    body: Bytes = Bytes(64 * _MIB)
    expanded: Bytes = Bytes(512 * _MIB)
    ratio: Count = Count(20)
    ratio_from: Bytes = Bytes(32 * _MIB)
    entries: Count = Count(20_000)
    names: Bytes = Bytes(4 * _MIB)
    path: Bytes = Bytes(1024)
    component: Bytes = Bytes(255)
    depth: Count = Count(64)
    header: Bytes = Bytes(64 * _KIB)
    idle: Seconds = Seconds(30)
    total: Seconds = Seconds(300)
    cpu: Seconds = Seconds(60)
    memory: Bytes = Bytes(256 * _MIB)
    readers: Count = Count(4)

    def archive(self) -> ArchiveLimits:
        """For the reader of one archive."""
        return ArchiveLimits(
            body=self.body,
            expanded=self.expanded,
            ratio=self.ratio,
            ratio_from=self.ratio_from,
            entries=self.entries,
            names=self.names,
            path=self.path,
            component=self.component,
            depth=self.depth,
            header=self.header,
            idle=self.idle,
            total=self.total,
            cpu=round(self.cpu),
            memory=self.memory,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The daemon's own log, on standard error."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """What metrics tell apart."""

    project_label: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings, one member for each table of the file."""

    server: ServerSettings = field(default_factory=ServerSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    toolchains: ToolchainSettings = field(default_factory=ToolchainSettings)
    builds: BuildSettings = field(default_factory=BuildSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    workspaces: WorkspaceSettings = field(default_factory=WorkspaceSettings)
    units: UnitSettings = field(default_factory=UnitSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    upload: UploadSettings = field(default_factory=UploadSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
