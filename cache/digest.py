"""Digests: the names of contents everywhere in Bloomery, written `algorithm:hex` as OCI writes them."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

_FORM = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 1 << 18


class NotADigest(ValueError):  # noqa: N818 - reads as the cause it names
    """A text that should be a digest is not `sha256:` and 64 lower-case hexadecimal digits."""


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The SHA-256 of some content."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:<64 hex>`; anything else raises `NotADigest`."""
        if not _FORM.fullmatch(text):
            raise NotADigest(f"{text[:100]!r} is not a digest: expected sha256:<64 lower-case hex digits>")
        return cls(text.removeprefix("sha256:"))

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Name these bytes."""
        return cls(hashlib.sha256(content).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Name a file's bytes, read in pieces of 256 KiB."""
        with path.open("rb") as stream:
            return cls(hashlib.file_digest(stream, "sha256").hexdigest())

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


class DigestMismatch(Exception):  # noqa: N818 - reads as the cause it names
    """Content is not what its name says: damaged on disk, or on its way here."""

    def __init__(self, expected: Digest, found: Digest) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class VerifyingReader:
    """Reads a stream to its end and raises `DigestMismatch` there if it was not the expected content."""

    def __init__(self, stream: BinaryIO, expected: Digest) -> None:
        self._stream = stream
        self._expected = expected
        self._hash = hashlib.sha256()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        piece = self._stream.read(_CHUNK)
        if piece:
            self._hash.update(piece)
            return piece
        found = Digest(self._hash.hexdigest())
        if found != self._expected:
            raise DigestMismatch(self._expected, found)
        raise StopIteration
