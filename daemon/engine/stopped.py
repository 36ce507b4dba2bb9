"""What is done to a container while it does not run: each such call asks first."""

from typing import Any
from urllib.parse import quote

from daemon.engine.transport import Transport
from daemon.errors import EngineRefused, SandboxGone


def container_path(sandbox: str) -> str:
    """Where the engine's API has a container."""
    return f"containers/{quote(sandbox, safe='')}"


async def require_stopped(transport: Transport, sandbox: str, what: str) -> dict[str, Any]:
    """What the engine says of a container; `EngineRefused` while it runs, `SandboxGone` if it is not there."""
    found: dict[str, Any] = await transport.ask("GET", f"{container_path(sandbox)}/json", gone=SandboxGone)
    if found["State"]["Running"]:
        raise EngineRefused(f"The container {sandbox[:12]} is running, so it cannot be {what}")
    return found
