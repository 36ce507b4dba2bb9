"""Paths and variables of every Python sandbox: made by the daemon, nothing is inherited, and they are in the key."""

from collections.abc import Mapping

from daemon.ecosystems.step import SOURCE_TIME
from daemon.image.interpreter import ENVIRONMENT
from daemon.toolchains.toolchain import PythonFacts

RECIPE = "2"
"""Raised when steps change in a way that makes what was installed before unfit."""
WORK = "/work"
BUILDER = 10001
FILES = "/target/files"
"""Wheels and sdists."""
INSTALLED = "/target/env.tar"
"""The environment, once all is installed: as one file, for it may have been in memory."""
CACHE = "/target/uv"
"""uv's own."""


def environment(python: PythonFacts) -> Mapping[str, str]:
    """The variables of every step."""
    return {
        "CI": "true",
        "HOME": "/tmp",  # noqa: S108 - the sandbox's own tmpfs
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(SOURCE_TIME),
        "TZ": "UTC",
        "UV_CACHE_DIR": CACHE,
        "UV_LINK_MODE": "hardlink",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON": python.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }


def site_packages(python: PythonFacts) -> str:
    """Where packages lie in an environment."""
    minor = ".".join(python.version.split(".")[:2])
    return f"{ENVIRONMENT}/lib/python{minor}/site-packages"


def constant_paths() -> str:
    """The paths that installed files have in them."""
    return f"{ENVIRONMENT} {FILES}"
