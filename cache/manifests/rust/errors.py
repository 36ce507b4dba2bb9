"""What can be wrong with a cargo project, or with what was asked of it, one class per cause."""

from cache.errors import Blame, Failure


class LockMismatch(Failure):
    """`Cargo.lock` does not fit the manifests, and builds are `--locked`."""

    kind = "lock_mismatch"
    title = "Cargo.lock does not fit the manifests"
    blame = Blame.SOURCE


class UnknownBinary(Failure):
    """The project has no binary of this name, or none at all; `evidence["binaries"]` lists those there are."""

    kind = "unknown_binary"
    title = "There is no such binary"
    blame = Blame.REQUEST


class AmbiguousBinary(Failure):
    """More than one binary could be meant; `evidence["binaries"]` lists them."""

    kind = "ambiguous_binary"
    title = "More than one binary could be meant"
    blame = Blame.REQUEST


class UnknownFeature(Failure):
    """No selected package has this feature; `evidence["features"]` lists those there are."""

    kind = "unknown_feature"
    title = "There is no such feature"
    blame = Blame.REQUEST


class MissingFeature(Failure):
    """The binary requires features that are not turned on; `evidence["required"]` lists them."""

    kind = "missing_feature"
    title = "The binary requires features that are off"
    blame = Blame.REQUEST


class UnknownProfile(Failure):
    """Neither cargo nor the project defines this profile; `evidence["profiles"]` lists those there are."""

    kind = "unknown_profile"
    title = "There is no such profile"
    blame = Blame.REQUEST
