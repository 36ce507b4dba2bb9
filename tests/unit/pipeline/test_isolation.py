"""The cook goes on where the fetch was, off the network; where that cannot be had, in a sandbox of its own."""

import asyncio

import pytest

from cache.reuse import Rung
from daemon.engine.engine import Network
from daemon.errors import EngineRefused, EngineUnavailable
from tests.fakes.cargo import purpose_of
from tests.fakes.engine import Exit, Step
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import SIMPLE, crate, lock, locked
from tests.fakes.workshop import Workshop

OWN = ["fetch", "cook", "compile"]
SHARED = ["fetch", "compile"]
_NETWORK_IS_BACK = 199


def sandboxes(shop: Workshop) -> list[str]:
    """What each sandbox that was created was made for."""
    return [name.rpartition("-")[2] for _, name in shop.calls("create")]


async def test_the_cook_goes_on_where_the_fetch_was(shop: Workshop):
    outcome = await shop.build()

    assert sandboxes(shop) == SHARED
    assert shop.ran() == ["fetch", "cook", "settle", "compile"]
    assert shop.cargo.networks == {"fetch": "bridge", "cook": "none", "settle": "none", "compile": "none"}
    assert outcome.reuse.rung is Rung.NONE
    await shop.assert_nothing_is_left()


async def test_what_is_held_is_put_into_a_sandbox_that_never_had_a_network(shop: Workshop):
    first = await shop.build()
    await shop.store.forget_layer(*await layer_name(shop))
    shop.engine.calls.clear()

    second = await shop.build({**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'})

    assert sandboxes(shop) == ["cook", "compile"]
    assert second.reuse.compiled == first.reuse.compiled


async def layer_name(shop: Workshop) -> tuple[object, str]:
    plan = await shop.plan.plan(await shop.plan.source(await shop.request(SIMPLE)))
    return plan.plan.exact.digest, "default"


async def test_the_cook_proves_before_anything_else_that_the_network_is_gone(shop: Workshop):
    scripts: dict[str, str] = {}

    async def watched(step: Step) -> int | Exit:
        scripts[purpose_of(step)] = step.read("/bloomery/step").decode()
        return await shop.cargo(step)

    shop.engine.script(watched)
    await shop.build()

    for purpose in ("cook", "settle"):
        assert scripts[purpose].startswith("for routes in /proc/net/route /proc/net/ipv6_route")
    for purpose in ("fetch", "compile"):
        assert "/proc/net/route" not in scripts[purpose]


async def test_an_engine_that_cannot_take_the_network_away_gets_a_sandbox_more(shop: Workshop):
    shop.engine.fail("isolate", EngineRefused("no such endpoint"))
    heard = Heard()

    await shop.build(progress=heard)

    assert sandboxes(shop) == OWN
    assert any("sandbox of its own" in note and "no such endpoint" in note for note in heard.notes)
    await shop.assert_nothing_is_left()


@pytest.mark.parametrize("when", ["cook", "settle"])
async def test_a_network_that_came_back_ends_the_step_and_the_cook_starts_again_without(shop: Workshop, when: str):
    told: list[str] = []

    async def watched(step: Step) -> int | Exit:
        if purpose_of(step) == when and not told:
            told.append(when)
            return _NETWORK_IS_BACK
        return await shop.cargo(step)

    shop.engine.script(watched)
    heard = Heard()

    outcome = await shop.build(progress=heard)

    assert sandboxes(shop) == OWN
    assert outcome.reuse.rung is Rung.NONE
    assert any("gave a sandbox its network again" in note for note in heard.notes)
    assert len(await shop.layers()) == 1
    await shop.assert_nothing_is_left()


async def test_a_step_that_ends_with_the_same_code_in_another_sandbox_has_only_failed(shop: Workshop):
    shop.cargo.failures["compile"] = (_NETWORK_IS_BACK, "error: odd")

    with pytest.raises(Exception, match="odd") as caught:
        await shop.build()

    assert getattr(caught.value, "kind", None) == "compile_failed"


async def test_on_the_hosts_network_the_cook_has_a_sandbox_of_its_own(shop: Workshop):
    shop.network = Network.HOST
    shop.compose()

    await shop.build()

    assert sandboxes(shop) == OWN
    assert shop.calls("isolate") == []


async def test_checkouts_of_git_are_cooked_in_a_sandbox_of_its_own(shop: Workshop):
    repository = "git+https://git.example.org/x#" + "1" * 40
    files = {
        **SIMPLE,
        "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nx = { git = "https://git.example.org/x" }\n'),
        "Cargo.lock": lock(
            locked("app", "0.3.0", "x", source=""),
            locked("x", "1.0.0", source=repository),
        ),
    }
    shop.cargo.crates = {}

    await shop.build(files)

    assert sandboxes(shop) == OWN


async def test_an_engine_that_dies_while_the_network_is_taken_away_fails_the_build_and_nothing_is_left(shop: Workshop):
    shop.engine.fail("isolate", EngineUnavailable("gone"))

    with pytest.raises(EngineUnavailable):
        await shop.build()

    await shop.assert_nothing_is_left()
    assert (await shop.build()).reuse.rung is Rung.NONE


async def test_two_builds_with_the_same_packages_fetch_once_though_the_first_is_still_cooking(shop: Workshop):
    shop.cargo.pause = 0.05
    other = {**SIMPLE, "Cargo.toml": str(SIMPLE["Cargo.toml"]) + "\n[profile.release]\nopt-level = 1\n"}

    await asyncio.gather(shop.build(), shop.build(other))

    assert shop.ran().count("fetch") == 1
    assert sorted(sandboxes(shop)) == sorted([*SHARED, "cook", "compile"])
