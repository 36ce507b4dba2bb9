"""Builds that lack what another one is just compiling: who waits for whom, what comes of it, and who does not wait."""

import asyncio

import pytest

from cache.reuse import Rung
from daemon.builds import Reuse
from daemon.ecosystems.ecosystem import UntrustworthyLayer
from daemon.pipeline.underway import crowding, worth_waiting
from daemon.units.background import Crop
from daemon.units.harvest import Harvest
from tests.fakes.cargo import STALE, purpose_of
from tests.fakes.crates import FEATURED
from tests.fakes.engine import Exit, Step
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import SIMPLE, Files
from tests.fakes.workshop import Workshop
from tests.unit.pipeline.test_units import MORE, offer_itoa, stored

OTHER: Files = {path: str(text).replace("app", "other") for path, text in SIMPLE.items()}
OTHER = {**OTHER, "Cargo.toml": f"{OTHER['Cargo.toml']}{FEATURED}"}
"""A second project with the same dependency, and no layer that fits."""


@pytest.fixture
def patient(shop: Workshop) -> Workshop:
    """Its builds wait for a single package."""
    shop.fewest = 1
    shop.compose()
    return shop


class Gate:
    """Holds the first step of a kind until it is opened."""

    def __init__(self, shop: Workshop, purpose: str = "cook") -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        self._shop = shop
        self._purpose = purpose
        shop.engine.script(self)

    async def __call__(self, step: Step) -> int | Exit:
        if purpose_of(step) == self._purpose and not self.reached.is_set():
            self.reached.set()
            await self.opened.wait()
        return await self._shop.cargo(step)


def waiting(heard: Heard) -> list[str]:
    return [note for note in heard.notes if "is waited for" in note]


async def until_it_waits(heard: Heard) -> None:
    async with asyncio.timeout(5):
        while not waiting(heard):  # noqa: ASYNC110 - a note sets no event
            await asyncio.sleep(0.001)


async def test_a_second_project_has_what_the_first_is_just_cooking(patient: Workshop):
    gate, heard = Gate(patient), Heard()
    first = asyncio.create_task(patient.build())
    await gate.reached.wait()
    second = asyncio.create_task(patient.build(OTHER, progress=heard))
    await until_it_waits(heard)
    gate.opened.set()

    await first
    outcome = await second

    assert waiting(heard) == ["Build b1 is compiling 1 of the 1 dependencies that this one lacks; it is waited for."]
    assert outcome.reuse.rung is Rung.UNITS
    assert outcome.reuse.compiled == ("other 0.3.0",)
    assert patient.ran().count("cook") <= 1
    await patient.assert_nothing_is_left()


async def test_what_was_cooked_a_moment_ago_is_harvested_for_who_needs_it(patient: Workshop):
    await patient.build()
    assert await stored(patient) == set()

    outcome = await patient.build(OTHER)

    assert outcome.reuse.rung is Rung.UNITS
    assert await stored(patient) == {"bytes"}
    await patient.harvest()


async def test_who_lacks_more_compiles_only_that(patient: Workshop):
    offer_itoa(patient)
    gate, heard = Gate(patient), Heard()
    first = asyncio.create_task(patient.build())
    await gate.reached.wait()
    second = asyncio.create_task(patient.build(MORE, progress=heard, project="more"))
    await until_it_waits(heard)
    gate.opened.set()
    await first

    outcome = await second

    assert set(outcome.reuse.compiled) == {"itoa 1.0.18", "app 0.3.0"}


async def test_only_the_cook_is_waited_for_and_not_what_follows_it(patient: Workshop):
    gate, heard = Gate(patient, "compile"), Heard()
    first = asyncio.create_task(patient.build())
    await gate.reached.wait()

    async with asyncio.timeout(5):
        outcome = await patient.build(OTHER, progress=heard)

    assert len(waiting(heard)) == 1
    assert (outcome.reuse.rung, outcome.reuse.compiled) == (Rung.UNITS, ("other 0.3.0",))
    assert not first.done()
    gate.opened.set()
    await first
    await patient.harvest()
    assert await stored(patient) == {"bytes"}
    await patient.assert_nothing_is_left()


