"""A Debian host as far as making root file systems asks it: its apt, and an mmdebstrap that notes how it was called."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from daemon.toolchains import debian
from daemon.toolchains.debian import Cached

TARGETS = """\
Debian\thttp://user:secret@mirror.example/debian/\tbookworm\tmain
Debian\thttp://user:secret@mirror.example/debian/\tbookworm\tcontrib
Debian\thttp://user:secret@mirror.example/debian/\tbookworm\tmain
Debian\thttp://mirror.example/security/\tbookworm-security\tmain
Docker\thttps://download.example/linux\tbookworm\tstable
"""
DUMP = """\
Acquire "";
Acquire::cdrom::mount "/media/cdrom/";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::CAInfo "/etc/ssl/ours.pem";
Acquire::Check-Valid-Until "false";
Acquire::http "";
"""


@dataclass
class Host:
    """A host whose apt and mmdebstrap are scripts that note how they were called."""

    directory: Path
    lines: list[str] = field(default_factory=list)

    @classmethod
    def in_directory(cls, directory: Path) -> "Host":
        (directory / "root" / "usr" / "bin").mkdir(parents=True)
        (directory / "root" / "usr" / "bin" / "cc").write_text("a compiler")
        (directory / "targets").write_text(TARGETS)
        (directory / "dump").write_text(DUMP)
        host = cls(directory)
        host.program("apt-get", f"cat {directory}/targets")
        host.program("apt-config", f"cat {directory}/dump")
        host.program(
            "mmdebstrap",
            f"echo \"$*\" >> {directory}/calls\necho 'I: creating tarball...' >&2\ntar -C {directory}/root -c usr",
        )
        return host

    def program(self, name: str, script: str) -> None:
        path = self.directory / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.directory}/bin:{os.environ['PATH']}", "HOME": str(self.directory)}

    @property
    def debootstraps(self) -> list[str]:
        return (self.directory / "calls").read_text().splitlines()

    async def rootfs(self, *packages: str, cached: Cached = Cached.USE) -> Path:
        return await debian.rootfs(
            self.directory / "cache", packages, environment=self.environment, cached=cached, progress=self.lines.append
        )
