"""The whole environment of every step: the daemon builds it, nothing is inherited, and it is part of the unit key."""

from collections.abc import Mapping

from cache.manifests.rust.config import CargoConfig
from daemon.builds import Link
from daemon.ecosystems.step import SOURCE_TIME
from daemon.toolchains.toolchain import ToolchainFacts

RECIPE = "1"
"""Raised when steps change in a way that makes older layers unfit."""
WORK = "/work"
TARGET = "/target"
CARGO_HOME = "/cargo"
BUILDER = 10001
STATIC_TRIPLE = "x86_64-unknown-linux-gnu"


def environment(facts: ToolchainFacts, config: CargoConfig, link: Link) -> Mapping[str, str]:
    """The environment of cook and compile."""
    values = {
        "CARGO_HOME": CARGO_HOME,
        "CARGO_INCREMENTAL": "0",
        "CARGO_NET_OFFLINE": "true",
        "CARGO_TARGET_DIR": TARGET,
        "CARGO_TERM_PROGRESS_WHEN": "never",
        "CI": "true",
        "HOME": "/tmp",  # noqa: S108 - the sandbox's own tmpfs
        "LANG": "C.UTF-8",
        "PATH": path(facts),
        "SOURCE_DATE_EPOCH": str(SOURCE_TIME),
        "TZ": "UTC",
    }
    if link is Link.STATIC:
        flags = [*config.rustflags, "-C", "target-feature=+crt-static"]
        values |= {
            "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
            "LIBPQ_STATIC": "1",
            "OPENSSL_STATIC": "1",
            "PKG_CONFIG_ALL_STATIC": "1",
        }
    return values


def path(facts: ToolchainFacts) -> str:
    """The sysroot's own programs first: rustup's proxies would read the project's toolchain file."""
    return f"{facts.sysroot}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def constant_paths() -> str:
    """The paths that every artefact has in it."""
    return f"{WORK} {TARGET} {CARGO_HOME}"
