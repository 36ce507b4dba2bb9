"""`bloomery compose` with a Compose that only writes down what it was asked, and a daemon that is scripted."""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.daemon import FakeDaemon, failure
from tests.fakes.terminal import Cli, Start

_COMPOSE = """\
#!{python}
import json, os, sys
words = sys.argv[1:]
if os.path.basename(sys.argv[0]) == "docker":
    if words[:1] != ["compose"] or not {plugin}:
        sys.exit(1)
    words = words[1:]
with open({asked!r}, "a") as asked:
    asked.write(json.dumps(words) + "\\n")
if words[-1] == "config":
    sys.stderr.write({refusal!r})
    print(open({document!r}).read())
    sys.exit(1 if {refusal!r} else 0)
print("compose " + " ".join(words))
"""


class Compose:
    """One that is installed in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._asked = directory / "asked"
        self.project = directory / "shop"
        self.plugin = False
        self.refusal = ""
        self.services: dict[str, Any] = {}

    def service(self, name: str, **settings: Any) -> None:
        context = self.project / name
        (context / "src").mkdir(parents=True)
        (context / "Cargo.toml").write_text(f'[package]\nname = "{name}"\n')
        (context / "src/main.rs").write_text("fn main() {}\n")
        self.services[name] = {"build": {"context": str(context)}, **settings}

    def install(self) -> dict[str, str]:
        """What the environment is then."""
        programs = self._directory / "bin"
        programs.mkdir()
        document = self._directory / "document"
        document.write_text(json.dumps({"services": self.services, **({"name": "shop"} if self.plugin else {})}))
        for name in ("docker", "docker-compose"):
            text = _COMPOSE.format(
                python=sys.executable,
                plugin=self.plugin,
                asked=str(self._asked),
                refusal=self.refusal,
                document=str(document),
            )
            (programs / name).write_text(text)
            (programs / name).chmod(stat.S_IRWXU)
        return {"PATH": f"{programs}:{os.environ['PATH']}"}

    @property
    def program(self) -> Path:
        return self._directory / "bin/docker-compose"

    @property
    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in self._asked.read_text().splitlines()]


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    return Compose(tmp_path)


def tags(daemon: FakeDaemon) -> set[str]:
    return {tag for request in daemon.asked for image in request["images"] for tag in image["tags"]}


@pytest.mark.parametrize(("version", "names"), [(2, {"shop-users", "shop-mails"}), (1, {"shop_users", "shop_mails"})])
def test_every_service_is_built_under_the_name_that_this_compose_expects(
    cli: Cli, daemon: FakeDaemon, compose: Compose, version: int, names: set[str]
):
    compose.plugin = version > 1
    compose.service("users")
    compose.service("mails")

    ran = cli("compose", "-f", compose.project / "compose.yaml", "build", **compose.install())

    assert ran.code == 0, ran.err
    assert tags(daemon) == names
    assert ran.out.splitlines() == ["shop/users", "shop/users"]
    assert "Built users" in ran.err
    assert ["-f", str(compose.project / "compose.yaml"), "config"] in compose.asked


def test_only_what_is_named_is_built(cli: Cli, daemon: FakeDaemon, compose: Compose):
    compose.service("users")
    compose.service("mails", image="shop/mails:1")

    assert cli("compose", "-p", "x", "build", "mails", "--push", "--lineage", "next", **compose.install()).code == 0

    assert tags(daemon) == {"shop/mails:1"}
    assert (daemon.asked[-1]["push"], daemon.asked[-1]["lineage"]) == (True, "next")


def test_a_service_that_fails_leaves_the_others_alone_and_is_told_at_the_end(
    cli: Cli, daemon: FakeDaemon, compose: Compose
):
    compose.service("users")
    compose.service("mails")
    daemon.failing = {"mails": failure()}

    ran = cli("compose", "-p", "x", "build", **compose.install())

    assert ran.code == 1
    assert "1 of 2 services failed" in ran.err
    assert "mails: " in ran.err
    assert "Built users" in ran.err


def test_a_daemon_that_is_away_is_nobody_s_source(cli: Cli, compose: Compose):
    compose.service("users")

    ran = cli("compose", "build", BLOOMERY_URL="http://127.0.0.1:9", **compose.install())

    assert ran.code == 3
    assert "users: " in ran.err


def test_a_file_that_compose_refuses_is_told_in_its_own_words(cli: Cli, compose: Compose):
    compose.refusal = "services.users.ports contains an invalid type"

    ran = cli("compose", "build", **compose.install())

    assert ran.code == 2
    assert "services.users.ports contains an invalid type" in ran.err


def test_without_any_compose_it_is_said_what_to_install(cli: Cli, tmp_path: Path):
    ran = cli("compose", "build", PATH=str(tmp_path))

    assert ran.code == 2
    assert "docker-compose" in ran.err


def test_a_service_that_is_not_there_is_refused(cli: Cli, daemon: FakeDaemon, compose: Compose):
    compose.service("users")

    ran = cli("compose", "build", "user", **compose.install())

    assert (ran.code, daemon.asked) == (2, [])
    assert "there are users" in ran.err


def compose_file(compose: Compose, text: str) -> Path:
    compose.project.mkdir(exist_ok=True)
    path = compose.project / "compose.yaml"
    path.write_text(text)
    return path


CHANGES = {
    "the file": lambda compose, environment: compose_file(compose, "services: {}  # ${WHICH} more\n"),
    "a variable that it names": lambda compose, environment: environment.update(WHICH="other"),
    "a variable of Compose's own": lambda compose, environment: environment.update(COMPOSE_PROFILES="other"),
    "the file of variables": lambda compose, environment: (compose.project / ".env").write_text("WHICH=other\n"),
    "Compose itself": lambda compose, environment: os.utime(compose.program, (1, 1)),
}


@pytest.mark.parametrize("changed", [None, *CHANGES])
def test_compose_is_asked_once_about_the_same(cli: Cli, compose: Compose, changed: str | None):
    compose.service("users")
    file, environment = compose_file(compose, "services: {}  # ${WHICH}\n"), compose.install()
    assert cli("compose", "-f", file, "build", **environment).code == 0
    if changed:
        CHANGES[changed](compose, environment)

    assert cli("compose", "-f", file, "build", UNNAMED="other", **environment).code == 0

    assert sum(words[-1] == "config" for words in compose.asked) == (2 if changed else 1)


@pytest.mark.parametrize("text", ["services: {a: {extends: {file: b.yaml}}}\n", "include: [b.yaml]\n"])
def test_of_files_that_lead_to_others_compose_is_asked_every_time(cli: Cli, compose: Compose, text: str):
    compose.service("users")
    file, environment = compose_file(compose, text), compose.install()

    for _ in range(2):
        assert cli("compose", "-f", file, "build", **environment).code == 0

    assert sum(words[-1] == "config" for words in compose.asked) == 2


def test_what_has_no_meaning_here_is_said(cli: Cli, compose: Compose):
    compose.service("users")
    compose.services["users"]["build"]["args"] = {"A": "b"}

    ran = cli("compose", "-p", "x", "build", **compose.install())

    assert ran.code == 0
    assert "services.users.build.args" in ran.err


def test_up_builds_and_becomes_compose(process: Start, daemon: FakeDaemon, compose: Compose):
    compose.service("users")
    started = process("compose", "-p", "x", "up", "--build", "-d", **compose.install())

    out, err = started.communicate(timeout=30)

    assert started.returncode == 0, err
    assert out.splitlines()[-1] == "compose -p x up --no-build -d"
    assert tags(daemon) == {"x_users"}


@pytest.mark.parametrize("verb", ["down", "logs", "config"])
def test_the_rest_is_compose_s_own(process: Start, daemon: FakeDaemon, compose: Compose, verb: str):
    started = process("compose", "-p", "x", verb, "--help-me", **compose.install())

    out, _ = started.communicate(timeout=30)

    assert out == f"compose -p x {verb} --help-me\n"
    assert daemon.asked == []
