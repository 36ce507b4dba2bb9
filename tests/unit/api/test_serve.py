"""The daemon as a process, without an engine: start, refusals to start, and the end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.server import listen_address
from daemon.config_file import ConfigError
from tests.fakes.api import tar_of

ROOT = Path(__file__).parents[3]
CARGO_TOML = b'[package]\nname = "hello"\nversion = "0.1.0"\n'


class Served:
    """A daemon in a process of its own, on a port that was free."""

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self.state = directory / "state"
        self.log = directory / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api", "serve", "--state-dir", str(self.state), *arguments],
                cwd=ROOT,
                env={**os.environ, "DOCKER_HOST": f"unix://{directory}/no-engine.sock", **environment},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def url(self) -> str:
        self._until((self.state / "address").exists)
        return (self.state / "address").read_text().strip()

    def _until(self, met: Callable[[], bool], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not met():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, Any]:
        request = urllib.request.Request(self.url() + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def build_until_final(self, build: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def final() -> bool:
            found.update(self.ask(f"/v1/builds/{build}")[1])
            return found["state"] in {"succeeded", "failed", "cancelled"}

        self._until(final)
        return found

    def end(self, sent: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(sent)
        return self.process.wait(30)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[Served] = []

    def start(*arguments: str, **environment: str) -> Served:
        given = arguments if "--listen" in arguments else (*arguments, "--listen", "127.0.0.1:0")
        started.append(Served(tmp_path, *given, **environment))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        (tmp_path / "config.toml").write_text(text)
        return str(tmp_path / "config.toml")

    return write


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_starts_without_its_engine_says_so_and_ends_in_order(serve: Serve, sent: signal.Signals):
    daemon = serve()
    assert daemon.ask("/healthz") == (200, {"alive": True})
    status, ready = daemon.ask("/readyz")
    checks = {check["name"]: check["ready"] for check in ready["checks"]}
    assert (status, checks) == (
        503,
        {"lifecycle": True, "engine": False, "disk": True, "queue": True, "toolchains": False},
    )
    assert daemon.end(sent) == 0
    events = [line["event"] for line in daemon.lines() if line["event"] != "request"]
    assert events[0] == "starting"
    assert events[-2:] == ["draining", "ended"]
    assert any(event.startswith("listening on http://127.0.0.1:") for event in events)
    assert "network of the fetch step" in events
    assert not (daemon.state / "address").exists()
    assert not [line for line in daemon.lines() if line["level"] == "error"]


def test_a_build_fails_for_want_of_the_engine_and_the_daemon_goes_on(serve: Serve, config: Callable[[str], str]):
    daemon = serve("--config", config('[builds]\nbackoff = "10 ms"\n'))
    sources = tar_of({"Cargo.toml": CARGO_TOML, "src/main.rs": b"fn main() {}\n"})
    status, accepted = daemon.ask("/v1/builds", sources)
    assert status == 202
    build = daemon.build_until_final(accepted["id"])
    assert (build["state"], build["failure"]["kind"], build["attempt"]) == ("failed", "engine_unavailable", 3)
    assert daemon.ask("/healthz")[0] == 200


def test_what_was_accepted_is_still_there_after_a_restart(serve: Serve, config: Callable[[str], str]):
    settings = config('[builds]\nbackoff = "10 ms"\n')
    daemon = serve("--config", settings)
    headers = {"Idempotency-Key": "k"}
    sources = tar_of({"Cargo.toml": CARGO_TOML})
    accepted = daemon.ask("/v1/builds", sources, **headers)[1]
    daemon.build_until_final(accepted["id"])
    daemon.process.kill()
    daemon.process.wait()
    (daemon.state / "address").unlink()
    again = serve("--config", settings)
    status, build = again.ask("/v1/builds", sources, **headers)
    assert (status, build["id"]) == (200, accepted["id"])


def test_an_unknown_tree_is_refused_at_once(serve: Serve):
    body = json.dumps({"tree": "sha256:" + "a" * 64}).encode()
    status, problem = serve().ask("/v1/builds", body, **{"Content-Type": "application/json"})
    assert (status, problem["kind"]) == (404, "unknown_tree")


def test_with_tokens_only_their_holders_are_served(serve: Serve, config: Callable[[str], str], tmp_path: Path):
    (tmp_path / "ours").write_text("s3cret\n")
    (tmp_path / "theirs").write_text("0ther\n")
    daemon = serve("--config", config(f'[server.tokens]\nours = "{tmp_path}/ours"\ntheirs = "{tmp_path}/theirs"\n'))
    assert daemon.ask("/v1/builds")[0] == 401
    for token in ("s3cret", "0ther"):
        assert daemon.ask("/v1/builds", Authorization=f"Bearer {token}") == (200, {"builds": [], "next": None})
        assert token not in daemon.log.read_text()


def test_two_scopes_with_one_token_stop_the_start(tmp_path: Path, config: Callable[[str], str]):
    (tmp_path / "token").write_text("s3cret\n")
    file = config(f'[server.tokens]\nours = "{tmp_path}/token"\ntheirs = "{tmp_path}/token"\n')
    daemon = Served(tmp_path, "--config", file, "--listen", "127.0.0.1:0")
    assert daemon.process.wait(30) == 2
    assert "a token of its own; ours has the same" in daemon.log.read_text()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("[server]\nlisten = 5\n", 'server.listen = 5: expected a text, such as "…"'),
        ("[server]\nlistne = 'x'\n", "server.listne = 'x': expected a known key: listen (did you mean it?)"),
        ("[server]\nlisten = 'nowhere'\n", "server.listen = 'nowhere': expected HOST:PORT"),
        ("[server.tokens]\na = '/nonexistent'\n", "server.tokens.a = '/nonexistent': expected a file"),
        ("[network]\nca_bundle = '/nonexistent'\n", "network.ca_bundle = '/nonexistent': expected a file"),
        ("[engine]\nurl = 'http://far.example'\n", "engine.url = 'http://far.example': expected unix:///PATH"),
        ("nonsense", "is not TOML"),
    ],
)
def test_a_configuration_that_cannot_be_used_stops_the_start(
    tmp_path: Path, config: Callable[[str], str], settings: str, expected: str
):
    arguments = [] if "listen =" in settings else ["--listen", "127.0.0.1:0"]
    daemon = Served(tmp_path, "--config", config(settings), *arguments)
    assert daemon.process.wait(30) == 2
    assert expected in daemon.log.read_text()


def test_one_state_directory_serves_one_daemon(serve: Serve):
    first = serve()
    first.url()
    second = serve()
    assert second.process.wait(30) == 3
    assert f"process id {first.process.pid}" in first.log.read_text()
    assert first.ask("/healthz")[0] == 200


def test_a_port_that_is_taken_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = Served(tmp_path, "--listen", address)
        assert daemon.process.wait(30) == 3
    assert address in daemon.log.read_text()


def test_an_idle_daemon_is_small(serve: Serve):
    daemon = serve()
    daemon.ask("/openapi.json")
    for line in Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            assert int(line.split()[1]) < 100_000, line


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7878", ("127.0.0.1", 7878)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_an_address_to_listen_on(text: str, address: tuple[str, int]):
    assert listen_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "7878", ":7878", "host:", "host:port", "::1:80", "host:65536", "host:-1", "host:٣"]
)
def test_what_is_no_address_to_listen_on(text: str):
    with pytest.raises(ConfigError):
        listen_address(text)
