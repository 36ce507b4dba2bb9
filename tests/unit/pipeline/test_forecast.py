"""What a build is expected to do, before it does, and what it says of itself after."""

import pytest

from cache.costs import CostKind
from cache.digest import Digest
from cache.reuse import Rung
from daemon.builds import Reuse
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import BYTES, BYTES_CRATE, SIMPLE, Files, crate, lock, locked
from tests.fakes.workshop import Workshop

EDITED = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}
ITOA_CRATE = b"the archive of itoa 1.0.18"
ITOA = locked("itoa", "1.0.18", checksum=Digest.of(ITOA_CRATE).hex)
MORE: Files = {
    "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nbytes = "1"\nitoa = "1"\n'),
    "Cargo.lock": lock(locked("app", "0.3.0", "bytes", "itoa", source=""), BYTES, ITOA),
    "src/main.rs": "fn main() {}\n",
}
FOREIGN = locked("windows", "1.0.0", checksum="ab" * 32)
WIDE: Files = {**SIMPLE, "Cargo.lock": f"{SIMPLE['Cargo.lock']}{FOREIGN}"}
"""The lock has a package that this platform does not need."""
WIDER: Files = {**MORE, "Cargo.lock": f"{MORE['Cargo.lock']}{FOREIGN}"}
OWN = ("app 0.3.0",)


async def test_a_first_build_compiles_all_and_nobody_knows_how_long_that_takes(shop: Workshop):
    told = await shop.explain()

    assert (told.reused, told.compiled, told.members) == (0, ("bytes 1.0.0", *OWN), OWN)
    assert (told.expected_seconds, told.cold_seconds) == (None, None)


async def test_after_it_the_next_is_expected_to_take_what_the_like_took(shop: Workshop):
    cold = await shop.build()
    told = await shop.explain(EDITED)

    assert (told.rung, told.reused, told.compiled, told.members) == (Rung.LAYER, 1, OWN, OWN)
    assert told.expected_seconds is not None
    assert told.cold_seconds is not None
    assert cold.reuse.seconds is not None
    assert told.cold_seconds == pytest.approx(cold.reuse.seconds, abs=0.01)
    assert told.expected_seconds <= told.cold_seconds


async def test_a_build_says_what_it_was_expected_to_take_and_what_it_took(shop: Workshop):
    await shop.build()
    told, heard = await shop.explain(EDITED), Heard()

    outcome = await shop.build(EDITED, progress=heard)

    assert outcome.reuse.seconds is not None
    assert (outcome.reuse.expected_seconds, outcome.reuse.cold_seconds) == (told.expected_seconds, told.cold_seconds)
    (forecast,) = heard.forecasts
    assert (forecast.rung, forecast.compiled, forecast.members) == (Rung.LAYER, OWN, OWN)
    assert (outcome.reuse.compiled, outcome.reuse.members, outcome.reuse.compiled_twice) == (OWN, OWN, ())


async def test_a_result_compiles_nothing_and_is_not_forecast(shop: Workshop):
    await shop.build()
    told, heard = await shop.explain(), Heard()
    outcome = await shop.build(progress=heard)

    assert (told.rung, told.compiled, heard.forecasts) == (Rung.RESULT, (), [])
    assert outcome.reuse.seconds is not None


async def test_of_stored_units_what_is_missing_is_to_be_compiled(shop: Workshop):
    await shop.build()
    await shop.harvest()
    shop.cargo.crates = {"bytes-1.0.0": BYTES_CRATE, "itoa-1.0.18": ITOA_CRATE}

    told = await shop.explain(MORE)
    outcome = await shop.build(MORE)

    assert (told.rung, told.reused, told.compiled) == (Rung.UNITS, 1, ("itoa 1.0.18", *OWN))
    assert (outcome.reuse.reused, outcome.reuse.compiled, outcome.reuse.members) == (1, told.compiled, OWN)
    assert outcome.reuse.compiled_twice == ()


async def test_a_package_that_no_cook_touched_is_not_waited_for(shop: Workshop):
    await shop.build(WIDE)
    await shop.harvest()

    assert (await shop.explain({**WIDE, "src/main.rs": "fn main() { }"})).reused == 1
    assert (await shop.explain(WIDER)).compiled == ("itoa 1.0.18", *OWN)


async def test_what_stands_on_a_package_that_moved_is_compiled_with_it(shop: Workshop):
    def standing(bytes_version: str, crate_bytes: bytes) -> Files:
        below = locked("bytes", bytes_version, checksum=Digest.of(crate_bytes).hex)
        above = locked("itoa", "1.0.18", "bytes", checksum=Digest.of(ITOA_CRATE).hex)
        return {**MORE, "Cargo.lock": lock(locked("app", "0.3.0", "bytes", "itoa", source=""), below, above)}

    moved = b"the archive of bytes 1.1.0"
    shop.cargo.crates = {"bytes-1.0.0": BYTES_CRATE, "bytes-1.1.0": moved, "itoa-1.0.18": ITOA_CRATE}
    await shop.build(standing("1.0.0", BYTES_CRATE))
    await shop.harvest()

    told = await shop.explain(standing("1.1.0", moved))

    assert set(told.compiled) == {"bytes 1.1.0", "itoa 1.0.18", *OWN}


async def test_in_a_workspace_only_what_a_change_reaches_is_compiled(yard: Workshop):
    await yard.build()

    told = await yard.explain(EDITED)
    beside = await yard.explain({**SIMPLE, "docs/one.md": "one\n"})

    assert (told.rung, told.reused, told.compiled) == (Rung.WORKSPACE, 1, OWN)
    assert beside.rung is Rung.WORKSPACE


async def test_a_unit_that_is_stored_and_compiled_again_is_counted(shop: Workshop):
    """Here because its files are damaged in a way that only cargo sees: it finds them, and finds them stale."""
    await shop.build()
    await shop.harvest()
    shop.cargo.crates = {"bytes-1.0.0": BYTES_CRATE, "itoa-1.0.18": ITOA_CRATE}
    shop.cargo.stale = {"bytes-1.0.0"}

    outcome = await shop.build(MORE)

    assert outcome.reuse.compiled_twice == ("bytes 1.0.0",)
    assert (await shop.build(EDITED, reuse=Reuse.NOTHING)).reuse.compiled_twice == (), "that was asked for"


async def test_without_a_lock_nobody_knows_what_there_is_to_compile(shop: Workshop):
    await shop.build()

    told = await shop.explain({path: text for path, text in SIMPLE.items() if path != "Cargo.lock"})

    assert (told.compiled, told.expected_seconds, told.cold_seconds) == ((), None, None)


async def test_over_units_alone_a_build_takes_what_one_over_a_layer_does(shop: Workshop):
    """And is remembered apart, for a rung of units with a cook takes longer."""
    await shop.build()
    await shop.harvest()
    other = {**SIMPLE, "Cargo.toml": f"{SIMPLE['Cargo.toml']}[features]\nfast = []\n"}

    told = await shop.explain(other)
    outcome = await shop.build(other)
    measured = await shop.store.costs("default", "app", [])

    assert (told.rung, outcome.reuse.rung) == (Rung.UNITS, Rung.UNITS)
    assert {name for kind, name in measured if kind is CostKind.REST} == {"none", "layer", "units alone"}
