"""Making the stand-ins of the examples, with a fake engine, and fakes of apt and mmdebstrap in PATH."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.stand_ins.make import make
from deploy.stand_ins.recipes import DATABASE, LABEL, RECIPES, SMTP, Recipe
from tests.fakes.debian_host import Host
from tests.fakes.engine import FakeEngine


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host.in_directory(tmp_path)
    monkeypatch.setenv("PATH", host.environment["PATH"])
    return host


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
async def test_the_image_has_the_packages_and_says_what_it_was_made_by(host: Host, recipe: Recipe):
    engine = FakeEngine()
    reference = await make(engine.images, recipe)
    image = await engine.images.inspect(reference)
    assert image is not None
    assert image.labels == {LABEL: recipe.digest}
    assert f"--include={','.join(recipe.packages)}" in host.debootstraps[0]
    assert engine.stored[image.id].files["/usr/bin/cc"].content == b"a compiler"


async def test_the_database_starts_by_a_program_of_ours_and_no_cluster_is_made_with_it(host: Host):
    engine = FakeEngine()
    image = await engine.images.inspect(await make(engine.images, DATABASE))
    assert image is not None
    program = engine.stored[image.id].files["/usr/local/bin/stand-in"]
    assert DATABASE.entrypoint is not None
    assert program.content == DATABASE.entrypoint.read_bytes()
    assert "create_main_cluster = false" in host.debootstraps[0]


async def test_one_that_is_there_is_not_made_again(host: Host):
    engine = FakeEngine()
    await make(engine.images, SMTP)
    await make(engine.images, SMTP)
    assert len(host.debootstraps) == 1


async def test_another_recipe_takes_the_place_of_the_one_before(host: Host):
    engine = FakeEngine()
    await make(engine.images, SMTP)
    old = await engine.images.inspect(SMTP.reference)
    other = replace(SMTP, packages=("postfix",))
    await make(engine.images, other)
    new = await engine.images.inspect(SMTP.reference)
    assert old is not None
    assert new is not None
    assert new.labels[LABEL] == other.digest
    assert old.id not in engine.stored
