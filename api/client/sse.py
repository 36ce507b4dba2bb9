"""Server-sent events, read: the wire's lines become events of a build.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

_FINAL = frozenset({"succeeded", "failed", "cancelled"})


class ServerSentEvent(NamedTuple):
    """One event of one build, as `daemon.events` declares it."""

    number: int
    at: float
    kind: str
    data: dict[str, Any]

    @property
    def final(self) -> bool:
        """No event of this build comes after it."""
        return self.kind == "state" and self.data.get("state") in _FINAL


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines without their ends; a last line that is cut is left out, as the standard says."""
    held = b""
    for piece in pieces:
        *whole, held = (held + piece).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")


def read_events(pieces: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Events as they become whole; comments, which keep the connection alive, and what is not ours are passed over."""
    held: list[bytes] = []
    for line in _lines(pieces):
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                held.append(value.removeprefix(b" "))
            continue
        if held and (event := _event(b"\n".join(held))):
            yield event
        held.clear()


def _event(text: bytes) -> ServerSentEvent | None:
    try:
        found = json.loads(text)
        return ServerSentEvent(int(found["number"]), float(found["at"]), str(found["kind"]), dict(found["data"]))
    except (ValueError, KeyError, TypeError):
        return None
