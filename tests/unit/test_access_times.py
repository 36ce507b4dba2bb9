"""What the trial of access times concludes, and when it is made."""

import pytest

from daemon.ecosystems.step import UNREAD_TIME, Reads
from daemon.errors import EngineUnavailable
from daemon.toolchains.access_times import WAYS, AccessTimes, misses
from tests.fakes.access_times import KeptAnswers
from tests.fakes.engine import FakeEngine, Step

BEFORE = [f"before {UNREAD_TIME}.0000000000 {name}" for name in (*WAYS, "control")] + ["before 1790000000.5 lower"]
TRIED = [f"refused {way} (os error 38)" if way in {"clone", "no-atime"} else f"read {way}" for way in WAYS]
AFTER = {
    **{way: f"after {'1790000001.5' if f'read {way}' in TRIED else f'{UNREAD_TIME}.0000000000'} {way}" for way in WAYS},
    "control": f"after {UNREAD_TIME}.0000000000 control",
    "lower": "after 1790000000.5 lower",
}
SOUND = (*BEFORE, *TRIED, *AFTER.values(), "end")


def without(*lines: str) -> tuple[str, ...]:
    return tuple(line for line in SOUND if line not in lines)


def changed(**after: str) -> tuple[str, ...]:
    return (*BEFORE, *TRIED, *{**AFTER, **after}.values(), "end")


def test_all_ways_seen_is_no_miss() -> None:
    assert misses(SOUND) == ()


@pytest.mark.parametrize(
    ("said", "missed"),
    [
        (changed(read=f"after {UNREAD_TIME}.0000000000 read"), ("read",)),
        (changed(control="after 1790000001.5 control"), ("a file that nobody has read",)),
        (changed(lower=f"after {UNREAD_TIME}.0000000000 lower"), ("a file of the image",)),
        (without("read mmap"), ("mmap",)),
        (tuple(line.replace("read splice", "refused splice") for line in SOUND), ("splice",)),
        (tuple(line.replace("refused clone", "read clone") for line in SOUND), ("clone",)),
        (without(BEFORE[0]), (WAYS[0],)),
        (SOUND[:-1], ("the trial itself",)),
        ((), ("the trial itself",)),
    ],
    ids=["unseen", "all look read", "a layer's", "not tried", "does not work", "a refused one works",
         "looks read before", "cut off", "silent"],
)  # fmt: skip
def test_a_miss_is_named(said: tuple[str, ...], missed: tuple[str, ...]) -> None:
    assert misses(said) == missed


class Rig:
    """An engine whose sandboxes say what they are told to."""

    def __init__(self) -> None:
        self.engine, self.answers = FakeEngine(), KeptAnswers()
        self.image = self.engine.add_image("toolchain:1").id
        self.said = SOUND
        self.engine.script(self.run)

    def run(self, step: Step) -> int:
        step.print("\n".join(self.said) + "\n")
        return 0

    def made(self, runtime: str | None = None) -> AccessTimes:
        return AccessTimes(
            survey=self.engine.survey,
            sandboxes=self.engine.sandboxes,
            answers=self.answers,
            labels={},
            runtime=runtime,
        )

    @property
    def trials(self) -> int:
        return sum(call == "sandboxes.create" for call, _ in self.engine.calls)


async def test_an_engine_is_tried_once_and_nothing_is_left_there() -> None:
    rig = Rig()
    first = rig.made()
    assert [await first.reads(rig.image), await first.reads(rig.image)] == [Reads.TOLD, Reads.TOLD]
    assert await rig.made().reads(rig.image) is Reads.TOLD
    assert (rig.trials, await rig.engine.survey.sandboxes({})) == (1, ())
    await rig.made("runsc").reads(rig.image)
    assert rig.trials == 2, "another runtime is another engine"


async def test_one_miss_and_what_was_read_is_unknown() -> None:
    rig = Rig()
    rig.said = changed(mmap=f"after {UNREAD_TIME}.0000000000 mmap")
    assert await rig.made().reads(rig.image) is Reads.UNKNOWN
    assert rig.answers.misses == ("mmap",)


async def test_an_engine_that_does_not_answer_is_asked_again() -> None:
    rig = Rig()
    asked = rig.made()
    rig.engine.fail("sandboxes.run", EngineUnavailable("gone"))
    assert await asked.reads(rig.image) is Reads.UNKNOWN
    assert await asked.reads(rig.image) is Reads.TOLD


async def test_an_answer_that_cannot_be_read_is_found_again() -> None:
    rig = Rig()
    await rig.made().reads(rig.image)
    rig.answers.kept = dict.fromkeys(rig.answers.kept, b"{")
    assert await rig.made().reads(rig.image) is Reads.TOLD
    assert rig.trials == 2
