"""What deploy/ offers to operators is what Prometheus and systemd take."""

import configparser
import re
import shlex
import subprocess

import pytest

from tests.docs.pages import ROOT, page
from tests.docs.test_docs import parsed


def promtool(*words: str) -> str:
    done = subprocess.run(["promtool", *words], cwd=ROOT / "deploy", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("words", [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml")])
def test_promtool_finds_no_fault(words: tuple[str, ...]):
    assert "SUCCESS" in promtool(*words)


@pytest.fixture(scope="module")
def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # systemd tells capitals apart
    parser.read(ROOT / "deploy/bloomery.service")
    return parser["Service"]


def test_the_unit_starts_the_daemon_as_the_command_line_wants_it(unit: configparser.SectionProxy):
    program, *words = shlex.split(unit["ExecStart"])
    assert program in page("docs/operating.md").text.replace("/pip", "/bloomery")
    parsed(words)


def test_the_unit_ends_the_daemon_alone_and_waits_longer_than_it_drains(unit: configparser.SectionProxy):
    example = (ROOT / "config.example.toml").read_text()
    drain = re.search(r'^#drain = "(\d+) s"', example, re.MULTILINE)
    assert drain
    assert unit["KillMode"] == "mixed"
    assert int(unit["TimeoutStopSec"]) > 2 * int(drain[1])


def test_the_unit_keeps_state_where_the_configuration_has_it(unit: configparser.SectionProxy):
    assert f'#state_dir = "/var/lib/{unit["StateDirectory"]}"' in (ROOT / "config.example.toml").read_text()
