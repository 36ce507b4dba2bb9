"""The forms in which a build's events are sent: server-sent events, NDJSON, and lines of text for people with curl.

Source of the first: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from daemon.events import Event, EventKind

_Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventForm:
    """How events look in one media type; `heartbeat` is sent when nothing happens and means nothing."""

    media_type: str
    encode: Callable[[Event], bytes]
    heartbeat: bytes = b""


def _server_sent(event: Event) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.number, event.kind.encode(), msgspec.json.encode(event))


def _json_line(event: Event) -> bytes:
    return msgspec.json.encode(event) + b"\n"


def _text(event: Event) -> bytes:
    line = _line(event)
    return line.rstrip("\n").encode("utf-8", "replace") + b"\n" if line else b""


def _line(event: Event) -> str:
    return _LINES[event.kind](event.data)


def _log(data: _Data) -> str:
    return str(data.get("text", "")) or " "


def _note(data: _Data) -> str:
    return f"note: {data.get('text', '')}"


def _state(data: _Data) -> str:
    return f"build {data.get('state', '')}"


def _stage(data: _Data) -> str:
    end = f": {float(data.get('seconds') or 0):.2f} s" if data.get("phase") == "end" else ""
    return f"== {data.get('stage', '')}{end}"


def _forecast(data: _Data) -> str:
    what = f"{data.get('dependencies', 0)} dependencies and {data.get('members', 0)} members to compile"
    known = [(name, data.get(f"{name}_seconds")) for name in ("expected", "cold")]
    return ", ".join([f"== {what}", *(f"{name} {seconds:.1f} s" for name, seconds in known if seconds is not None)])


def _compiled(data: _Data) -> str:
    total = f"/{data['total']}" if data.get("total") else ""
    verb = "fresh" if data.get("fresh") else "compiled"
    return f"{verb:>12} {data.get('package', '')} ({data.get('done', 0)}{total})"


def _diagnostic(data: _Data) -> str:
    return str(data.get("rendered") or f"{data.get('level', '')}: {data.get('message', '')}")


_LINES: Mapping[EventKind, Callable[[_Data], str]] = {
    EventKind.LOG: _log,
    EventKind.NOTE: _note,
    EventKind.STATE: _state,
    EventKind.STAGE: _stage,
    EventKind.FORECAST: _forecast,
    EventKind.COMPILED: _compiled,
    EventKind.DIAGNOSTIC: _diagnostic,
}

SERVER_SENT = EventForm("text/event-stream", _server_sent, b": still here\n\n")
JSON_LINES = EventForm("application/x-ndjson", _json_line, b"\n")
TEXT = EventForm("text/plain", _text)

FORMS = (TEXT, SERVER_SENT, JSON_LINES)
"""The first is what anything-goes gets, such as curl's own Accept."""
