"""Containers by an engine's HTTP API: `Sandboxes` of `daemon.engine.engine`."""

from contextlib import aclosing
from urllib.parse import quote

from cache.errors import Failure
from daemon.engine.engine import Archive, Exit, Limits, Network, OutputSink, SandboxSpec
from daemon.engine.profile import create_request
from daemon.engine.run import Run
from daemon.engine.settled import settled
from daemon.engine.stopped import container_path, require_stopped
from daemon.engine.stream import TarEnd, plain
from daemon.engine.transport import Transport
from daemon.errors import EngineRefused, EngineUnavailable, ImageGone, SandboxGone

_NO_NETWORK = "none"


class EngineSandboxes:
    """Creates, fills, runs, reads, isolates and removes containers."""

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

    async def put(self, sandbox: str, archive: Archive) -> None:
        """Unpack an uncompressed tar stream at `/` of a container that is not running."""
        path, params = f"{container_path(sandbox)}/archive", {"path": "/"}
        async with aclosing(archive):
            await require_stopped(self._transport, sandbox, "put into")
            exchange = self._transport.exchange("PUT", path, params=params, body=plain(archive), gone=SandboxGone)
            async with exchange as answer:
                while await answer.read():
                    pass

    async def run(self, sandbox: str, sink: OutputSink, limits: Limits) -> Exit:
        """Start, pass all output on, wait for the end; see `Sandboxes.run`."""
        await require_stopped(self._transport, sandbox, "started")
        return await Run(self._transport, container_path(sandbox), sink, limits).finish()

    async def get(self, sandbox: str, path: str) -> Archive:
        """The tar stream of a path of a stopped container; `FileNotFoundError` where there is no such path."""
        await require_stopped(self._transport, sandbox, "read")
        end = TarEnd()
        try:
            async with self._transport.exchange(
                "GET", f"{container_path(sandbox)}/archive", params={"path": path}, gone=_NoSuchPath
            ) as answer:
                while piece := await answer.read():
                    end.feed(piece)
                    yield piece
        except _NoSuchPath as missing:
            await require_stopped(self._transport, sandbox, "read")
            raise FileNotFoundError(f"There is no {path} in the container {sandbox[:12]}") from missing
        if not end.whole:
            raise EngineUnavailable(f"The engine broke off while {path} was read from {sandbox[:12]}")

    async def isolate(self, sandbox: str) -> None:
        """Take a stopped container's network away for all its later runs; `EngineRefused` where that is not certain."""
        found = await require_stopped(self._transport, sandbox, "taken off its network")
        if found["HostConfig"]["NetworkMode"] == Network.HOST:
            raise EngineRefused(f"The container {sandbox[:12]} has the host's network, which cannot be taken away")
        for name in found["NetworkSettings"]["Networks"]:
            if name != _NO_NETWORK:
                await self._connect("disconnect", name, sandbox)
        if _NO_NETWORK not in found["NetworkSettings"]["Networks"]:
            # With none at all, an engine may connect it to its first one again when it starts.
            await self._connect("connect", _NO_NETWORK, sandbox)
        left = await require_stopped(self._transport, sandbox, "taken off its network")
        if set(left["NetworkSettings"]["Networks"]) != {_NO_NETWORK}:
            raise EngineRefused(f"The engine did not take the container {sandbox[:12]} off its network")

    async def _connect(self, verb: str, network: str, sandbox: str) -> None:
        body = {"Container": sandbox}
        await self._transport.ask("POST", f"networks/{quote(network, safe='')}/{verb}", body=body, gone=SandboxGone)

    async def remove(self, sandbox: str) -> None:
        """Kill if need be and remove; no error if it is gone."""
        within = self._transport.timeouts.remove
        try:
            params = {"force": "1", "v": "1"}
            await self._transport.ask("DELETE", container_path(sandbox), params=params, gone=SandboxGone, within=within)
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
                "POST",
                f"{container_path(sandbox)}/wait",
                params={"condition": "removed"},
                gone=SandboxGone,
                within=within,
            )
        except SandboxGone:
            return


class _NoSuchPath(Failure):
    """A 404 that means the path or the container: only a second question tells."""
