"""What can go wrong when a toolchain image is made or looked at."""

from cache.errors import Blame, Failure


class BadToolchain(Failure):
    """An image cannot serve as a toolchain; `evidence["lacks"]` lists what it has not."""

    kind = "bad_toolchain"
    title = "This image cannot serve as a toolchain"


class NoHostToolchain(Failure):
    """The host's rustup has no such toolchain; `evidence["offered"]` lists those it has."""

    kind = "no_host_toolchain"
    title = "The host has no such Rust toolchain"
    blame = Blame.REQUEST


class NoUv(Failure):
    """The program uv, which toolchain images hold, is not installed beside Bloomery."""

    kind = "no_uv"
    title = "The program uv is not installed"


class RootfsFailed(Failure):
    """Debian's packages could not be made into a root file system."""

    kind = "rootfs_failed"
    title = "The Debian root file system could not be made"


class MakeFailed(Failure):
    """The step that turns an image into a toolchain image failed."""

    kind = "toolchain_make_failed"
    title = "The toolchain image could not be made"
