"""Each law is broken on purpose, and a witness has to notice: a law whose breach nobody sees is not held.

A mutation is a change of the code while it runs, in the daemon that the other tests use; a scope of its own keeps what
it makes apart. `make mutations` runs these alone, and says which mutation was caught by whom.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cache.manifests.rust.config import CargoConfig
from cache.manifests.rust.skeleton import skeleton
from cache.manifests.rust.stub_versions import Masking
from daemon.ecosystems.rust import canary, clearing, compiling, cooking, ecosystem, fetching, steps
from daemon.ecosystems.rust.compiling import RustCompiling
from daemon.ecosystems.rust.keys import result_key, unit_key
from daemon.ecosystems.rust.layouts import KNOWN
from daemon.ecosystems.rust.marks_v1 import MarksV1
from daemon.ecosystems.rust.source import RustSource
from daemon.ecosystems.step import SOURCE_TIME
from daemon.pipeline import over_layer
from daemon.units.background import Harvests
from daemon.units.origins import origins
from tests.caching.mutations.witnesses import (
    compiled_in_the_layer,
    cycle,
    damage,
    forgetful,
    going_on,
    mismatch,
    moving,
    spoiling,
    unknown_layout,
    vendored_twice,
)
from tests.caching.workshop import Workshop

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

CONTROL = "control"
Patch = pytest.MonkeyPatch


def artefacts_are_older_than_the_system(patch: Patch, shop: Workshop) -> None:
    patch.setattr(cooking, "settle_script", lambda _time: steps.settle_script(SOURCE_TIME + 1))


def everything_stays_in_the_layer(patch: Patch, shop: Workshop) -> None:
    def script(time: int) -> str:
        whole = steps.settle_script(time)
        mutated = whole.replace("xargs -r -d '\\n' rm -rf --", "cat >/dev/null")
        assert mutated != whole
        return mutated

    patch.setattr(cooking, "settle_script", script)


def stubs_look_real_and_nobody_asks(patch: Patch, shop: Workshop) -> None:
    everything_stays_in_the_layer(patch, shop)
    patch.setattr(RustSource, "may_stay", lambda _self, _package: True)
    patch.setattr(ecosystem, "skeleton", lambda workspace, _masking: skeleton(workspace, Masking.KEEP))
    patch.setattr(RustCompiling, "_prove", lambda *_given: None)


def the_sources_are_no_part_of_the_result(patch: Patch, shop: Workshop) -> None:
    def key(exact: Any, request: Any, *rest: Any) -> Any:
        return result_key(exact, replace(request, tree=""), *rest)

    patch.setattr(ecosystem, "result_key", key)


def nothing_is_marked_and_nobody_asks(patch: Patch, shop: Workshop) -> None:
    patch.setattr(MarksV1, "dirty", lambda *_given: [])
    patch.setattr(RustCompiling, "_refuse_fresh", lambda *_given: None)


def nobody_asks_what_was_compiled_before(patch: Patch, shop: Workshop) -> None:
    patch.setattr(RustCompiling, "_refuse_fresh", lambda *_given: None)


def where_first_party_code_has_run_is_harvested(patch: Patch, shop: Workshop) -> None:
    harvest = Harvests.harvest

    async def compiled(self: Any, crop: Any) -> Any:
        last = (await shop.store.workspaces())[-1]
        containers = self._containers

        class There:
            create, remove = containers.create, containers.remove

            def get(self, _sandbox: str, path: str) -> Any:
                return containers.get(last.sandbox, path)

        patch.setattr(self, "_containers", There())
        try:
            return await harvest(self, crop)
        finally:
            patch.setattr(self, "_containers", containers)

    patch.setattr(Harvests, "harvest", compiled)


def all_scopes_are_one(patch: Patch, shop: Workshop) -> None:
    def key(source: Any, *rest: Any) -> Any:
        return unit_key(replace(source, request=replace(source.request, scope="everybody")), *rest)

    async def layer(key: Any, scope: str, project: str = "") -> Any:
        return await shop.store._layer("SELECT * FROM layers WHERE key = ? AND private IN ('', ?)", str(key), project)

    patch.setattr(ecosystem, "unit_key", key)
    patch.setattr(shop.store, "layer", layer)


def the_lock_is_a_suggestion(patch: Patch, shop: Workshop) -> None:
    patch.setattr(steps, "_BUILD", steps._BUILD.replace("--locked ", ""))
    fetch = steps.fetch_script
    patch.setattr(fetching, "fetch_script", lambda *given: fetch(*given).replace("--locked ", ""))


def a_failed_compile_is_never_the_layer_s_fault(patch: Patch, shop: Workshop) -> None:
    class Never(Exception):  # noqa: N818 - nothing raises it
        pass

    patch.setattr(over_layer, "FetchFailed", Never)


def what_no_lock_wants_stays(patch: Patch, shop: Workshop) -> None:
    patch.setattr(clearing, "move_lines", lambda _packages: [])


def a_vendored_crate_is_the_registry_s(patch: Patch, shop: Workshop) -> None:
    def made(*given: Any) -> Any:
        return replace(skeleton(*given), private=False)

    patch.setattr(ecosystem, "skeleton", made)
    patch.setattr(ecosystem, "origins", lambda lock, _config: origins(lock, CargoConfig()))


def no_layout_is_the_oldest_one(patch: Patch, shop: Workshop) -> None:
    for module in (ecosystem, compiling):
        patch.setattr(module, "layout_named", lambda _name: KNOWN[0])


def a_canary_asks_not_what_was_read(patch: Patch, shop: Workshop) -> None:
    async def told(*_given: object) -> None:
        pass

    patch.setattr(canary, "_inputs_told", told)


@dataclass(frozen=True)
class Mutation:
    """How a law is broken, and the witness that must say so; mutations that cook nothing share the control's layer."""

    law: int
    apply: Callable[[Patch, Workshop], None]
    witness: Callable[[Workshop, str], Awaitable[None]] = cycle
    scope: str = ""


