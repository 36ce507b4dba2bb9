"""What a daemon is put together from: all that was read and opened before."""

from dataclasses import dataclass
from typing import Protocol

from api.state_dir import StateDir
from cache.forking import Weigh, weigh
from cache.store import Store
from daemon.config import Config
from daemon.engine.engine import Images, Sandboxes, Survey
from daemon.network import NetworkSettings
from daemon.pipeline.sandboxes import INSTANCE_LABEL
from daemon.registry.registries import Registries
from daemon.toolchains.offers import FactsStore


class Engine(Protocol):
    """A container engine."""

    @property
    def sandboxes(self) -> Sandboxes:
        """Its containers."""
        ...

    @property
    def images(self) -> Images:
        """Its images."""
        ...

    @property
    def survey(self) -> Survey:
        """The look over it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """All of it is open."""

    config: Config
    network: NetworkSettings
    ca_bundle: bytes
    tokens: dict[str, str]
    """The scope of each token."""
    store: Store
    engine: Engine
    registries: Registries
    kept_facts: FactsStore | None = None
    """Where the user's commands keep what they found in toolchain images."""
    weigh: Weigh = weigh
    """Whether another lineage's workspace is worth its copy."""

    @property
    def state_dir(self) -> StateDir:
        """The directory that the store holds."""
        return StateDir.of(self.config)

    @property
    def labels(self) -> dict[str, str]:
        """What containers are known again by."""
        return {INSTANCE_LABEL: self.store.instance}
