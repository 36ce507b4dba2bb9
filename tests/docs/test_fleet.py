"""What the documents say of the examples is so, as far as that shows without building them."""

import re
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT, page, pages

CHAPTER = ROOT / "examples/chapter"
COMPOSE_FILES = [*CHAPTER.glob("compose.*.yaml"), ROOT / "examples/flask/compose.yaml"]
PORTS = {"router": 8000, "users": 8001, "mails": 8002, "content": 8003}


def services(file: str) -> dict[str, dict]:
    return yaml.safe_load((CHAPTER / file).read_text())["services"]


def published(file: str) -> dict[str, list[str]]:
    """The ports of this machine, by service."""
    return {name: each["ports"] for name, each in services(file).items() if "ports" in each}


def test_every_example_is_in_the_table():
    there = {str(file.parent.relative_to(ROOT / "examples")) for file in ROOT.glob("examples/**/bloomery.toml")}
    assert set(re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", page("examples/README.md").text, re.MULTILINE)) == there


@pytest.mark.parametrize("file", COMPOSE_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_service_that_is_built_is_an_example(file: Path):
    for name, service in yaml.safe_load(file.read_text())["services"].items():
        if "build" in service:
            assert (file.parent / service["build"] / "bloomery.toml").is_file(), name


def test_in_test_every_services_port_is_open_and_in_production_the_routers_alone():
    assert published("compose.test.yaml") == {name: [f"127.0.0.1:{port}:{port}"] for name, port in PORTS.items()}
    assert published("compose.prod.yaml") == {"router": ["8000:8000"]}


def test_in_production_what_ends_is_started_again_but_for_the_worker():
    restart = {name: service["restart"] for name, service in services("compose.prod.yaml").items()}
    assert {name for name, policy in restart.items() if policy != "unless-stopped"} == {"dbsync-worker"}


def test_every_target_of_make_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for shown in pages():
        for code in shown.code:
            for words in re.findall(r"^ *make((?: [a-z-]+)+)", code, re.MULTILINE):
                assert {*words.split()} <= targets, f"{shown.name}: make{words}"


def test_every_compose_file_that_is_named_exists():
    for name in ("README.md", "examples/chapter/README.md"):
        named = {words[words.index("-f") + 1] for words in page(name).commands if words[:2] == ["compose", "-f"]}
        assert named, name
        assert all((CHAPTER / file).is_file() for file in named), name
