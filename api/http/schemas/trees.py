"""Source trees and their blobs."""

from typing import Annotated

from msgspec import Meta, Struct

from api.http.schemas.texts import DigestText
from cache.digest import Digest
from cache.tree import EntryKind, TreeEntry


class EntryBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One path of a source tree: a file, a symbolic link, or an empty directory."""

    path: str
    kind: EntryKind = EntryKind.FILE
    size: Annotated[int, Meta(ge=0, description="Bytes; a file's")] = 0
    executable: bool = False
    digest: DigestText | None = None
    target: str = ""

    def value(self) -> TreeEntry:
        """The daemon's value."""
        return TreeEntry(
            path=self.path,
            kind=self.kind,
            size=self.size,
            executable=self.executable,
            digest=None if self.digest is None else Digest.parse(self.digest),
            target=self.target,
        )


class TreeBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A listing of a source tree."""

    entries: tuple[EntryBody, ...]


class TreeAnswer(Struct, frozen=True, kw_only=True):
    """A listing's tree and the blobs that are still wanted; none: the tree can be built."""

    tree: DigestText
    missing: tuple[DigestText, ...] = ()


class TreeSummary(Struct, frozen=True, kw_only=True):
    """A tree that is here and whole."""

    tree: DigestText
    entries: int
    size: Annotated[int, Meta(description="Bytes of all files together")]


class BlobAnswer(Struct, frozen=True, kw_only=True):
    """A blob that is here now."""

    digest: DigestText
