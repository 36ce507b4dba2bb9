"""A daemon for one measurement: its own state directory, a free port, ended and cleaned up afterwards."""

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine import CommandFailed, Engine

ROOT = Path(__file__).resolve().parent.parent
BLOOMERY = str(ROOT / ".venv" / "bin" / "bloomery")
_START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Built:
    """One run of `bloomery build`: the seconds of the whole process, and the daemon's record of the build."""

    seconds: float
    record: dict[str, Any]

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage."""
        return {each["stage"]: each["seconds"] for each in self.record["stages"]}

    @property
    def rung(self) -> str:
        """The rung of the reuse ladder."""
        return str(self.record["outcome"]["reuse"]["rung"])


@dataclass(frozen=True, slots=True)
class DaemonProcess:
    """A daemon that runs."""

    pid: int
    url: str
    state: Path
    """Its state directory."""
    ready_after: float
    """Seconds from its start: with a new state directory it first looks into every toolchain image."""
    home: Path
    """HOME of the command line, so that what it remembers of directories is this measurement's alone."""
    log: Path
    """What it has said."""

    def build(self, source: Path, tag: str, *flags: str, expected: str = "") -> Built:
        """Run the command line as a person does; `expected` is the rung without which the figure means nothing.

        Empty where any rung will do.
        """
        seconds, said = self.timed("build", str(source), "--tag", tag, *flags)
        built = Built(seconds, self.get("/v1/builds?limit=1")["builds"][0])
        if expected and built.rung != expected:
            raise CommandFailed(f"the build stood on the rung {built.rung}, not {expected}:\n{said[-4000:]}")
        return built

    def timed(self, *words: str) -> tuple[float, str]:
        """Run a command of the command line; returns the seconds of the whole process, and what it said."""
        environment = {**os.environ, "BLOOMERY_URL": self.url, "XDG_CACHE_HOME": str(self.home)}
        began = time.perf_counter()
        done = subprocess.run([BLOOMERY, *words], env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
        if done.returncode:
            raise CommandFailed(f"bloomery {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return seconds, done.stderr

    def get(self, path: str) -> dict[str, Any]:
        """A JSON answer of the API."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:  # noqa: S310 - our own daemon
            found: dict[str, Any] = json.load(answer)
            return found

    def figure(self, name: str) -> float:
        """A metric without labels, as it is now."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:  # noqa: S310 - our own daemon
            lines = answer.read().decode().splitlines()
        found = [float(line.split()[1]) for line in lines if line.startswith(f"{name} ")]
        if not found:
            raise CommandFailed(f"the daemon has no metric {name}")
        return found[0]

    def output(self, build: str) -> str:
        """What the steps of a build printed."""
        asked = urllib.request.Request(  # noqa: S310 - our own daemon
            f"{self.url}/v1/builds/{build}/events?follow=false", headers={"Accept": "text/plain"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - our own daemon
            text: bytes = answer.read()
            return text.decode()


@contextmanager
def daemon(engine: Engine, network: str = "bridge") -> Iterator[DaemonProcess]:
    """A daemon with an empty state directory; the workspaces, layers and untagged images that it made go with it."""
    with tempfile.TemporaryDirectory(prefix="bloomery-bench-") as folder:
        state = Path(folder, "state")
        settings = Path(folder, "config.toml")
        settings.write_text(f'[network]\nmode = "{network}"\n[verify]\nrate = 0\n', encoding="utf-8")
        log = Path(folder, "daemon.log")
        command = [BLOOMERY, "serve", "--config", str(settings), "--state-dir", str(state), "--listen", "127.0.0.1:0"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--engine", engine.url], env=engine.environment, stdout=output, stderr=subprocess.STDOUT
            )
        began = time.perf_counter()
        try:
            url = _address(state / "address", process, log)
            _await_ready(url)
            ready_after = time.perf_counter() - began
            yield DaemonProcess(process.pid, url, state, ready_after, Path(folder, "home"), log)
        finally:
            process.terminate()
            process.wait(timeout=120)
            if (state / "bloomery.sqlite").exists():
                instance, built = made_in(state)
                engine.remove_labelled(f"bloomery.instance={instance}")
                engine.remove_untagged(built)


def made_in(state: Path) -> tuple[str, list[str]]:
    """What the daemon labels its containers and layers with, and the ids of the images that it built.

    Others may use the engine at the same time.
    """
    images = "SELECT DISTINCT json_extract(value, '$.image_id') FROM builds, json_each(outcome, '$.images')"
    with closing(sqlite3.connect(state / "bloomery.sqlite")) as tables:
        (instance,) = tables.execute("SELECT value FROM identity WHERE name = 'instance'").fetchone()
        return str(instance), [str(image) for (image,) in tables.execute(images)]


def _address(file: Path, process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists():
            return file.read_text(encoding="utf-8").strip()
        time.sleep(0.02)
    raise CommandFailed(f"the daemon did not start:\n{log.read_text(encoding='utf-8')}")


def _await_ready(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=30):  # noqa: S310 - our own daemon
                return
        except urllib.error.HTTPError as refused:
            if time.monotonic() > deadline:
                raise CommandFailed(f"the daemon is not ready: {refused.read().decode()}") from refused
        time.sleep(0.1)


def copied(source: Path, to: Path) -> Path:
    """A copy of a project that a measurement may change."""
    return Path(shutil.copytree(source, to, ignore=shutil.ignore_patterns("target", ".git")))
