"""Which toolchains are offered, and how often they are probed."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.engine.engine import EngineImage
from daemon.errors import ImageGone
from daemon.toolchains import labels, record
from daemon.toolchains.errors import BadToolchain
from daemon.toolchains.kept import KeptFacts
from daemon.toolchains.offers import offers
from daemon.toolchains.toolchain import Toolchain
from tests.fakes.engine import FakeEngine, Step
from tests.fakes.toolchain import PROBE_ANSWER


class Rig:
    def __init__(self, directory: Path) -> None:
        self.engine = FakeEngine()
        self.facts = KeptFacts(directory / "facts")
        self.probed = 0
        self.engine.script(self._probe)

    def _probe(self, step: Step) -> int:
        self.probed += 1
        step.print(PROBE_ANSWER)
        return 0

    def made(self, name: str, reference: str | None = None) -> None:
        reference = reference or f"bloomery/toolchain:{name}"
        self.engine.add_image(reference, labels=labels.of(name, reference, ()))

    async def offered(self, **configured: str) -> tuple[Toolchain, ...]:
        engine = self.engine
        return await offers(configured, engine.survey, engine.images, engine.sandboxes, self.facts)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def named(offered: tuple[Toolchain, ...]) -> dict[str, str]:
    return {one.name: one.image_reference for one in offered}


async def test_an_empty_configuration_offers_what_was_made_in_this_engine(rig: Rig):
    rig.made("stable")
    rig.made("nightly", "registry.example/rust:n")
    rig.engine.add_image("rust:1.95")
    assert named(await rig.offered()) == {
        "nightly": "registry.example/rust:n",
        "stable": "bloomery/toolchain:stable",
    }


async def test_nothing_made_and_nothing_configured_offers_nothing(rig: Rig):
    assert await rig.offered() == ()


async def test_a_layer_that_inherited_a_toolchains_labels_is_no_toolchain(rig: Rig):
    rig.made("stable")
    rig.engine.add_image("bloomery/layer:1", labels=labels.of("stable", "bloomery/toolchain:stable", ()))
    rig.engine.add_image("bloomery/layer:2", labels=labels.of("other", "bloomery/toolchain:other", ()))
    assert named(await rig.offered()) == {"stable": "bloomery/toolchain:stable"}


async def test_a_configuration_offers_what_it_names_alone(rig: Rig):
    rig.made("stable")
    rig.engine.add_image("rust:ours")
    assert named(await rig.offered(pinned="rust:ours")) == {"pinned": "rust:ours"}


async def test_a_configured_image_that_is_not_here_is_pulled(rig: Rig):
    registry = FakeEngine()
    registry.add_image("rust:ours")
    rig.engine.registry["rust:ours"] = next(iter(registry.stored.values()))
    assert named(await rig.offered(pinned="rust:ours")) == {"pinned": "rust:ours"}


async def test_a_configured_image_that_is_nowhere_says_how_to_make_it(rig: Rig):
    with pytest.raises(ImageGone, match="bloomery toolchain make pinned --tag rust:ours") as caught:
        await rig.offered(pinned="rust:ours")
    assert caught.value.evidence == {"toolchain": "pinned", "image": "rust:ours"}


async def test_an_image_is_probed_once_in_its_life(rig: Rig):
    rig.made("stable")
    first = await rig.offered()
    again = await rig.offered(other="bloomery/toolchain:stable")
    assert rig.probed == 1
    assert again[0].facts == first[0].facts


async def test_an_image_that_was_made_again_is_probed_again(rig: Rig):
    rig.made("stable")
    await rig.offered()
    rig.made("stable")
    await rig.offered()
    assert rig.probed == 2


async def test_facts_of_another_version_are_probed_again_and_replaced(rig: Rig):
    image = rig.engine.add_image("rust:ours")
    await rig.facts.record_toolchain_facts(image.id, b'{"release": 1}')
    await rig.offered(pinned="rust:ours")
    await rig.offered(pinned="rust:ours")
    assert rig.probed == 1


async def test_facts_of_another_probe_are_probed_again_and_replaced(rig: Rig):
    image = rig.engine.add_image("rust:ours")
    [offered] = await rig.offered(pinned="rust:ours")
    await rig.facts.record_toolchain_facts(image.id, record.write(replace(offered.facts, probe=0)))
    assert await rig.offered(pinned="rust:ours") == (offered,)
    await rig.offered(pinned="rust:ours")
    assert rig.probed == 2


async def test_a_reference_that_moves_before_its_probe_leaves_no_facts_for_the_image_it_left(rig: Rig):
    left = rig.engine.add_image("rust:ours")
    images = rig.engine.images
    inspect = images.inspect

    async def moving(reference: str) -> EngineImage | None:
        found = await inspect(reference)
        if found is not None and found.id == left.id:
            rig.engine.add_image("rust:ours")
        return found

    images.inspect = moving
    [offered] = await rig.offered(pinned="rust:ours")
    assert offered.facts.image_id != left.id
    assert await rig.facts.toolchain_facts(left.id) is None
    assert await rig.facts.toolchain_facts(offered.facts.image_id) is not None


async def test_an_image_that_cannot_serve_is_not_offered_in_silence(rig: Rig):
    rig.made("stable")
    rig.engine.script(lambda step: step.print("end\n") or 0)
    with pytest.raises(BadToolchain):
        await rig.offered()
    assert rig.engine.containers == {}
