"""An endpoint as a value: what the router serves and what the OpenAPI document says are made of the same tuple.

Each module in `api.http.handlers` has one class whose `endpoints()` returns these; `api.http.app` routes them,
`api.http.openapi` describes them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from aiohttp import web
from msgspec import Struct

from cache.errors import Failure

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access(StrEnum):
    """Who may call."""

    TOKEN = "token"  # noqa: S105 - the word, not a secret
    """Whoever has a token, where the daemon has tokens."""
    OPEN = "open"
    """Anyone: what a load balancer or an orchestrator asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonForm:
    """A body that is JSON of one schema; `schema` is a Struct, a dataclass or a type made of those."""

    schema: Any
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamForm:
    """A body of bytes or text that is streamed and never held whole."""

    media_type: str


Form = JsonForm | StreamForm


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderParameter:
    """A request header that means something to an endpoint."""

    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer that is no problem; `headers` by name to what they say."""

    description: str
    status: HTTPStatus = HTTPStatus.OK
    forms: tuple[Form, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method on one path."""

    method: str
    path: str
    operation: str
    """The OpenAPI operationId."""
    summary: str
    handler: Handler
    tag: str
    query: type[Struct] | None = None
    """The schema of the query parameters; a list field is a parameter that may be repeated."""
    headers: tuple[HeaderParameter, ...] = ()
    body: tuple[Form, ...] = ()
    replies: tuple[Reply, ...] = ()
    failures: tuple[type[Failure], ...] = ()
    """Those that are this endpoint's own; what any endpoint may answer is not repeated."""
    access: Access = Access.TOKEN
    description: str = ""