async def test_waiting_is_no_cost_of_the_build_that_waits(patient: Workshop):
    """Else the next build of the project would be expected to take as long."""
    gate, heard = Gate(patient), Heard()
    first = asyncio.create_task(patient.build())
    await gate.reached.wait()
    second = asyncio.create_task(patient.build(OTHER, progress=heard))
    await until_it_waits(heard)
    await asyncio.sleep(0.7)
    gate.opened.set()
    await first

    outcome = await second

    measured = await patient.store.costs("default", "other", [])
    kept = await patient.store.latest_result("default", "other", "main")
    assert outcome.reuse.seconds is not None
    assert outcome.reuse.seconds > 0.7
    assert sum(map(sum, measured.values())) < outcome.reuse.seconds - 0.6
    assert kept is not None
    assert kept.seconds < outcome.reuse.seconds + outcome.reuse.seconds_saved - 0.6


async def test_nor_is_waiting_for_the_cook_of_the_very_same_layer(shop: Workshop):
    gate = Gate(shop)
    first = asyncio.create_task(shop.build())
    await gate.reached.wait()
    other = {path: str(text).replace("app", "other") for path, text in SIMPLE.items()}
    second = asyncio.create_task(shop.build(other))
    await asyncio.sleep(0.7)
    gate.opened.set()
    await first

    outcome = await second

    measured = await shop.store.costs("default", "other", [])
    assert outcome.reuse.seconds is not None
    assert outcome.reuse.seconds > 0.6
    assert sum(map(sum, measured.values())) < outcome.reuse.seconds - 0.5


async def test_what_was_harvested_for_who_waited_is_not_harvested_again(
    patient: Workshop, monkeypatch: pytest.MonkeyPatch
):
    harvested: list[str] = []
    harvest = patient.harvests.harvest

    async def counted(crop: Crop) -> Harvest:
        harvested.append(crop.image_id)
        return await harvest(crop)

    monkeypatch.setattr(patient.harvests, "harvest", counted)
    gate = Gate(patient, "compile")
    first = asyncio.create_task(patient.build())
    await gate.reached.wait()
    await patient.build(OTHER)
    early, *_ = harvested
    gate.opened.set()
    await first
    await patient.harvest()

    assert harvested.count(early) == 1


async def test_of_a_layer_that_proves_unfit_who_was_quick_has_had_something_and_nobody_else(patient: Workshop):
    """Cargo finds the layer stale in its own build, when another has just been given what is in it."""
    reached, opened = asyncio.Event(), asyncio.Event()

    async def stale_at_last(step: Step) -> int | Exit:
        if purpose_of(step) == "compile" and not reached.is_set():
            reached.set()
            await opened.wait()
            step.write(STALE, b"")
        return await patient.cargo(step)

    patient.engine.script(stale_at_last)
    first = asyncio.create_task(patient.build())
    await reached.wait()
    quick = await patient.build(OTHER)
    assert (quick.reuse.rung, await stored(patient)) == (Rung.UNITS, {"bytes"})
    opened.set()

    with pytest.raises(UntrustworthyLayer):
        await first

    assert await stored(patient) == set()


@pytest.mark.parametrize(
    ("theirs", "mine", "common", "crowding_of", "waits"),
    [
        (100, 100, 50, 1.0, True),
        (100, 100, 49, 1.0, False),
        (203, 203, 85, 2.0, True),
        (203, 61, 30, 2.0, False),
        (20, 100, 20, 1.0, False),
        (20, 100, 20, 1.1, True),
    ],
    ids=["half", "less", "less, crowded", "a small one beside a large one", "a small part", "a small part, crowded"],
)
def test_it_is_worth_waiting_for_much_or_where_the_processors_are_the_same(
    theirs: int, mine: int, common: int, crowding_of: float, *, waits: bool
):
    assert worth_waiting(theirs, mine, common, crowding_of) is waits


def test_two_cooks_are_in_each_others_way_where_there_are_not_processors_for_both():
    assert [crowding(processors, 2.0) for processors in (1, 2, 3, 4, 64)] == [2.0, 2.0, 4 / 3, 1.0, 1.0]


