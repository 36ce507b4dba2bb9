"""Cargo in a persistent directory, as developers have it: bare, with sccache, with mbx.

One container stands for the developer's machine. Checkouts are mounted into it; each has its own target directory, in
the engine's storage as ours are, and all share CARGO_HOME and the cache that the tool keeps. What is timed is one
`docker exec` of cargo. No image is made of the binary.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.cargo_time import said_seconds
from bench.container import Container, started
from bench.contestants.contestant import Built, Order, Rules
from bench.engine import CommandFailed
from bench.tool_image import tool_image

SCCACHE = ("sccache", "0.19.0", "--no-default-features")
"""Crate, version and flags; without their default features they have the local cache alone."""
MBX = ("mbx", "1.29.1", "--no-default-features")
_CACHE = "/cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """What stands before rustc."""

    name: str
    cargo: str = "cargo"
    """The program that is called in cargo's stead."""
    tool: tuple[str, ...] = ()
    """Crate, version and flags of the tool; none for bare cargo."""
    environment: Mapping[str, str] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    """A command that a machine has run long before a build, such as the start of a server."""


BARE = Flavour(name="bare")
WITH_SCCACHE = Flavour(
    name="sccache",
    tool=SCCACHE,
    environment={
        "RUSTC_WRAPPER": "sccache",
        "SCCACHE_DIR": _CACHE,
        "SCCACHE_CACHE_SIZE": "20G",
        "SCCACHE_IDLE_TIMEOUT": "0",
    },
    first=("sccache", "--start-server"),
)
WITH_MBX = Flavour(name="mbx", cargo="mbx", tool=MBX, environment={"MBX_CACHE_DIR": _CACHE})


class Persistent:
    """A container with cargo in it."""

    def __init__(self, rules: Rules, flavour: Flavour) -> None:
        self._rules = rules
        self._flavour = flavour
        self._image = rules.asked.toolchain
        self._container: Container | None = None

    @property
    def name(self) -> str:
        """The tool's name."""
        return self._flavour.name

    def prepare(self) -> None:
        """Make the image with the tool in it."""
        if self._flavour.tool:
            crate, version, *flags = self._flavour.tool
            self._image = tool_image(self._rules, crate, version, *flags)

    def reset(self) -> None:
        """A new container: no target directory, no crates, nothing in the tool's cache."""
        self.close()
        asked = self._rules.asked
        self._container = started(
            asked.engine,
            self._image,
            work=self._rules.work,
            ca_bundle=asked.ca_bundle,
            network=asked.network,
            environment=self._flavour.environment,
        )
        if self._flavour.first:
            self._container.run(self._rules.work, *self._flavour.first)

    def build(self, order: Order) -> Built:
        """Build in the checkout's own target directory."""
        if self._container is None:
            raise CommandFailed(f"{self.name} was not reset before its first build")
        folder, package = order.project.root, order.project.package.name
        target = f"/targets/{folder.name}"
        chosen = ("--package", package, "--bin", order.project.binary, "--target-dir", target)
        command = (self._flavour.cargo, "build", "--release", "--locked", *chosen)
        began = time.perf_counter()
        said = self._container.run(folder, *command)
        seconds = time.perf_counter() - began
        self._container.copy_out(f"{target}/release/{order.project.binary}", order.binary)
        return Built(seconds=seconds, cargo_seconds=said_seconds(said))

    def settle(self) -> float:
        """Nothing goes on behind the answer."""
        return 0.0

    def close(self) -> None:
        """Remove the container."""
        if self._container is not None:
            self._container.remove()
            self._container = None