MUTATIONS = (
    Mutation(1, artefacts_are_older_than_the_system),
    Mutation(2, everything_stays_in_the_layer),
    Mutation(3, stubs_look_real_and_nobody_asks),
    Mutation(4, nobody_asks_what_was_compiled_before, compiled_in_the_layer),
    Mutation(5, the_sources_are_no_part_of_the_result, scope=CONTROL),
    Mutation(5, nothing_is_marked_and_nobody_asks, going_on),
    Mutation(6, where_first_party_code_has_run_is_harvested, spoiling),
    Mutation(7, all_scopes_are_one),
    Mutation(8, the_lock_is_a_suggestion, mismatch),
    Mutation(9, a_failed_compile_is_never_the_layer_s_fault, damage),
    Mutation(10, what_no_lock_wants_stays, moving),
    Mutation(11, a_vendored_crate_is_the_registry_s, vendored_twice),
    Mutation(12, no_layout_is_the_oldest_one, unknown_layout),
    Mutation(12, a_canary_asks_not_what_was_read, forgetful),
)
WITNESSES = (
    cycle, going_on, mismatch, spoiling, compiled_in_the_layer, moving, vendored_twice,
    unknown_layout, forgetful,
)  # fmt: skip


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda witness: witness.__name__)
async def test_without_a_mutation_the_witness_is_content(shop: Workshop, witness: Callable[..., Awaitable[None]]):
    await witness(shop, CONTROL)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.apply.__name__)
async def test_a_broken_law_is_noticed(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, mutation: Mutation, told: Callable[..., None]
):
    told(mutation.law, mutation.apply, mutation.witness)
    mutation.apply(monkeypatch, shop)
    with pytest.raises(AssertionError, match=f"law {mutation.law}:"):
        await mutation.witness(shop, mutation.scope or f"mutation-{mutation.apply.__name__}"[:60].rstrip("_"))
