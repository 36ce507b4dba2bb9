"""What an image of an interpreted language holds of the sources themselves, and what it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file of the image that stands in no tree: its absolute path, its text, and why it is there."""

    path: str
    content: bytes
    reason: str
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Files of the tree, and what is written beside them."""

    name: str
    """As the image is titled."""
    directory: str
    """Of the tree; paths in the image start from here."""
    files: tuple[str, ...]
    """Paths in the tree."""
    written: tuple[WrittenFile, ...] = ()
    entrypoint: tuple[str, ...] = ()
    """Unless the settings of the image name another."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the image, where its settings do not say otherwise."""
