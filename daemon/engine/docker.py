"""The connection to a container engine that speaks Docker's HTTP API: Docker itself, and Podman's compatible socket.

The one module that knows aiodocker. It gives its URLs, versions and errors; what it lacks (timeouts, streams that stay
flat in memory, more than 100 connections) is here. The API's words are in `sandboxes`, `images` and `survey`.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import aiodocker
import aiohttp

from cache.errors import Failure
from daemon.engine.engine import Archive, EngineInfo
from daemon.engine.images import EngineImages, refusal
from daemon.engine.sandboxes import EngineSandboxes
from daemon.engine.sending import Body, Patience
from daemon.engine.survey import EngineSurvey
from daemon.engine.transport import EngineTimeouts, Params
from daemon.errors import EngineRefused, EngineUnavailable

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_OLDEST, _NEWEST = (1, 41), (1, 47)
"""The API versions that the contract suite knows: Docker 20.10's, and what Docker 27 speaks."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_NO_CONNECTION = 900
_NOT_FOUND = 404
_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)


class DockerEngine:
    """An engine and its three parts; each satisfies the Protocol of its name in `daemon.engine.engine`."""

    def __init__(self, transport: "_DockerTransport") -> None:
        self.sandboxes = EngineSandboxes(transport)
        self.images = EngineImages(transport)
        self.survey = EngineSurvey(transport, transport.close)
        self.url = transport.url

    @classmethod
    async def connect(cls, url: str | None = None, timeouts: EngineTimeouts | None = None) -> Self:
        """Make ready to talk to the engine at `unix://PATH` or, on loopback alone, `tcp://HOST:PORT`.

        None is the default socket. Needs no engine yet, and survives its restarts: each call finds out whether one
        answers; `survey.info()` is the one to ask first. `ValueError` for any other URL.
        """
        return cls(_DockerTransport(url or DEFAULT_SOCKET, timeouts or EngineTimeouts()))

    async def close(self) -> None:
        """Give the connections back."""
        await self.survey.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()


class _DockerTransport:
    """`Transport` over two aiodocker clients: one for control calls, one for what takes long."""

    def __init__(self, url: str, timeouts: EngineTimeouts) -> None:
        self.url = url
        self.timeouts = timeouts
        self._control = _client(url)
        self._streams = _client(url)
        self._info: EngineInfo | None = None

    async def close(self) -> None:
        for client in (self._control, self._streams):
            await client.close()
            await client.session.close()

    async def info(self) -> EngineInfo:
        if self._info is None:
            facts = await self.ask("GET", "info")
            version = await self.ask("GET", "version")
            self._info = EngineInfo(
                name=_engine_name(version),
                version=version["Version"],
                api=self._control.api_version.removeprefix("v"),
                driver=facts["Driver"],
                root=facts["DockerRootDir"],
                runtimes=tuple(sorted(facts.get("Runtimes") or ())),
                security=tuple(facts.get("SecurityOptions") or ()),
                host_cpus=facts["NCPU"],
                host_memory=facts["MemTotal"],
                cgroup=str(facts.get("CgroupVersion") or ""),
                kernel=str(facts.get("KernelVersion") or ""),
            )
        return self._info

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
        client = self._streams if within == math.inf else self._control
        with self.translated(gone, path):
            async with asyncio.timeout(_finite(within or self.timeouts.control)):
                await self._negotiate()
                answer = client._query_json(_url(path, params), method, data=body)  # noqa: SLF001 - its one raw call
                return await answer

    @contextlib.asynccontextmanager
    async def exchange(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Archive | None = None,
        gone: type[Failure] = EngineRefused,
        silence: float | None = None,
    ) -> AsyncIterator["_Answer"]:
        patience = Patience(self.timeouts.transfer)
        sent = Body(body, patience) if body is not None else None
        # Go's server answers 100 when it begins to read: a refusal comes before the archive is even begun.
        headers = {"Content-Type": "application/x-tar", "Expect": "100-continue"} if sent else {}
        whole = False
        try:
            with self.translated(gone, path, sent):
                async with patience.limited():
                    await self._negotiate()
                    response = await self._streams._do_query(  # noqa: SLF001 - its one raw call
                        _url(path, params),
                        method,
                        data=sent,
                        headers=headers,
                        chunked=True if sent else None,
                        timeout=aiohttp.ClientTimeout(),
                    )
            if silence is not None:
                patience = Patience(_finite(silence))
            try:
                yield _Answer(self, response, patience, sent, gone=gone, path=path)
                whole = True
            finally:
                response.close()
        finally:
            if sent is not None:
                await sent.end(abort=not whole)

    async def _negotiate(self) -> None:
        if self._control.api_version != "auto":
            return
        # The question itself needs no version.
        answer = await self._control._query_json("version", versioned_api=False)  # noqa: SLF001 - its one raw call
        newest, oldest = _version(answer["ApiVersion"]), _version(answer.get("MinAPIVersion") or "1.0")
        if newest < _OLDEST:
            raise EngineRefused(
                f"The engine's API is version {answer['ApiVersion']}; Bloomery needs 1.41 or newer (Docker 20.10).",
            )
        chosen = max(min(newest, _NEWEST), oldest)
        self._control.api_version = self._streams.api_version = f"v{chosen[0]}.{chosen[1]}"

    @contextlib.contextmanager
    def translated(self, gone: type[Failure], path: str, sent: Body | None = None) -> Iterator[None]:
        """Turn what goes wrong inside into one of `daemon.errors`, or into the error of the body that was sent."""
        try:
            yield
        except aiodocker.DockerError as error:
            if sent is not None and sent.error is not None:
                raise sent.error from None
            if error.status == _NO_CONNECTION:
                raise self._unavailable(_reason(error)) from error
            if error.status == _NOT_FOUND and gone is not EngineRefused:
                raise gone(error.message) from error
            failure = refusal(f"{error.message} (status {error.status} for {path})")
            failure.evidence["status"] = error.status
            raise failure from error
        except _ERRORS as error:
            if sent is not None and sent.error is not None:
                raise sent.error from None
            why = "it accepts connections and says nothing" if isinstance(error, TimeoutError) else str(error)
            raise self._unavailable(why) from error
        except (KeyError, TypeError, ValueError) as error:
            if sent is not None and sent.error is not None:
                raise sent.error from None
            raise EngineRefused(f"The engine's answer to {path} is not as its API says: {error!r}") from error

    def _unavailable(self, why: str) -> EngineUnavailable:
        # Whoever answers next may be another version of it.
        self._info = None
        self._control.api_version = self._streams.api_version = "auto"
        remedy = "Start it, or name one that runs: --engine, [engine] url or DOCKER_HOST."
        return EngineUnavailable(f"The container engine at {self.url} does not answer: {why}. {remedy}")


