"""BuildKit with one of the Dockerfiles: what is timed is the whole `docker build` process, with the image's tag."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path

from bench.cargo_time import said_seconds
from bench.contestants.contestant import Built, Order, Rules
from bench.contestants.dockerfiles import Base
from bench.engine import CommandFailed
from bench.project import Project
from bench.shipped import remove_image, take_binary
from bench.tool_image import tool_image

CHEF = ("cargo-chef", "0.1.78")
_BUILDKIT = {"DOCKER_BUILDKIT": "1"}

Dockerfile = Callable[[Project, Base, str], str]
"""From the project, the base and the line of checkouts."""


class Layered:
    """One Dockerfile's contestant."""

    def __init__(self, rules: Rules, name: str, dockerfile: Dockerfile, tool: tuple[str, ...] = ()) -> None:
        self._rules = rules
        self._name = name
        self._dockerfile = dockerfile
        self._tool = tool
        self._base = Base(image=rules.asked.toolchain, nonce="")

    @property
    def name(self) -> str:
        """As it was given."""
        return self._name

    def prepare(self) -> None:
        """Make sure that there is a BuildKit, and make the image with the tool in it."""
        engine, program = self._rules.asked.engine, self._rules.buildkit
        if "--secret" not in engine.docker("build", "--help", program=program, more=_BUILDKIT):
            raise CommandFailed(f"{program} builds without BuildKit; name another with --buildkit")
        if self._tool:
            crate, version, *flags = self._tool
            self._base = Base(image=tool_image(self._rules, crate, version, *flags), nonce="")

    def reset(self) -> None:
        """Nothing of an earlier walk fits what this one builds."""
        self._base = Base(image=self._base.image, nonce=f"walk-{uuid.uuid4().hex[:12]}")

    def build(self, order: Order) -> Built:
        """Build and tag; then, not timed, take the binary out of the image."""
        asked = self._rules.asked
        file = self._written(order)
        flags = ["--file", str(file), "--secret", f"id=ca,src={asked.ca_bundle.resolve()}", "--progress", "plain"]
        network = ["--network", "host"] if asked.network == "host" else []
        command = ["build", *flags, *network, "--tag", self._tag, str(order.project.root)]
        began = time.perf_counter()
        said = asked.engine.docker_said(*command, program=self._rules.buildkit, more=_BUILDKIT)
        seconds = time.perf_counter() - began
        size = take_binary(asked.engine, self._tag, order.project.binary, order.binary)
        return Built(seconds=seconds, cargo_seconds=said_seconds(said), image_bytes=size)

    def settle(self) -> float:
        """Nothing goes on behind the answer."""
        return 0.0

    def close(self) -> None:
        """Remove the image; the engine's build cache is not ours alone, so it is pruned only where that was asked."""
        engine = self._rules.asked.engine
        remove_image(engine, self._tag)
        if self._rules.prunes:
            engine.docker("builder", "prune", "--all", "--force")

    @property
    def _tag(self) -> str:
        return f"bloomery-bench/{self._name}:latest"

    def _written(self, order: Order) -> Path:
        """The Dockerfile, outside of the checkout, with what is left out of the context beside it."""
        file = self._rules.work / f"Dockerfile.{self._name}.{order.line}"
        file.write_text(self._dockerfile(order.project, self._base, order.line), encoding="utf-8")
        file.with_name(f"{file.name}.dockerignore").write_text("target\n.git\n", encoding="utf-8")
        return file
