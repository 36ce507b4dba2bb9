"""The rung `observed`: documentation changes no image, and everything else is no documentation (law 13)."""

import pytest

from cache.digest import Digest
from cache.reuse import Rung, WhyNot
from daemon.builds import ImageRequest, ImageSettings, Outcome
from daemon.ecosystems.step import Reads
from tests.fakes.rust_projects import SIMPLE, Executable, Files
from tests.fakes.workshop import Workshop

BASE: Files = {**SIMPLE, "README.md": "words\n", "docs/one.md": "one\n"}
README = {**BASE, "README.md": "other words\n"}
EDITED = {**BASE, "src/main.rs": "fn main() { }\n"}


@pytest.fixture
def observing(yard: Workshop) -> Workshop:
    yard.reads = Reads.TOLD
    yard.compose()
    return yard


def why(outcome: Outcome) -> WhyNot:
    return next(refusal.why for refusal in outcome.reuse.refusals if refusal.rung is Rung.OBSERVED)


async def test_documentation_is_answered_with_the_image_that_is_there(observing: Workshop):
    first = await observing.build(BASE)
    observing.ran()
    told = await observing.explain(README)

    outcome = await observing.build(README, tags=("other",))

    assert (outcome.reuse.rung, told.rung, observing.ran()) == (Rung.OBSERVED, Rung.OBSERVED, [])
    assert (outcome.images[0].digest, outcome.images[0].tags) == (first.images[0].digest, ("other:latest",))
    assert [(it.rung, it.why) for it in outcome.reuse.refusals] == [(Rung.RESULT, WhyNot.KEY_CHANGED)]
    assert outcome.reuse.compiled == ()
    assert outcome.reuse.seconds_saved > 0
    assert (await observing.build(README)).reuse.rung is Rung.RESULT
    await observing.assert_nothing_is_left()


async def test_one_change_of_documentation_after_another_and_after_an_edit(observing: Workshop):
    await observing.build(BASE)
    assert (await observing.build(README)).reuse.rung is Rung.OBSERVED
    both = {**README, "docs/one.md": "two\n"}
    assert (await observing.build(both)).reuse.rung is Rung.OBSERVED
    edited = {**both, "src/main.rs": EDITED["src/main.rs"]}
    assert (await observing.build(edited)).reuse.rung is Rung.WORKSPACE
    assert (await observing.build({**edited, "README.md": "third\n"})).reuse.rung is Rung.OBSERVED


@pytest.mark.parametrize(
    "files",
    [
        EDITED,
        {**README, "src/main.rs": "fn main() { }\n"},
        {**BASE, "NEWS.md": "new\n"},
        {path: text for path, text in BASE.items() if path != "README.md"},
        {**{path: text for path, text in BASE.items() if path != "README.md"}, "READYOU.md": "words\n"},
        {**BASE, "README.md": Executable("words\n")},
    ],
    ids=["opened", "opened and documentation", "added", "removed", "renamed", "mode"],
)
async def test_law_13_more_than_unread_contents_is_compiled(observing: Workshop, files: Files):
    await observing.build(BASE)
    outcome = await observing.build(files)
    assert (outcome.reuse.rung, why(outcome)) == (Rung.WORKSPACE, WhyNot.OPENED)


async def test_law_13_another_lineage_s_image_is_not_observed(observing: Workshop):
    await observing.build(BASE)
    outcome = await observing.build(README, lineage="branch")
    assert outcome.reuse.rung is not Rung.OBSERVED
    assert why(outcome) is WhyNot.FIRST_BUILD


async def test_law_13_another_request_is_not_observed(observing: Workshop):
    await observing.build(BASE)
    labelled = ImageRequest(binary="app", settings=ImageSettings(labels={"colour": "red"}))
    outcome = await observing.build(README, images=(labelled,))
    assert (outcome.reuse.rung, why(outcome)) == (Rung.WORKSPACE, WhyNot.KEY_CHANGED)
    refusal = next(it for it in outcome.reuse.refusals if it.rung is Rung.OBSERVED)
    assert [one.label for one in refusal.differences] == ["image settings"]


async def test_law_13_what_goes_into_the_image_is_opened(observing: Workshop):
    shipping = {**BASE, "bloomery.toml": '[image]\ninclude = ["docs/"]\n'}
    await observing.build(shipping)
    assert (await observing.build({**shipping, "README.md": "other\n"})).reuse.rung is Rung.OBSERVED
    outcome = await observing.build({**shipping, "docs/one.md": "other\n"})
    assert (outcome.reuse.rung, why(outcome)) == (Rung.WORKSPACE, WhyNot.OPENED)


async def test_law_13_where_access_times_tell_nothing_nothing_is_observed(yard: Workshop):
    await yard.build(BASE)
    outcome = await yard.build(README)
    assert (outcome.reuse.rung, why(outcome)) == (Rung.WORKSPACE, WhyNot.NOT_OBSERVED)
    yard.reads = Reads.TOLD
    yard.compose()
    outcome = await yard.build({**README, "src/main.rs": "fn main() { }\n"})
    outcome = await yard.build({**BASE, "src/main.rs": "fn main() { }\n"})
    assert (outcome.reuse.rung, why(outcome)) == (Rung.WORKSPACE, WhyNot.NOT_OBSERVED), (
        "of the workspace's first compile"
    )


async def test_law_9_an_image_that_is_damaged_is_made_again(observing: Workshop):
    first = await observing.build(BASE)
    store = observing.store
    manifest = store.blobs.path(Digest.parse(first.images[0].digest))
    await observing.engine.images.remove(first.images[0].image_id)
    manifest.write_bytes(b"x" * manifest.stat().st_size)
    outcome = await observing.build(README)
    assert (outcome.reuse.rung, why(outcome)) in [(Rung.WORKSPACE, WhyNot.DAMAGED), (Rung.WORKSPACE, WhyNot.PRUNED)]
    assert outcome.images[0].digest == first.images[0].digest
    assert (await observing.build({**README, "docs/one.md": "two\n"})).reuse.rung is Rung.OBSERVED
