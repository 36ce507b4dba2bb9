"""A new lineage's first build copies another's workspace only where that should cost less than it spares."""

import pytest

from cache.costs import Cost, CostKind, Way
from cache.reuse import Rung, WhyNot
from daemon.builds import Outcome
from tests.fakes.rust_projects import SIMPLE
from tests.fakes.workshop import Workshop

EDITED = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}


async def costs(shop: Workshop, *, compiling: float, copying: float) -> None:
    """What compiling the one member and copying have taken, as often as is remembered."""
    measured = (Cost(CostKind.MEMBER, "app", compiling), Cost(CostKind.COPY, Way.FORK, copying))
    await shop.store.record_costs("default", "app", measured * 5)


def stands_on(outcome: Outcome) -> tuple[Rung, str | None]:
    return outcome.reuse.rung, outcome.reuse.forked_from


async def test_where_copying_costs_less_the_workspace_is_copied_and_the_copy_is_measured(yard: Workshop):
    await yard.build()
    await costs(yard, compiling=100.0, copying=50.0)

    outcome = await yard.build(check=("/app",), lineage="fix")

    assert stands_on(outcome) == (Rung.WORKSPACE, "main")
    measured = await yard.store.costs("default", "app", [])
    assert min(measured[CostKind.COPY, Way.FORK]) < 50.0
    assert (CostKind.REST, Way.FORK) in measured
    assert (CostKind.REST, Rung.WORKSPACE) not in measured, "a copy is not what an edit costs"


@pytest.mark.parametrize("compiling", [1.0, 2.0])
async def test_where_copying_costs_as_much_the_layer_is_taken_and_the_report_says_why(yard: Workshop, compiling: float):
    await yard.build()
    await costs(yard, compiling=compiling, copying=2.0)

    told = await yard.explain(check=("/app",), lineage="fix")
    outcome = await yard.build(check=("/app",), lineage="fix")

    assert stands_on(outcome) == (told.rung, told.forked_from) == (Rung.LAYER, None)
    assert told.refusals == outcome.reuse.refusals
    (refused,) = (one for one in outcome.reuse.refusals if one.rung is Rung.WORKSPACE)
    assert (refused.why, refused.parent) == (WhyNot.COPYING_COSTS_MORE, "main")
    assert refused.weighed is not None
    assert (refused.weighed.copying, refused.weighed.compiling) == (2.0, compiling)
    assert outcome.images[0].digest == (await yard.build(check=("/app",), scope="elsewhere")).images[0].digest


async def test_where_all_is_dirty_a_copy_spares_nothing(yard: Workshop):
    await yard.build()
    await costs(yard, compiling=100.0, copying=0.1)

    outcome = await yard.build(EDITED, lineage="fix")

    assert stands_on(outcome) == (Rung.LAYER, None)


async def test_the_lineage_that_was_named_is_weighed_too(yard: Workshop):
    await yard.build()
    await costs(yard, compiling=1.0, copying=2.0)

    assert stands_on(await yard.build(EDITED, lineage="fix", parent="main")) == (Rung.LAYER, None)


async def test_without_a_layer_the_workspace_is_copied_whatever_that_costs(yard: Workshop):
    await yard.build()
    await costs(yard, compiling=1.0, copying=100.0)
    layer = await yard.store.latest_layer("default", "app")
    assert layer is not None
    await yard.store.forget_layer(layer.key.digest, "default")

    assert stands_on(await yard.build(EDITED, lineage="fix")) == (Rung.WORKSPACE, "main")


async def test_one_of_which_the_tree_is_gone_cannot_be_weighed(yard: Workshop):
    await yard.build()
    parent = await yard.store.workspace("default", "app", "main")
    assert parent is not None
    await yard.store.forget_tree(parent.tree)

    told = await yard.explain(EDITED, lineage="fix")

    assert (told.rung, told.forked_from) == (Rung.WORKSPACE, "main")
