"""The sessions that the documents show, run as they stand against a real daemon, whose output they show loosely.

Loosely: the lines that are shown come in this order, `…` stands for any number of lines, and numbers, ids and the width
of columns may differ. An id that is shown stands for the one that came in its place, also in later commands.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import Leftovers
from tests.docs.pages import ROOT, Page, pages

pytestmark = pytest.mark.engine

WITH_SESSIONS = [page for page in pages() if any(fence.runs for fence in page.fences)]
ID = re.compile(r"\b[0-9a-f]{16}\b")
NUMBER = re.compile(r"\d[\d,.]*(?: m \d\d s| ms| s| k?B| MB)?")
ANY = "…"


@dataclass
class Session:
    """A shell in a directory of its own, where the examples are, with the command line and a daemon to ask."""

    directory: Path
    environment: dict[str, str]
    ids: dict[str, str] = field(default_factory=dict)
    """What was shown, and what came in its place."""

    def run(self, command: str) -> list[str]:
        for shown, came in self.ids.items():
            command = command.replace(shown, came)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout.splitlines()

    def compare(self, shown: list[str], came: list[str]) -> None:
        """Find each shown line, in order; without a `…` between them, one right after the other."""
        at, free = 0, False
        for line in shown:
            if line.strip() == ANY:
                free = True
                continue
            places = range(at, len(came)) if free else range(at, min(at + 1, len(came)))
            found = next((place for place in places if loose(came[place]) == loose(line)), None)
            assert found is not None, f"`{line}` is shown, and this came:\n" + "\n".join(came)
            self.ids.update(zip(ID.findall(line), ID.findall(came[found]), strict=True))
            at, free = found + 1, False
        assert free or at == len(came), "more came than is shown:\n" + "\n".join(came[at:])


def loose(line: str) -> str:
    return " ".join(NUMBER.sub("N", ID.sub("ID", line)).split())


def steps(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with the output that is shown."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield command, shown


@pytest.fixture
def session(tmp_path: Path, engine: str, leftovers: Leftovers) -> Iterator[Session]:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("target"))
    state, programs = tmp_path / "state", Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "NO_COLOR": "1",
    }
    with (tmp_path / "log").open("wb") as log:
        command = [programs / "bloomery", "serve", "--state-dir", state, "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stderr=log, env=environment)
    try:
        end = time.monotonic() + 60
        while not (state / "address").exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield Session(tmp_path, environment | {"BLOOMERY_URL": (state / "address").read_text().strip()})
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        with closing(sqlite3.connect(state / "bloomery.sqlite")) as database:
            (instance,) = database.execute("SELECT value FROM identity WHERE name = 'instance'").fetchone()
            leftovers.instances.add(instance)
            rows = database.execute("SELECT json_extract(outcome, '$.images[0].image_id') FROM builds").fetchall()
            leftovers.images |= {image for (image,) in rows if image}


@pytest.mark.parametrize("shown", WITH_SESSIONS, ids=lambda page: page.name)
def test_a_session_that_is_shown_comes_out_so(shown: Page, session: Session):
    for fence in shown.fences:
        if fence.runs:
            for command, output in steps(fence.text):
                session.compare(output, session.run(command))


def test_there_is_a_session():
    assert [page.name for page in WITH_SESSIONS] == ["docs/building.md"]


def test_what_comes_out_otherwise_is_found(tmp_path: Path):
    session = Session(tmp_path, dict(os.environ))
    session.compare(["one 1.5 s", ANY, "build 0123456789abcdef"], ["one 23 ms", "more", "build fedcba9876543210"])
    assert session.run("echo 0123456789abcdef") == ["fedcba9876543210"]
    for shown, came in [(["a", "c"], ["a", "b", "c"]), (["a"], ["a", "b"]), (["a", ANY, "c"], ["c", "a"])]:
        with pytest.raises(AssertionError):
            session.compare(shown, came)
