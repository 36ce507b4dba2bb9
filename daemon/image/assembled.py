"""An image that is whole in the store of blobs, with all that is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from cache.digest import Digest
from cache.tree import EntryKind
from daemon.builds import ContentEntry
from daemon.image.rootfs import RootFile


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembledImage:
    """A runtime image, whole in the store of blobs, not yet in any engine."""

    binary: str
    manifest_digest: Digest
    """The image's name in the cache and in comparisons."""
    image_id: Digest
    """The configuration's digest: the image's ID in a classic engine."""
    layers: tuple[Digest, ...]
    """Lowest first; each is its diff ID, too."""
    rootfs: tuple[RootFile, ...]
    """Every entry, sorted by path."""
    listing: Digest
    """The blob with the JSON list of `ContentEntry`."""
    symbols: Digest | None
    entrypoint: tuple[str, ...]
    user: str
    """Numbers, as `65532:65532`."""
    working_directory: str
    environment: Mapping[str, str]
    warnings: tuple[str, ...]

    @property
    def contents(self) -> tuple[ContentEntry, ...]:
        """Every entry with the reason for it."""
        return tuple(file.entry for file in self.rootfs)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.rootfs)

    @property
    def file_count(self) -> int:
        """Regular files."""
        return sum(file.kind is EntryKind.FILE for file in self.rootfs)
