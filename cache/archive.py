"""The hostile-archive reader, seen from outside: how its child process is started, and what its answer means.

The reading itself is `cache.archive_child`: in a process of its own, because an archive can be made to take any time
and any memory, and only a process can be bounded and killed. Who runs it (`daemon.upload`) bounds the time.
"""

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from cache import archive_errors
from cache.archive_errors import UploadTooSlow
from cache.archive_limits import ArchiveLimits
from cache.digest import Digest
from cache.errors import Failure, NoSpace
from cache.tree import EntryKind, SourceTree, TreeEntry

MOST_ANSWER = 32 << 20
"""Bytes; an answer within the default limits is at most half as long."""

_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from cache.archive_child import main; main()"
_ROOT = Path(__file__).resolve().parent.parent
_FAILURES: dict[str, type[Failure]] = {
    failure.kind: failure
    for failure in (
        NoSpace,
        archive_errors.BadArchive,
        archive_errors.BadIgnoreFile,
        archive_errors.UnsafeEntry,
        archive_errors.UploadTooLarge,
        archive_errors.UploadTooSlow,
    )
}


def command(staging: Path, limits: ArchiveLimits) -> tuple[str, ...]:
    """What to run: the archive goes to its standard input, the answer comes from its standard output, all in UTF-8."""
    return (
        sys.executable,
        "-I",
        "-X",
        "utf8",
        "-c",
        _BOOT,
        str(_ROOT),
        str(staging),
        json.dumps(asdict(limits)),
    )


def outcome(answer: bytes, status: int, limits: ArchiveLimits) -> SourceTree:
    """The tree that the child read; `status` is its exit code, or minus the signal that ended it.

    Raises the `Failure` that the child found, or that its end means.
    """
    if status == -signal.SIGXCPU:
        detail = f"reading the archive took more than {limits.cpu} seconds of processor time; send fewer, smaller files"
        raise UploadTooSlow(detail, limit="cpu", allowed=limits.cpu)
    if status != 0:
        raise Failure("the archive's reader ended without an answer; please report this", status=status)
    said = json.loads(answer)
    if "kind" in said:
        raise _FAILURES[said["kind"]](said["detail"], **said["evidence"])
    return SourceTree(
        tuple(
            TreeEntry(path, EntryKind(kind), size, executable, Digest(digest) if digest else None, target)
            for path, kind, size, executable, digest, target in said["entries"]
        )
    )
