"""`bloomery toolchain` as far as it goes without an engine, and the script that asks whether one answers."""

import argparse
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from api.cli import VERBS
from api.client.exits import Exit
from api.commands import toolchain, toolchain_verbs
from daemon.errors import EngineUnavailable
from daemon.toolchains.errors import NoHostToolchain, NoUv

PING = Path(__file__).parents[2] / "deploy/setup/ping.py"


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    toolchain.add_parser(parser.add_subparsers())
    return parser.parse_args(["toolchain", *words])


def test_the_verb_is_listed_as_it_says_itself():
    assert VERBS["toolchain"] == toolchain.SUMMARY


def test_packages_may_be_given_together_and_one_by_one():
    assert parsed("make", "stable", "--with", "a1", "b2", "--with", "c3").packages == ["a1", "b2", "c3"]


@pytest.mark.parametrize(
    "words",
    [
        ("make",),
        ("make", "Stable"),
        ("make", "../x"),
        ("make", "stable", "--with", "Not_a_package"),
        ("make", "stable", "--with", "--refresh"),
        ("make", "stable", "--with", "x;rm"),
        ("make", "stable", "--from-rustup", "stable", "--from-image", "rust:1.95"),
        (),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parsed(*words)
    assert caught.value.code == Exit.USAGE
    assert "usage:" in capsys.readouterr().err


def test_an_engine_that_is_not_there_is_unavailable(tmp_path: Path):
    args = parsed("ls", "--engine", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineUnavailable):
        toolchain.run(args, {"HOME": str(tmp_path)})


def test_an_engine_url_that_is_none_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert toolchain.run(parsed("ls", "--engine", "ssh://host"), {"HOME": str(tmp_path)}) == Exit.USAGE
    assert "ssh://host" in capsys.readouterr().err


def test_the_toolchain_comes_from_the_rustup_home_of_the_environment(tmp_path: Path):
    with pytest.raises(NoHostToolchain, match=str(tmp_path)):
        toolchain.run(parsed("make", "stable"), {"HOME": "/root", "RUSTUP_HOME": str(tmp_path)})


def test_without_uv_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def absent() -> str:
        raise FileNotFoundError("Could not find the uv binary in:\n - /opt/bloomery/bin\n")

    monkeypatch.setattr(toolchain_verbs, "find_uv_bin", absent)
    with pytest.raises(NoUv, match=r"in: - /opt/bloomery/bin"):
        toolchain.run(parsed("make", "stable"), {"HOME": str(tmp_path)})


def test_the_configuration_says_where_the_engine_is(tmp_path: Path):
    config = tmp_path / "config.toml"
    config.write_text(f'[engine]\nurl = "unix://{tmp_path}/configured.sock"\n')
    with pytest.raises(EngineUnavailable, match=r"configured\.sock"):
        toolchain.run(parsed("check", "--config", str(config)), {"HOME": str(tmp_path), "DOCKER_HOST": "unix:///other"})


def test_listing_the_verb_loads_no_engine():
    program = (
        "import sys, api.commands.toolchain; print(sorted({'aiohttp', 'aiodocker', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class Pong(BaseHTTPRequestHandler):
    answer = b"OK"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *words: object) -> None:
        pass


class Other(Pong):
    answer = b"not an engine"


@pytest.fixture(params=[(Pong, 0), (Other, 1)], ids=["an engine", "something else"])
def answering(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, int]]:
    handler, code = request.param
    path = f"{tmp_path}/engine.sock"
    with socketserver.UnixStreamServer(path, handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"unix://{path}", code
        server.shutdown()
        thread.join()


def ping(url: str) -> int:
    return subprocess.run([sys.executable, str(PING)], env={"DOCKER_HOST": url}, check=False).returncode


def test_setup_knows_an_engine_by_its_answer(answering: tuple[str, int]):
    url, code = answering
    assert ping(url) == code


@pytest.mark.parametrize("url", ["unix:///nonexistent.sock", "tcp://127.0.0.1:9"])
def test_setup_knows_that_nothing_answers(url: str):
    assert ping(url) == 1
