"""Content-addressed files: `sha256/ab/<64 hex>` under one root, each written once and named by what it holds.

A blob comes in through a staging directory on the same filesystem. What is at its final name is on the disk: content
first, then the name (`adopt`). Blobs that arrive one by one wait at `incoming` until a tree names them (`receive`,
`settle`), so that a first upload of hundreds of files costs two flushes instead of a thousand. A crash loses only what
nothing names.

Methods block and may be called from any thread. All raise `NoSpace` when the disk is full.
"""

import ctypes
import errno
import hashlib
import io
import os
import shutil
import tempfile
import threading
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cache.digest import Digest, DigestMismatch, VerifyingReader
from cache.errors import NoSpace

_PIECE = 1 << 18
_FEW = 4
"""So many files are flushed one by one; more are cheaper by one flush of the filesystem."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class BlobStore:
    """The blobs under one root; opening it removes what a crash left unfinished."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "sha256"
        self._staging = root / "staging"
        self._incoming = root / "incoming"
        self._settling = threading.Lock()
        self._libc = ctypes.CDLL(None, use_errno=True)
        for unfinished in (self._staging, self._incoming):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        for first in range(256):
            (self._blobs / f"{first:02x}").mkdir(parents=True, exist_ok=True)

    def path(self, digest: Digest) -> Path:
        """Where a settled blob is, or would be."""
        return self._blobs / digest.hex[:2] / digest.hex

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here, settled or not."""
        return self.path(digest).exists() or (self._incoming / digest.hex).exists()

    def size(self, digest: Digest) -> int:
        """Bytes of a blob; raises `FileNotFoundError`."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return (self._incoming / digest.hex).stat().st_size

    def missing(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        """Those that are not here, each once, in the order given."""
        return tuple(digest for digest in dict.fromkeys(digests) if not self.has(digest))

    @contextmanager
    def staging(self) -> Generator[Path]:
        """A directory of one's own on the store's filesystem, removed at the end with what is still in it."""
        with room_on_disk():
            directory = Path(tempfile.mkdtemp(dir=self._staging))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def put(self, content: bytes) -> Digest:
        """Store these bytes."""
        return self.put_stream(io.BytesIO(content))

    def put_stream(self, stream: IO[bytes]) -> Digest:
        """Store what is left of a stream. For many at once, stage them and `adopt` them together."""
        content = hashlib.sha256()
        with self.staging() as directory:
            staged = directory / "arriving"
            with room_on_disk(), staged.open("wb") as kept:
                while piece := stream.read(_PIECE):
                    content.update(piece)
                    kept.write(piece)
            digest = Digest(content.hexdigest())
            self.adopt({digest: staged})
        return digest

    def adopt(self, staged: Mapping[Digest, Path]) -> None:
        """Move staged files, whose contents these digests name, to their places; on return they are on the disk."""
        new = {digest: path for digest, path in staged.items() if not self._same_size(digest, path)}
        if not new:
            return
        with room_on_disk():
            self._flush(new.values())
            for digest, path in new.items():
                path.rename(self.path(digest))
            self._flush({self.path(digest).parent for digest in new})

    def receive(self, digest: Digest, staged: Path) -> None:
        """Take one staged file whose content this digest names; it is lost in a crash until it is settled."""
        if not self._same_size(digest, staged):
            with room_on_disk():
                staged.rename(self._incoming / digest.hex)

    def settle(self, digests: Iterable[Digest]) -> None:
        """Bring received blobs to the disk; those that are there already, or not here at all, are passed over."""
        with self._settling:
            waiting = {path.name: path for path in self._incoming.iterdir()}
            self.adopt({digest: waiting[digest.hex] for digest in digests if digest.hex in waiting})

    @contextmanager
    def open_verified(self, digest: Digest) -> Generator[Iterator[bytes]]:
        """A blob's content in pieces; the last step raises `DigestMismatch` if it is damaged, and removes it.

        Raises `FileNotFoundError` for a blob that is not here.
        """
        with self.path(digest).open("rb") as stream:
            try:
                yield VerifyingReader(stream, digest)
            except DigestMismatch:
                self.remove(digest)
                raise

    def read(self, digest: Digest) -> bytes:
        """A blob's whole content, verified; raises as `open_verified` does."""
        with self.open_verified(digest) as pieces:
            return b"".join(pieces)

    def remove(self, digest: Digest) -> None:
        """Forget a blob; one that is not here is no error."""
        self.path(digest).unlink(missing_ok=True)
        (self._incoming / digest.hex).unlink(missing_ok=True)

    def _same_size(self, digest: Digest, staged: Path) -> bool:
        """Whether the blob is in its place already; one that lost its end is written anew."""
        try:
            return self.path(digest).stat().st_size == staged.stat().st_size
        except FileNotFoundError:
            return False

    def _flush(self, paths: Collection[Path]) -> None:
        if len(paths) > _FEW:
            with _opened(self._blobs) as descriptor:
                if self._libc.syncfs(descriptor) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
            return
        for path in paths:
            with _opened(path) as descriptor:
                os.fsync(descriptor)


@contextmanager
def _opened(path: Path) -> Generator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def room_on_disk() -> Generator[None]:
    """Turn a full disk into `NoSpace`."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _FULL:
            raise NoSpace("the disk that holds the state directory is full: free some space, or prune") from problem
        raise
