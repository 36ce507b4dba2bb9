"""A toolchain whose cargo keeps what it compiles in a way that is not known: whole layers are reused, nothing finer."""

import pytest

from cache.reuse import Rung, WhyNot
from daemon.builds import Reuse
from tests.fakes.rust_projects import SIMPLE, stable
from tests.fakes.workshop import Workshop

EDITED = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}
IMPOSSIBLE = {Rung.WORKSPACE: WhyNot.UNKNOWN_LAYOUT, Rung.UNITS: WhyNot.UNKNOWN_LAYOUT}


@pytest.fixture
def shop(shop: Workshop) -> Workshop:
    shop.offered.toolchains = [stable(shop.toolchain.facts.image_id, layout="none")]
    return shop


async def test_the_report_says_why_there_are_neither_units_nor_workspaces(shop: Workshop):
    first = await shop.build()

    reasons = {refusal.rung: refusal.why for refusal in first.reuse.refusals}
    assert first.reuse.rung is Rung.NONE
    assert reasons == reasons | {Rung.LAYER: WhyNot.FIRST_BUILD} | IMPOSSIBLE
    assert any("bloomery toolchain check" in note for note in first.reuse.notes)
    await shop.harvest()
    assert await shop.store.workspaces() == ()
    assert await shop.store.unit_bytes() == 0


async def test_an_edit_is_compiled_over_the_layer(shop: Workshop):
    await shop.build()
    shop.ran()

    edited = await shop.build(EDITED)

    assert (edited.reuse.rung, shop.ran()) == (Rung.LAYER, ["compile"])
    assert {refusal.rung: refusal.why for refusal in edited.reuse.refusals}[Rung.WORKSPACE] is WhyNot.UNKNOWN_LAYOUT


async def test_what_was_kept_before_the_layout_was_known_not_to_hold_is_left_alone(shop: Workshop):
    """Another layout is another unit key, so nothing of the old one fits."""
    shop.offered.toolchains = [shop.toolchain]
    await shop.build()
    shop.offered.toolchains = [stable(shop.toolchain.facts.image_id, layout="none")]

    after = await shop.build(EDITED)

    assert after.reuse.rung is Rung.NONE
    changed = next(refusal for refusal in after.reuse.refusals if refusal.rung is Rung.LAYER)
    assert (changed.why, [difference.label for difference in changed.differences]) == (WhyNot.KEY_CHANGED, ["layout"])


async def test_a_clean_build_is_one_because_it_was_asked_for(shop: Workshop):
    clean = await shop.build(reuse=Reuse.NOTHING)

    assert {refusal.why for refusal in clean.reuse.refusals} == {WhyNot.ASKED_NOT_TO}
