"""Looking over an engine by its HTTP API: `Survey` of `daemon.engine.engine`."""

import json
from collections.abc import Awaitable, Callable, Mapping

from daemon.engine.engine import EngineImage, EngineInfo, Sandbox, SandboxState
from daemon.engine.images import EngineImages, image_of, refusal
from daemon.engine.names import repository_and_tag
from daemon.engine.stopped import container_path
from daemon.engine.stream import progress, progress_error
from daemon.engine.transport import Transport
from daemon.errors import ImageGone, SandboxGone

_UNKNOWN = ("not found", "manifest unknown", "pull access denied", "repository does not exist")


class EngineSurvey:
    """Asks after the engine itself and what is in it."""

    def __init__(self, transport: Transport, close: Callable[[], Awaitable[None]]) -> None:
        self._transport = transport
        self._close = close

    async def info(self) -> EngineInfo:
        """The engine's name, versions and abilities."""
        return await self._transport.info()

    async def sandboxes(self, labels: Mapping[str, str]) -> tuple[Sandbox, ...]:
        """All containers, running or not, that carry all of these labels."""
        listed = await self._transport.ask("GET", "containers/json", params={"all": "1", "filters": _filters(labels)})
        return tuple(
            Sandbox(
                id=entry["Id"],
                name=(entry.get("Names") or [""])[0].removeprefix("/"),
                state=entry["State"],
                labels=entry.get("Labels") or {},
            )
            for entry in listed
        )

    async def sandbox(self, sandbox: str) -> SandboxState | None:
        """The container with this id, or None where it is gone."""
        try:
            found = await self._transport.ask("GET", f"{container_path(sandbox)}/json", gone=SandboxGone)
        except SandboxGone:
            return None
        return SandboxState(
            id=found["Id"],
            state=found["State"]["Status"],
            image_id=found["Image"],
            generation=found["State"]["FinishedAt"],
            labels=found["Config"]["Labels"] or {},
        )

    async def images(self, labels: Mapping[str, str]) -> tuple[EngineImage, ...]:
        """All images that carry all of these labels; their environment is not told."""
        listed = await self._transport.ask("GET", "images/json", params={"filters": _filters(labels)})
        return tuple(image_of(entry, entry.get("Labels"), None) for entry in listed)

    async def pull(self, reference: str) -> str:
        """Pull an image; returns its id. `ImageGone` where no registry has it."""
        params = {"fromImage": reference}
        if "@" not in reference:
            params["fromImage"], params["tag"] = repository_and_tag(reference)
        async with self._transport.exchange("POST", "images/create", params=params, gone=ImageGone) as answer:
            found = await progress(answer.read)
        for line in found:
            if error := progress_error(line):
                raise _not_pulled(reference, error)
        image = await EngineImages(self._transport).inspect(reference)
        if image is None:
            raise ImageGone(f"{reference} was pulled and is not in the engine")
        return image.id

    async def close(self) -> None:
        """Give the connections back."""
        await self._close()


def _not_pulled(reference: str, error: str) -> Exception:
    if any(sign in error.lower() for sign in _UNKNOWN):
        return ImageGone(f"No registry has {reference}: {error}")
    return refusal(error)


def _filters(labels: Mapping[str, str]) -> str:
    return json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]})