class _Answer:
    """`daemon.engine.transport.Received`: a body read as it comes, never held."""

    def __init__(
        self,
        transport: _DockerTransport,
        response: aiohttp.ClientResponse,
        patience: Patience,
        sent: Body | None,
        *,
        gone: type[Failure],
        path: str,
    ) -> None:
        self._transport = transport
        self._response = response
        self._path = path
        self._gone = gone
        self._sent = sent
        self._patience = patience

    async def read(self) -> bytes:
        with self._transport.translated(self._gone, self._path, self._sent):
            # An engine may begin its answer before it has the whole body: sending goes on meanwhile.
            async with self._patience.limited():
                return await self._response.content.readany()


def _client(url: str) -> aiodocker.Docker:
    parts = urlsplit(url)
    connector: aiohttp.BaseConnector
    if parts.scheme == "unix" and parts.path:
        # A connection of its own for each call, for an engine that restarts closes the idle ones.
        connector, base = aiohttp.UnixConnector(parts.path, limit=0, force_close=True), "unix://localhost"
    elif parts.scheme == "tcp" and parts.hostname in _LOOPBACK and parts.port:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=0, force_close=True)
        base = f"http://{parts.netloc}"
    else:
        raise ValueError(f"{url!r} is no engine: expected unix:///PATH, or tcp://HOST:PORT with a loopback host")
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(), read_bufsize=1 << 18)
    return aiodocker.Docker(url=base, connector=connector, session=session)


def _url(path: str, params: Params | None) -> str:
    return f"{path}?{urlencode(params, doseq=True)}" if params else path


def _reason(error: aiodocker.DockerError) -> str:
    """The system's own words where a connection was refused; aiodocker's wrap them three times."""
    cause = error.__cause__ or error.__context__
    refused = cause.os_error.strerror if isinstance(cause, aiohttp.ClientConnectorError) else None
    return refused or str(error.message)


def _finite(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _engine_name(version: dict[str, Any]) -> str:
    components = {component.get("Name") for component in version.get("Components") or ()}
    return "Podman" if "Podman Engine" in components else "Docker"
