"""What assembling an image is given in tests: a toolchain, and an index that forgets with the test."""

from daemon.toolchains.toolchain import Toolchain, ToolchainFacts


class MemoryIndex:
    """`LibraryIndex` in memory."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], bytes] = {}

    async def library(self, image_id: str, path: str) -> bytes | None:
        return self.records.get((image_id, path))

    async def record_library(self, image_id: str, path: str, value: bytes) -> None:
        self.records[image_id, path] = value


def toolchain(image_id: str, *, sysroot_digests: tuple[str, ...] = ()) -> Toolchain:
    """A toolchain by the name `stable`, of which nothing but its image matters."""
    facts = ToolchainFacts(
        image_id=image_id,
        rustc_version_verbose="rustc 1.95.0",
        release="1.95.0",
        commit_date="",
        channel_date="",
        host="x86_64-unknown-linux-gnu",
        cargo_version="cargo 1.95.0",
        sysroot="/usr/local/rust",
        libc="glibc 2.36",
        artefact_mtime=0,
        sysroot_digests=sysroot_digests,
    )
    return Toolchain(name="stable", image_reference="bloomery/toolchain:stable", facts=facts)
