"""Debian's docker-registry as a process of its own, on loopback; what real pushes are tested against."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PROGRAM = "docker-registry"


@contextmanager
def debian_registry(directory: Path) -> Iterator[str]:
    """Its `host:port`; a test that needs it fails where it is not installed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}},
        "http": {"addr": address},
    }
    file = directory / "registry.yml"
    file.write_text(json.dumps(settings))  # JSON is YAML
    try:
        process = subprocess.Popen([_PROGRAM, "serve", str(file)])
    except FileNotFoundError:
        pytest.fail(f"{_PROGRAM} is not installed, and this test pushes to it: run `make registry`")
    try:
        until = time.monotonic() + 20
        while not _answers(address):
            assert process.poll() is None, "the registry ended before it answered"
            assert time.monotonic() < until, "the registry does not answer"
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/v2/", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
