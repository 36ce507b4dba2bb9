"""The canary in the real engine: it finds the layout that a cargo has, and refuses one that forgets (law 12)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.ecosystems.rust.canary import Canary, LayoutFound
from daemon.ecosystems.rust.layouts import KNOWN, CargoLayout
from daemon.ecosystems.rust.marks import Told
from daemon.ecosystems.rust.marks_v1 import MarksV1
from daemon.engine.docker import DockerEngine
from daemon.toolchains import record
from daemon.toolchains.toolchain import ToolchainFacts
from daemon.units.layout import Layout
from tests.fakes.docker import docker

pytestmark = pytest.mark.engine


def without(lines: list[str], command: str) -> list[str]:
    """The same script, but for one command."""
    left = [line.replace(command, ":") for line in lines]
    assert left != lines
    return left


class ForgetsDepInfo(MarksV1):
    def dirty(self, packages: Sequence[str], dependents: Sequence[str], target: str) -> list[str]:
        return without(super().dirty(packages, dependents, target), 'rm -f "$unit"/dep-*')


class ForgetsScripts(MarksV1):
    def dirty(self, packages: Sequence[str], dependents: Sequence[str], target: str) -> list[str]:
        return without(super().dirty(packages, dependents, target), 'rm -rf "$run/output" "$run/out" "$run"/*.d')


class TellsNothing(MarksV1):
    def told(self, names: object) -> Mapping[str, Told]:
        return {}


def left_in(directory: Path) -> list[Path]:
    return list(directory.iterdir())


def facts_of(kept: tuple[str, bytes]) -> ToolchainFacts:
    facts = record.read(kept[1], kept[0])
    assert facts is not None
    return replace(facts, layout="v1", canary=0)


async def found(kept: tuple[str, bytes], scratch: Path, *layouts: CargoLayout) -> LayoutFound:
    async with await DockerEngine.connect(os.environ.get("DOCKER_HOST")) as engine:
        return await Canary(engine.sandboxes, scratch=scratch, layouts=layouts).find(facts_of(kept))


async def test_the_layout_that_holds_is_found_where_the_version_implies_another(
    new_layout: tuple[str, tuple[str, bytes]], tmp_path: Path
):
    told = await found(new_layout[1], tmp_path, *KNOWN)

    assert told.layout is Layout.V2
    assert told.against == {Layout.V1: "0 of 5 units were found where it says that they are"}
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("marks", "why"),
    [
        (ForgetsDepInfo(), "after bellows and slag were marked, bellows, furnace was compiled"),
        (ForgetsScripts(), "after bellows and slag were marked the program says"),
        (TellsNothing(), "has read"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_law_12_a_layout_that_forgets_something_does_not_hold(
    toolchain_facts: tuple[str, bytes], tmp_path: Path, marks: MarksV1, why: str
):
    told = await found(toolchain_facts, tmp_path, replace(KNOWN[0], marks=marks))

    assert told.layout is None
    assert why in told.against[Layout.V1]


async def test_nothing_of_a_trial_is_left_in_the_engine(toolchain_facts: tuple[str, bytes], tmp_path: Path):
    before = docker("ps", "--all", "--quiet", "--filter", "label=bloomery.step=canary")
    told = await found(toolchain_facts, tmp_path)

    assert (told.layout, told.against) == (None, {})
    assert docker("ps", "--all", "--quiet", "--filter", "label=bloomery.step=canary") == before
