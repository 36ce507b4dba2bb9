"""The one shape of every refusal."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType


class Problem(Struct, frozen=True, kw_only=True):
    """RFC 9457: why a request was not done, whose turn it is, and what a program can act on."""

    type: Annotated[str, Meta(description="`urn:bloomery:problem:<kind>`")]
    title: str
    status: int
    detail: str
    kind: Annotated[str, Meta(description="The stable name of the cause; docs/errors.md lists them all")]
    blame: Annotated[str, Meta(description="`request`, `source`, `limit` or `infrastructure`")]
    evidence: dict[str, Any] = {}
    instance: str | UnsetType = UNSET
