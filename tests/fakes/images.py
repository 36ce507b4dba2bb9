"""What assembling an image is given in tests: a toolchain, and an index that forgets with the test."""

from collections.abc import Mapping
from pathlib import Path

from daemon.tarball import Member
from daemon.toolchains.toolchain import Toolchain, ToolchainFacts
from tests.fakes.engine import FakeEngine, file


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


HOST_FILES = (
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "/etc/ssl/certs/ca-certificates.crt",
)


def host_toolchain(engine: FakeEngine, more: Mapping[str, Member] | None = None, *, without: str = "") -> Toolchain:
    """An image of the fake engine with this machine's C library, and more; one file may be left out."""
    files = {path: file(Path(path).read_bytes(), 0o755) for path in HOST_FILES if path != without}
    files["/etc/ld.so.conf"] = file(b"include /etc/ld.so.conf.d/*.conf\n")
    files["/etc/ld.so.conf.d/libc.conf"] = file(b"# libc default configuration\n/usr/local/lib\n")
    return toolchain(engine.add_image("bloomery/toolchain:stable", {**files, **(more or {})}).id)
