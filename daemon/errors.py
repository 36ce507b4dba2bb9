"""One class per cause of failure, grouped by what the caller should do.

Failures that `cache` can find stand there (`cache.archive_errors`, `cache.manifests.rust.errors`, …); the root and the
groups' meaning are in `cache.errors`. docs/errors.md lists every kind, and a test holds that.
"""

from cache.errors import Blame, Failure
from cache.errors import NoSpace as NoSpace  # noqa: PLC0414 - handed on: the store finds it too

# --- the request's


class UnknownTree(Failure):
    """The request names a tree that the daemon does not hold (any more): upload it."""

    kind = "unknown_tree"
    title = "This source tree is not here"
    blame = Blame.REQUEST


class MissingBlobs(Failure):
    """A tree was named before all its files were uploaded; `evidence["missing"]` lists digests."""

    kind = "missing_blobs"
    title = "Files of this tree have not been uploaded"
    blame = Blame.REQUEST


class BlobMismatch(Failure):
    """An uploaded blob is not the content that its digest names."""

    kind = "blob_mismatch"
    title = "The content is not what its digest says"
    blame = Blame.REQUEST


class IdempotencyMismatch(Failure):
    """One Idempotency-Key came with two different requests."""

    kind = "idempotency_mismatch"
    title = "This Idempotency-Key belongs to another request"
    blame = Blame.REQUEST


class UnknownBuild(Failure):
    """No build has this id."""

    kind = "unknown_build"
    title = "There is no such build"
    blame = Blame.REQUEST


class NotReady(Failure):
    """The build has not come to the thing asked for (an image, symbols, a lock), or never will."""

    kind = "not_ready"
    title = "The build does not have this"
    blame = Blame.REQUEST


class UnknownToolchain(Failure):
    """The source or the request picks a toolchain that is not offered; `evidence["offered"]` lists those that are."""

    kind = "unknown_toolchain"
    title = "This toolchain is not offered here"
    blame = Blame.REQUEST


class ToolchainWithoutPython(Failure):
    """A Python project picks a toolchain that has no Python; `evidence["offered"]` has each one's version, or null."""

    kind = "toolchain_without_python"
    title = "This toolchain has no Python"
    blame = Blame.REQUEST


class BadTag(Failure):
    """A tag that no engine would take."""

    kind = "bad_tag"
    title = "This is no image reference"
    blame = Blame.REQUEST


class NotPushable(Failure):
    """An image is to be pushed, and its tag names no registry."""

    kind = "not_pushable"
    title = "This reference names no registry"
    blame = Blame.REQUEST


class PushDenied(Failure):
    """A registry does not let the daemon push there: no login, a wrong one, or no right to this repository."""

    kind = "push_denied"
    title = "The registry does not let the daemon push there"
    blame = Blame.REQUEST


class NoToolchain(Failure):
    """No toolchain is offered at all, or none that has what the project's language needs."""

    kind = "no_toolchain"
    title = "No toolchain is offered yet"
    blame = Blame.INFRASTRUCTURE


# --- the source's


class NoFittingPython(Failure):
    """No offered toolchain has a Python that the project allows; `evidence["offered"]` has each one's version."""

    kind = "no_fitting_python"
    title = "No toolchain has a Python that the project allows"
    blame = Blame.SOURCE


class CompileFailed(Failure):
    """The compiler refused the source; the diagnostics say where."""

    kind = "compile_failed"
    title = "The source does not compile"
    blame = Blame.SOURCE


class DependencyFailed(Failure):
    """A dependency does not compile or its build script failed."""

    kind = "dependency_failed"
    title = "A dependency does not compile"
    blame = Blame.SOURCE


class FetchFailed(Failure):
    """What the lock names could not be got: no such version, no such repository, other content."""

    kind = "fetch_failed"
    title = "A dependency could not be fetched"
    blame = Blame.SOURCE


