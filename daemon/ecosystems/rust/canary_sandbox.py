"""Where the canary runs: a sandbox of the toolchain image without network, whose script has parts."""

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

from cache.estimates import Forecast
from cache.manifests.rust.config import CargoConfig
from daemon import tarball
from daemon.builds import Diagnostic, Link, StageName
from daemon.ecosystems.rust.environment import WORK, environment
from daemon.ecosystems.rust.messages import CargoReader
from daemon.engine.engine import Archive, Limits, OutputStream, Sandboxes, SandboxSpec
from daemon.engine.settled import settled, to_the_end
from daemon.toolchains.toolchain import ToolchainFacts

_LIMITS = Limits(deadline=300.0, silence=120.0, output=4 << 20)
_NEXT = "bloomery-canary"
_COMPLAINT = 1500


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the script printed."""

    text: str

    @property
    def reader(self) -> CargoReader:
        """It as cargo's messages."""
        reader = CargoReader(_Silent())
        reader.feed(OutputStream.STDOUT, self.text.encode())
        reader.close()
        return reader

    @property
    def compiled(self) -> frozenset[str]:
        """The names of packages of which something was compiled."""
        return frozenset(one.package.name for one in self.reader.artifacts if not one.fresh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How a script ended, what each of its parts printed, and its last words."""

    code: int
    parts: tuple[Part, ...]
    complaint: str


@dataclass(frozen=True, slots=True)
class CanarySandbox:
    """One that is there and does not run."""

    engine: Sandboxes
    id: str

    async def run(self) -> Heard:
        """Run its script."""
        out, complaint = bytearray(), bytearray()
        ended = await self.engine.run(
            self.id,
            lambda stream, piece: (out if stream is OutputStream.STDOUT else complaint).extend(piece),
            _LIMITS,
        )
        return Heard(
            code=ended.code,
            parts=tuple(Part(text) for text in out.decode(errors="replace").split(f"{_NEXT}\n")),
            complaint=complaint[-_COMPLAINT:].decode(errors="replace").strip(),
        )

    def get(self, path: str) -> Archive:
        """The tar stream of a path."""
        return self.engine.get(self.id, path)


class CanarySandboxes:
    """Makes them, and takes them away again."""

    def __init__(self, engine: Sandboxes, labels: Mapping[str, str]) -> None:
        self._engine = engine
        self._labels = labels

    @asynccontextmanager
    async def sandbox(
        self, facts: ToolchainFacts, parts: Sequence[str], members: Iterable[tarball.Member]
    ) -> AsyncIterator[CanarySandbox]:
        """One for a script of these parts, with these members in it; the environment is that of a cook."""
        script = f"\necho {_NEXT}\n".join(parts)
        variables = environment(facts, CargoConfig(), Link.DYNAMIC)
        spec = SandboxSpec(
            name=f"bloomery-tc-canary-{secrets.token_hex(6)}",
            image=facts.image_id,
            command=("sh", "-c", f"set -u\numask 022\ncd {WORK} || exit 70\n{script}"),
            # What is fetched is a repository in the sandbox itself.
            environment={**variables, "CARGO_NET_OFFLINE": "false"},
            labels={**self._labels, "bloomery.step": "canary"},
            limits=_LIMITS,
        )
        sandbox = await settled(self._engine.create(spec), undo=self._engine.remove)
        try:
            await self._engine.put(sandbox, tarball.stream(members))
            yield CanarySandbox(self._engine, sandbox)
        finally:
            await to_the_end(self._engine.remove(sandbox))


class _Silent:
    """A `Progress` that tells nobody."""

    def stage(self, stage: StageName) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 - as the protocol has it
        return nullcontext()

    def log(self, text: str) -> None:
        pass

    def compiled(self, package: str, *, fresh: bool, done: int, total: int) -> None:
        pass

    def forecast(self, forecast: Forecast) -> None:
        pass

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        pass

    def note(self, text: str) -> None:
        pass
