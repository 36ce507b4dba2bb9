"""A daemon with a new state directory: what it knows of toolchain images without looking into them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.toolchains import record
from daemon.toolchains.kept import KeptFacts
from daemon.toolchains.toolchain import ToolchainFacts
from tests.conftest import Leftovers
from tests.e2e.conftest import SETTINGS
from tests.e2e.service import Service, running

Keep = Callable[[ToolchainFacts], None]


@pytest.fixture
def facts(toolchain_facts: tuple[str, bytes]) -> ToolchainFacts:
    image_id, written = toolchain_facts
    found = record.read(written, image_id)
    assert found is not None
    return found


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keep:
    """Puts facts of the toolchain image where the user's commands keep them."""
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    monkeypatch.setenv("XDG_CACHE_HOME", environ["XDG_CACHE_HOME"])

    def keep(facts: ToolchainFacts) -> None:
        kept = KeptFacts.of_user(environ)
        asyncio.run(kept.record_toolchain_facts(facts.image_id, record.write(facts)))

    return keep


def releases(place: Path, leftovers: Leftovers) -> set[str]:
    """What a new daemon says of the toolchains that it offers."""
    with running(Service(place, SETTINGS)) as service:
        leftovers.instances.add(service.instance)
        return {offered["release"] for offered in service.ask("GET", "/v1/toolchains").json["toolchains"]}


def test_what_a_command_found_in_an_image_a_new_daemon_of_the_same_user_need_not_find_again(
    tmp_path: Path, keep: Keep, facts: ToolchainFacts, leftovers: Leftovers
):
    keep(replace(facts, release="1.2.3"))
    assert releases(tmp_path, leftovers) == {"1.2.3"}


def test_what_another_probe_found_is_not_believed(
    tmp_path: Path, keep: Keep, facts: ToolchainFacts, leftovers: Leftovers
):
    keep(replace(facts, release="1.2.3", probe=facts.probe + 1))
    assert releases(tmp_path, leftovers) == {facts.release}
