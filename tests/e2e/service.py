"""A daemon as a process of its own, asked as any HTTP client would ask it."""

import http.client
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.fakes.crates import Files, archive
from tests.fakes.docker import docker

ROOT = Path(__file__).resolve().parents[2]
FINAL = {"succeeded", "failed", "cancelled"}
_PATIENCE = 180.0
_CURL = {"User-Agent": "curl/8", "Accept": "*/*"}

Json = dict[str, Any]


def until(condition: Callable[[], Any], what: str, seconds: float = _PATIENCE) -> Any:
    """What the condition gives once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:g} s")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """A state directory, and the daemon that works in it while it runs."""

    def __init__(self, place: Path, settings: str = "") -> None:
        self.place = place
        self.state = place / "state"
        self.config = place / "bloomery.toml"
        self.config.write_text(settings)
        self.log = place / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=ROOT)
        address = self.state / "address"
        self.url = until(lambda: self._listening(address), "the daemon listens", 60)

    def command(self) -> list[str]:
        serve = [sys.executable, "-m", "api", "serve", "--config", str(self.config)]
        return [*serve, "--state-dir", str(self.state), "--listen", "127.0.0.1:0"]

    def _listening(self, address: Path) -> str:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return address.read_text().strip() if address.exists() else ""

    def terminate(self) -> None:
        """SIGTERM, and nothing more."""
        assert self._process is not None
        self._process.terminate()

    def left(self) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None
        code = self._process.wait(_PATIENCE)
        self._process = None
        return code

    def kill(self) -> None:
        """SIGKILL: as a crash; the address stays, as after a crash."""
        assert self._process is not None
        self._process.kill()
        self.left()
        (self.state / "address").unlink(missing_ok=True)

    def stop(self) -> None:
        """At the end of the tests, whatever state it is in."""
        if self._process is not None:
            self.terminate()
            self.left()

    @property
    def instance(self) -> str:
        with closing(sqlite3.connect(self.state / "bloomery.sqlite")) as database:
            return str(database.execute("SELECT value FROM identity WHERE name = 'instance'").fetchone()[0])

    def ask(
        self, method: str, path: str, body: bytes | Json | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request with curl's headers, or JSON for a dictionary; the answer as it came, whatever its status."""
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        kind = "application/json" if isinstance(body, dict) else "application/x-www-form-urlencoded"
        all_headers = {**_CURL, **({"Content-Type": kind} if body is not None else {}), **(headers or {})}
        with closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=_PATIENCE)) as connection:
            connection.request(method, path, sent, all_headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def post(self, files: Files, headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
        """`curl --data-binary @src.tar.gz …/v1/builds?…`."""
        return self.ask("POST", f"/v1/builds?{urlencode(query, doseq=True)}", archive(files), headers)

    def accept(self, files: Files, **query: Any) -> Json:
        """The record of a build that was accepted."""
        answer = self.post(files, **query)
        assert answer.status == 202, answer.text
        record: Json = answer.json
        return record

    def build(self, files: Files, **query: Any) -> Json:
        """The record of a build that has succeeded."""
        ended = self.ended(self.accept(files, **query)["id"])
        assert ended["state"] == "succeeded", ended["failure"]
        return ended

    def tree(self, files: Files) -> str:
        """The tree that this archive makes, by way of a build that cannot be: nothing is compiled."""
        record = self.accept(files, binary="no-such-binary")
        self.ended(record["id"])
        return str(record["request"]["tree"])

    def build_json(self, tree: str, **body: Any) -> Json:
        """The same by a JSON body, of a tree that is there."""
        answer = self.ask("POST", "/v1/builds", {"tree": tree, **body})
        assert answer.status in {200, 202}, answer.text
        return self.ended(answer.json["id"])

    def record(self, build: str) -> Json:
        record: Json = self.ask("GET", f"/v1/builds/{build}").json
        return record

    def ended(self, build: str) -> Json:
        """The record of a build at its end."""

        def final() -> Json | None:
            record = self.record(build)
            return record if record["state"] in FINAL else None

        found: Json = until(final, f"build {build} ends")
        return found

    def compiling(self, build: str) -> Json:
        """Wait for the compile stage of a build, and until its container runs."""

        def begun() -> bool:
            events = self.ask("GET", f"/v1/builds/{build}/events?follow=false").text
            return "== compile" in events and bool(self.containers("--filter", "status=running"))

        until(begun, f"build {build} compiles")
        return self.record(build)

    def cli(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command line against this daemon."""
        whole = {**os.environ, "BLOOMERY_URL": self.url, "PYTHONPATH": str(ROOT), **environment}
        command = [sys.executable, "-m", "api", *arguments]
        return subprocess.run(command, env=whole, cwd=self.place, capture_output=True, text=True, check=False)

    def containers(self, *filters: str) -> list[str]:
        """The ids of this instance's containers that are of builds; what is looked up behind answers comes and goes."""
        mine = ("--filter", f"label=bloomery.instance={self.instance}", "--filter", "label=bloomery.build")
        return docker("ps", "--all", "--quiet", "--no-trunc", *mine, *filters).split()

    def workspaces(self) -> list[str]:
        """The ids of the containers that are on record as a lineage's workspace."""
        with closing(sqlite3.connect(self.state / "bloomery.sqlite")) as database:
            return [str(sandbox) for (sandbox,) in database.execute("SELECT sandbox FROM workspaces")]

    def strays(self) -> list[str]:
        """The ids of the containers that are no workspace."""
        return sorted({*self.containers()} - {*self.workspaces()})

    def metrics(self) -> dict[str, float]:
        """Each sample by its name and labels as they are written."""
        lines = [line for line in self.ask("GET", "/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Started, and stopped at the end."""
    service.start()
    try:
        yield service
    finally:
        service.stop()


def write(files: Files, directory: Path) -> Path:
    """The files in a directory."""
    for path, text in files.items():
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return directory
