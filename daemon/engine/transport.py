"""What the parts of the adapter ask of the connection to an engine, and how long they wait for it.

`daemon.engine.docker` implements it; the tests have one that fails on purpose.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from cache.errors import Failure
from daemon.engine.engine import Archive, EngineInfo
from daemon.errors import EngineRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTimeouts:
    """How long each kind of call may take before the engine counts as not answering; seconds.

    An engine that starts again accepts connections and says nothing for a while, so no call goes without one.
    """

    control: float = 60.0
    """Inspect, create, list, tag, kill."""
    start: float = 120.0
    remove: float = 300.0
    """Removing a container or an image deletes its files."""
    commit: float = 1800.0
    transfer: float = 300.0
    """Between two pieces of a stream either way, and from the last piece to the answer."""
    drain: float = 10.0
    """From a container's end to the end of its output."""


Params = Mapping[str, str | tuple[str, ...]]
"""A query's parameters; a tuple repeats its name."""


class Received(Protocol):
    """The body of an answer."""

    async def read(self) -> bytes:
        """The next piece, of any length; empty at the end."""
        ...


class Transport(Protocol):
    """Calls to an engine's HTTP API. Every failure is one of `daemon.errors`; a 404 is the class given as `gone`."""

    timeouts: EngineTimeouts

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        gone: type[Failure] = EngineRefused,
        within: float | None = None,
    ) -> Any:
        """A call with a JSON answer (None where there is none); `within` seconds, or `timeouts.control`."""
        ...

    def exchange(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Archive | None = None,
        gone: type[Failure] = EngineRefused,
        silence: float | None = None,
    ) -> AbstractAsyncContextManager[Received]:
        """A call that streams: the body as it comes, then the answer as it comes.

        An exception of `body` comes out as it is. The answer may be silent for `silence` seconds, or
        `timeouts.transfer`.
        """
        ...

    async def info(self) -> EngineInfo:
        """The engine, asked once a connection."""
        ...
