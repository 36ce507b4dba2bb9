"""What is kept from build to build, and pruning it."""

from typing import Annotated

from msgspec import Meta, Struct

from cache.gc import EntryKind


class CacheKindAnswer(Struct, frozen=True, kw_only=True):
    """Records of one kind and their bytes; what several records share counts once."""

    kind: EntryKind
    records: int
    size: Annotated[int, Meta(description="Bytes")]


class CacheAnswer(Struct, frozen=True, kw_only=True):
    """What is kept from build to build."""

    ceiling: Annotated[int, Meta(description="The bytes that all of it may have, whosever it is")]
    size: Annotated[int, Meta(description="Bytes; less than the kinds' together where kinds share files")]
    kinds: tuple[CacheKindAnswer, ...]


class PruneBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far to prune."""

    keep: Annotated[int, Meta(ge=0, description="Bytes that may stay; 0: nothing")]
    dry_run: Annotated[bool, Meta(description="Only tell what would go")] = False


class PruneAnswer(Struct, frozen=True, kw_only=True):
    """What went, or would go."""

    dry_run: bool
    size: Annotated[int, Meta(description="Bytes")]
    kinds: tuple[CacheKindAnswer, ...]
