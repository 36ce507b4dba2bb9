"""Images by an engine's HTTP API: `Images` of `daemon.engine.engine`."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from cache.errors import Failure
from daemon.engine.engine import Archive, EngineImage
from daemon.engine.names import repository_and_tag
from daemon.engine.settled import settled
from daemon.engine.stopped import require_stopped
from daemon.engine.stream import plain, progress, progress_error
from daemon.engine.transport import Params, Transport
from daemon.errors import EngineRefused, ImageGone, NoSpace, SandboxGone


class EngineImages:
    """Inspects, loads, imports, commits, tags and removes images."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def inspect(self, reference: str) -> EngineImage | None:
        """The image, or None where there is none."""
        try:
            found = await self._transport.ask("GET", f"images/{reference}/json", gone=ImageGone)
        except ImageGone:
            return None
        config = found.get("Config") or {}
        return image_of(found, config.get("Labels"), config.get("Env"))

    async def load(self, archive: Archive) -> None:
        """`docker load` of an uncompressed archive that holds `manifest.json`."""
        await self._send("images/load", {"quiet": "1"}, archive)

    async def import_root(self, archive: Archive, reference: str, changes: tuple[str, ...]) -> str:
        """`docker import` of an uncompressed root filesystem; `changes` are Dockerfile lines; returns the image id."""
        repository, tag = repository_and_tag(reference)
        params: Params = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": changes}
        image = ""
        for line in await self._send("images/create", params, archive):
            image = str(line.get("status") or line.get("id") or image)
        if not image:
            raise EngineRefused(f"The engine imported {reference} and did not say under which id")
        await self.tag(image.strip(), reference)  # Podman's import ignores the tag.
        return image.strip()

    async def tag(self, image: str, reference: str) -> None:
        """Give an image one more name; a name that another image had moves."""
        repository, tag = repository_and_tag(reference)
        params = {"repo": repository, "tag": tag}
        await self._transport.ask("POST", f"images/{image}/tag", params=params, gone=ImageGone)

    async def remove(self, reference: str) -> None:
        """Untag, and delete what no name holds; no error if it is gone.

        `EngineRefused` for an image that a container uses, and for an id that has several names.
        """
        try:
            await self._transport.ask(
                "DELETE", f"images/{reference}", gone=ImageGone, within=self._transport.timeouts.remove
            )
        except ImageGone:
            return

    async def commit(self, sandbox: str, reference: str, labels: Mapping[str, str]) -> str:
        """Make an image of a stopped container; returns its id.

        The image carries these labels and those of the image it came from. The container's own are there, but empty:
        an engine merges them in, and they vary.
        """
        state = await require_stopped(self._transport, sandbox, "committed")
        origin = await self.inspect(state["Image"])
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
            await self.remove(reference)

        return await settled(commit(), undo=undo)

    async def _send(self, path: str, params: Params, archive: Archive) -> list[dict[str, Any]]:
        async with (
            aclosing(archive),
            self._transport.exchange("POST", path, params=params, body=plain(archive)) as answer,
        ):
            found = await progress(answer.read)
        for line in found:
            if error := progress_error(line):
                raise refusal(error)
        return found


def image_of(found: dict[str, Any], labels: dict[str, str] | None, environment: list[str] | None) -> EngineImage:
    """An image out of what the engine lists or inspects."""
    pairs = (entry.partition("=") for entry in environment or ())
    return EngineImage(
        id=found["Id"],
        tags=tuple(tag for tag in found.get("RepoTags") or () if tag != "<none>:<none>"),
        size=found["Size"],
        labels=labels or {},
        environment={name: value for name, _, value in pairs},
    )


def refusal(message: str) -> Failure:
    """The failure that an engine's own words mean."""
    text = message.lower()
    if any(sign in text for sign in ("no space left on device", "disk quota exceeded")):
        return NoSpace(f"The engine's disk is full: {message}")
    return EngineRefused(f"The engine refused: {message}")