class Unresolvable(Failure):
    """No versions meet all requirements, or nobody can tell without running a package's code; the words are uv's."""

    kind = "unresolvable"
    title = "The requirements cannot be met together"
    blame = Blame.SOURCE


class MissingLibrary(Failure):
    """A system library or tool is not in the toolchain image; `evidence["package"]` is Debian's, where known."""

    kind = "missing_library"
    title = "The toolchain image lacks a library or tool"
    blame = Blame.SOURCE


class NotStatic(Failure):
    """`link = "static"`, and a library exists only as a shared object."""

    kind = "not_static"
    title = "This cannot be linked statically"
    blame = Blame.SOURCE


class MissingAsset(Failure):
    """`[image] include` names what the tree does not hold."""

    kind = "missing_asset"
    title = "A file to include does not exist"
    blame = Blame.SOURCE


class BadOutput(Failure):
    """What the build left as its binary is not one: no ELF, too large, for another machine."""

    kind = "bad_output"
    title = "The build's output is not a binary that can be shipped"
    blame = Blame.SOURCE


class CheckFailed(Failure):
    """The image is not what was promised, or its `[check] command` failed."""

    kind = "check_failed"
    title = "The image did not pass its check"
    blame = Blame.SOURCE


# --- a limit's


class QueueFull(Failure):
    """As many builds wait as may wait."""

    kind = "queue_full"
    title = "The queue is full"
    blame = Blame.LIMIT


class Draining(Failure):
    """The daemon is shutting down."""

    kind = "draining"
    title = "The daemon is shutting down"
    blame = Blame.INFRASTRUCTURE


class DeadlinePassed(Failure):
    """A step ran longer than it may, or was silent for longer than it may."""

    kind = "deadline"
    title = "A step took too long"
    blame = Blame.LIMIT


class OutOfMemory(Failure):
    """The kernel ended a step that wanted more memory than it may have."""

    kind = "out_of_memory"
    title = "A step needed more memory than it may have"
    blame = Blame.LIMIT


class OutputTooLarge(Failure):
    """A step's output is larger than it may be."""

    kind = "output_too_large"
    title = "A step's output is too large"
    blame = Blame.LIMIT


# --- the infrastructure's


class EngineUnavailable(Failure):
    """The container engine does not answer."""

    kind = "engine_unavailable"
    title = "The container engine does not answer"


class EngineRefused(Failure):
    """The container engine answered with an error that none of our requests should cause."""

    kind = "engine_refused"
    title = "The container engine refused a request"


class StillConnected(Failure):
    """A sandbox that was taken off its network had one in its next run; the step ended before it began."""

    kind = "still_connected"
    title = "A sandbox could not be taken off its network"


class ImageGone(Failure):
    """An image that a build needs is not in the engine (any more)."""

    kind = "image_gone"
    title = "An image is gone from the engine"


class RegistryUnreachable(Failure):
    """The fetch step could not reach a registry or a git repository, or it had a fault of its own."""

    kind = "registry_unreachable"
    title = "A registry or repository cannot be reached"


class PushFailed(Failure):
    """A registry did not take an image: it cannot be reached, has a fault of its own, or refuses what is right."""

    kind = "push_failed"
    title = "An image could not be pushed"


class StoredFileDamaged(Failure):
    """A file that the daemon kept is damaged or gone; it is dropped, so that it can be had again."""

    kind = "stored_file_damaged"
    title = "A file that was kept is damaged"


class SandboxGone(Failure):
    """A container was removed or killed from outside while its step ran."""

    kind = "sandbox_gone"
    title = "A build's container was taken away"


class GroundRevoked(Failure):
    """What a build had reused was revoked while it compiled: it begins again without."""

    kind = "ground_revoked"
    title = "What the build had reused was revoked"


class Interrupted(Failure):
    """The daemon was ended in the middle of the build more often than it tries again."""

    kind = "interrupted"
    title = "The build was interrupted too often"
