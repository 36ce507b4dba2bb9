"""A build's events: where to go on."""

from typing import Annotated

from msgspec import Meta, Struct


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to go on."""

    after: Annotated[int, Meta(ge=0, description="The number of the last event seen; 0: from the start")] | None = None
    follow: Annotated[bool, Meta(description="false: only the events so far")] = True
