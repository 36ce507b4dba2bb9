import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli import command
from api.client.console import Console, Style
from tests.fakes.daemon import FakeDaemon
from tests.fakes.terminal import Cli, Ran, Start

_HEARS_INTERRUPTS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs tests in the background has it ignored
from api.__main__ import main
sys.exit(main())
"""
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with FakeDaemon() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small source tree, last written long ago."""
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "Cargo.toml").write_text('[package]\nname = "users"\n')
    (root / "src/main.rs").write_text("fn main() {}\n")
    return root


@pytest.fixture
def environment(daemon: FakeDaemon, tmp_path: Path) -> dict[str, str]:
    return {"BLOOMERY_URL": daemon.url, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


@pytest.fixture
def cli(environment: dict[str, str]) -> Cli:
    """The command line in this process; `style` is what its stderr can show."""

    def run(*arguments: str | Path, style: Style = Style.PLAIN, **more: str) -> Ran:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", newline=""), io.StringIO()
        console = Console(out, err, environment | more, style)
        try:
            code = command([str(each) for each in arguments], console)
        except SystemExit as left:
            code = int(left.code or 0)
        out.seek(0)
        return Ran(code, out.read(), err.getvalue())

    return run


@pytest.fixture
def process(environment: dict[str, str]) -> Start:
    """The command line as a process of its own."""

    def start(*arguments: str | Path, **more: str) -> "subprocess.Popen[str]":
        passed = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "COVERAGE"))}
        return subprocess.Popen(
            [sys.executable, "-c", _HEARS_INTERRUPTS, *map(str, arguments)],
            cwd=ROOT,
            env=passed | environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