async def test_little_in_common_is_not_waited_for(shop: Workshop):
    gate, heard = Gate(shop), Heard()
    first = asyncio.create_task(shop.build())
    await gate.reached.wait()

    outcome = await shop.build(OTHER, progress=heard)

    assert waiting(heard) == []
    assert outcome.reuse.rung is Rung.NONE
    gate.opened.set()
    await first


@pytest.mark.parametrize("request_", [{"reuse": Reuse.NOTHING}, {"scope": "theirs"}], ids=["clean", "another scope"])
async def test_who_may_not_have_it_does_not_wait(patient: Workshop, request_: dict[str, object]):
    gate, heard = Gate(patient), Heard()
    first = asyncio.create_task(patient.build())
    await gate.reached.wait()

    outcome = await patient.build(OTHER, progress=heard, **request_)

    assert waiting(heard) == []
    assert outcome.reuse.rung is Rung.NONE
    gate.opened.set()
    await first


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_of_a_cook_that_comes_to_nothing_who_waits_learns_at_once(patient: Workshop, how: str):
    gate, heard = Gate(patient), Heard()
    first = asyncio.create_task(patient.build())
    await gate.reached.wait()
    second = asyncio.create_task(patient.build(OTHER, progress=heard))
    await until_it_waits(heard)
    if how == "fails":
        patient.cargo.failures["cook"] = (101, "error: could not compile `bytes`\n")
        gate.opened.set()
        await asyncio.gather(first, return_exceptions=True)
        del patient.cargo.failures["cook"]
    else:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    outcome = await second

    assert outcome.reuse.rung is Rung.NONE
    await patient.assert_nothing_is_left()


async def test_who_waits_can_be_cancelled(patient: Workshop):
    gate, heard = Gate(patient), Heard()
    first = asyncio.create_task(patient.build())
    await gate.reached.wait()
    second = asyncio.create_task(patient.build(OTHER, progress=heard))
    await until_it_waits(heard)

    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second

    gate.opened.set()
    await first
    await patient.assert_nothing_is_left()


async def test_a_harvest_that_fails_costs_who_waits_compiling_it(patient: Workshop, monkeypatch: pytest.MonkeyPatch):
    await patient.build()

    async def fails(_crop: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(patient.harvests, "harvest", fails)

    outcome = await patient.build(OTHER)

    assert outcome.reuse.rung is Rung.NONE


async def test_who_waits_lends_its_place(patient: Workshop):
    gate, heard = Gate(patient), Heard()
    freed = asyncio.Event()
    patient.slots.when_free(freed.set)
    patient.slots.take()
    first = asyncio.create_task(patient.build())
    await gate.reached.wait()
    patient.slots.take()

    second = asyncio.create_task(patient.build(OTHER, progress=heard))
    await until_it_waits(heard)

    assert freed.is_set()
    gate.opened.set()
    await asyncio.gather(first, second)


async def test_several_that_lack_the_same_cook_it_once(patient: Workshop):
    patient.cargo.pause = 0.02

    def project(number: int) -> Files:
        files = {path: str(text).replace("app", f"app{number}") for path, text in SIMPLE.items()}
        return {**files, "Cargo.toml": f"{files['Cargo.toml']}[features]\nonly-{number} = []\n"}

    outcomes = await asyncio.gather(*(patient.build(project(number)) for number in range(4)))

    assert sorted(outcome.reuse.rung for outcome in outcomes) == [Rung.NONE, Rung.UNITS, Rung.UNITS, Rung.UNITS]
    assert patient.ran().count("fetch") == 1
    await patient.assert_nothing_is_left()


async def test_projects_that_differ_in_their_names_share_one_layer(patient: Workshop):
    patient.cargo.pause = 0.02
    projects = [
        {path: str(text).replace("app", f"app{number}") for path, text in SIMPLE.items()} for number in range(3)
    ]

    outcomes = await asyncio.gather(*(patient.build(files) for files in projects))

    assert sorted(outcome.reuse.rung for outcome in outcomes) == [Rung.LAYER, Rung.LAYER, Rung.NONE]
    assert patient.ran().count("cook") == 1
    for files, outcome in zip(projects, outcomes, strict=True):
        assert outcome.images[0].digest == await patient.clean(files)
