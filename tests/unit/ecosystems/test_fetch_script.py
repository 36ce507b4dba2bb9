"""The fetch step's script, run by a shell with a cargo made of paper: it tells what came from what was there."""

import os
import subprocess
from pathlib import Path

import pytest

from daemon.ecosystems.rust.environment import CARGO_HOME, WORK
from daemon.ecosystems.rust.steps import BROUGHT, fetch_script

HOME = "index.example-1"


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    for place in ("work", "bin", f"cargo/registry/cache/{HOME}", f"cargo/registry/index/{HOME}/.cache"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / f"cargo/registry/cache/{HOME}/kept-1.0.0.crate").write_text("kept")
    (tmp_path / f"cargo/registry/index/{HOME}/.cache/kept").write_text("old entry")
    (tmp_path / f"cargo/registry/index/{HOME}/.cache/same").write_text("entry")
    return tmp_path


def fetch(sandbox: Path, cargo: str) -> tuple[int, set[str]]:
    """Run it; returns how it ended, and what it left as brought, with its content."""
    program = sandbox / "bin" / "cargo"
    program.write_text(f"#!/bin/sh\nset -e\nsleep 0.02\ncd {sandbox}/cargo/registry\n{cargo}\n")
    program.chmod(0o755)
    script = fetch_script("", "x86_64-unknown-linux-gnu", 0)
    for place in (CARGO_HOME, WORK):
        script = script.replace(place, f"{sandbox}{place}")
    environment = {"PATH": f"{sandbox}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script], env=environment, check=False)
    brought = sandbox / BROUGHT.lstrip("/")
    files = (path for path in brought.rglob("*") if path.is_file())
    return done.returncode, {f"{path.relative_to(brought)}: {path.read_text()}" for path in files}


def test_of_what_was_there_only_that_is_brought_which_was_written_anew(sandbox: Path):
    cargo = f"echo -n new > cache/{HOME}/new-1.0.0.crate; echo -n 'new entry' > index/{HOME}/.cache/kept"

    code, brought = fetch(sandbox, cargo)

    assert code == 0
    assert brought == {f"cache/{HOME}/new-1.0.0.crate: new", f"index/{HOME}/.cache/kept: new entry"}


def test_a_file_that_takes_another_s_place_is_brought(sandbox: Path):
    cargo = f"echo -n odd > ../odd; touch -d @1 ../odd; mv ../odd cache/{HOME}/kept-1.0.0.crate"

    assert fetch(sandbox, cargo) == (0, {f"cache/{HOME}/kept-1.0.0.crate: odd"})


def test_a_fetch_that_brings_nothing_ends_well(sandbox: Path):
    assert fetch(sandbox, "true") == (0, set())


def test_where_there_is_no_registry_yet_a_fetch_ends_well(sandbox: Path):
    (sandbox / "cargo/registry").rename(sandbox / "elsewhere")
    (sandbox / "cargo/registry").mkdir()

    assert fetch(sandbox, "true") == (0, set())


def test_a_fetch_that_fails_has_failed(sandbox: Path):
    assert fetch(sandbox, "exit 101") == (101, set())
