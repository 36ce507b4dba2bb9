"""Containers by an engine's HTTP API: `Sandboxes` of `daemon.engine.engine`."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from cache.errors import Failure
from daemon.engine.engine import Exit, Limits, OutputSink, SandboxSpec
from daemon.engine.images import EngineImages
from daemon.engine.names import repository_and_tag
from daemon.engine.profile import create_request
from daemon.engine.run import Run
from daemon.engine.settled import settled
from daemon.engine.stream import TarEnd, plain
from daemon.engine.transport import Transport
from daemon.errors import EngineRefused, EngineUnavailable, ImageGone, SandboxGone


class EngineSandboxes:
    """Creates, fills, runs, reads, commits and removes containers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, spec: SandboxSpec) -> str:
        """Create, not start; returns the id. `ImageGone` if the image is not there."""
        body = create_request(spec, await self._transport.info())

        async def create() -> str:
            params = {"name": spec.name}
            answer = await self._transport.ask("POST", "containers/create", params=params, body=body, gone=ImageGone)
            return str(answer["Id"])

        # The engine goes on when its client leaves: a cancelled create still makes a container, unless it is undone.
        return await settled(create(), undo=self.remove)

    async def put(self, sandbox: str, archive: AsyncIterator[bytes]) -> None:
        """Unpack an uncompressed tar stream at `/` of a container that is not running."""
        await self._require_stopped(sandbox, "put into")
        exchange = self._transport.exchange(
            "PUT", f"{_path(sandbox)}/archive", params={"path": "/"}, body=plain(archive), gone=SandboxGone
        )
        async with exchange as answer:
            while await answer.read():
                pass

    async def run(self, sandbox: str, sink: OutputSink, limits: Limits) -> Exit:
        """Start, pass all output on, wait for the end; see `Sandboxes.run`."""
        await self._require_stopped(sandbox, "started")
        return await Run(self._transport, _path(sandbox), sink, limits).finish()

    async def get(self, sandbox: str, path: str) -> AsyncIterator[bytes]:
        """The tar stream of a path of a stopped container; `FileNotFoundError` where there is no such path."""
        await self._require_stopped(sandbox, "read")
        end = TarEnd()
        try:
            async with self._transport.exchange(
                "GET", f"{_path(sandbox)}/archive", params={"path": path}, gone=_NoSuchPath
            ) as answer:
                while piece := await answer.read():
                    end.feed(piece)
                    yield piece
        except _NoSuchPath as missing:
            await self._require_stopped(sandbox, "read")
            raise FileNotFoundError(f"There is no {path} in the container {sandbox[:12]}") from missing
        if not end.whole:
            raise EngineUnavailable(f"The engine broke off while {path} was read from {sandbox[:12]}")

    async def commit(self, sandbox: str, reference: str, labels: Mapping[str, str]) -> str:
        """Make an image of a stopped container; returns its id.

        The image carries these labels and those of the image it came from. The container's own are there, but empty:
        an engine merges them in, and they vary.
        """
        state = await self._require_stopped(sandbox, "committed")
        origin = await EngineImages(self._transport).inspect(state["Image"])
        repository, tag = repository_and_tag(reference)
        inherited = dict.fromkeys(state["Config"]["Labels"] or {}, "") | dict(origin.labels if origin else {})
        params = {"container": sandbox, "repo": repository, "tag": tag, "pause": "0"}
        body = {"Labels": {**inherited, **labels}}

        async def commit() -> str:
            answer = await self._transport.ask(
                "POST", "commit", params=params, body=body, gone=SandboxGone, within=self._transport.timeouts.commit
            )
            return str(answer["Id"])

        async def undo(_image: str) -> None:
            await self._transport.ask(
                "DELETE", f"images/{reference}", gone=ImageGone, within=self._transport.timeouts.remove
            )

        return await settled(commit(), undo=undo)

    async def remove(self, sandbox: str) -> None:
        """Kill if need be and remove; no error if it is gone."""
        within = self._transport.timeouts.remove
        try:
            params = {"force": "1", "v": "1"}
            await self._transport.ask("DELETE", _path(sandbox), params=params, gone=SandboxGone, within=within)
        except SandboxGone:
            return
        except EngineRefused as refused:
            if refused.evidence.get("status") != 409:  # noqa: PLR2004 - somebody else is removing it
                raise
            await self._removed(sandbox)

    async def _removed(self, sandbox: str) -> None:
        within = self._transport.timeouts.remove
        try:
            await self._transport.ask(
                "POST", f"{_path(sandbox)}/wait", params={"condition": "removed"}, gone=SandboxGone, within=within
            )
        except SandboxGone:
            return

    async def _require_stopped(self, sandbox: str, what: str) -> dict[str, Any]:
        state: dict[str, Any] = await self._transport.ask("GET", f"{_path(sandbox)}/json", gone=SandboxGone)
        if state["State"]["Running"]:
            raise EngineRefused(f"The container {sandbox[:12]} is running, so it cannot be {what}")
        return state


class _NoSuchPath(Failure):
    """A 404 that means the path or the container: only a second question tells."""


def _path(sandbox: str) -> str:
    return f"containers/{quote(sandbox, safe='')}"
