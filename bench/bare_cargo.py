"""The other side of the cold build: `cargo build --release` in a container of the same toolchain image, nothing else.

The same engine, limits and network as our sandboxes; CARGO_HOME and target directory are as empty as ours.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.engine import Engine

_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CA = "/ca.pem"


@contextmanager
def _container(engine: Engine, *arguments: str) -> Iterator[str]:
    made = engine.docker("create", *arguments)
    try:
        yield made
    finally:
        engine.docker("rm", "--force", "--volumes", made)


def cold_build(engine: Engine, source: Path, toolchain: str, ca_bundle: Path, network: str) -> float:
    """Seconds from creating the container to cargo's end; the copying in of the sources is part of them."""
    environment = {
        "CARGO_HOME": "/cargo",
        "CARGO_TARGET_DIR": "/target",
        "CARGO_HTTP_CAINFO": _CA,
        "SSL_CERT_FILE": _CA,
    }
    environment |= {name: os.environ[name] for name in _PROXIES if name in os.environ}
    flags = [flag for name, value in environment.items() for flag in ("--env", f"{name}={value}")]
    limits = ["--cpus", "2", "--memory", "4g", "--network", network]
    command = ["cargo", "build", "--release", "--locked"]
    began = time.perf_counter()
    with _container(engine, *limits, *flags, "--workdir", "/work", toolchain, *command) as container:
        engine.docker("cp", f"{ca_bundle.resolve()}", f"{container}:{_CA}")
        engine.docker("cp", f"{source}/.", f"{container}:/work")
        engine.docker("start", "--attach", container)
        return time.perf_counter() - began
