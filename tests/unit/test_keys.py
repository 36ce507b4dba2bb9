"""Keys, what their differences say, and the policy that chooses a rung."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.comparing import files_changed
from cache.differences import FilesChanged, SettingChanged, Subject
from cache.digest import Digest, NotADigest
from cache.keys import Key, KeyKind, KeyPart
from cache.reuse import Candidate, ReusePlan, Rung, Standing, WhyNot, choose

words = st.text(max_size=8)
parts = st.lists(st.tuples(words, words), max_size=6).map(lambda pairs: tuple(KeyPart(*pair) for pair in pairs))
unique = st.dictionaries(words, words, max_size=6).map(lambda pairs: tuple(KeyPart(*pair) for pair in pairs.items()))


def key(kind: KeyKind = KeyKind.EXACT, **values: str) -> Key:
    return Key(kind, tuple(KeyPart(label, value) for label, value in values.items()))


@given(one=parts, other=parts)
def test_keys_have_equal_names_only_if_their_parts_are_equal(one: tuple[KeyPart, ...], other: tuple[KeyPart, ...]):
    assert (Key(KeyKind.UNIT, one).digest == Key(KeyKind.UNIT, other).digest) == (one == other)


def test_no_part_can_pass_for_two():
    assert key(a='x","b').digest != key(a="x", b="").digest
    assert key(a="b", c="d").digest != key(c="d", a="b").digest


def test_keys_of_two_kinds_are_two_keys():
    assert len({Key(kind, ()).digest for kind in KeyKind}) == len(KeyKind)


def test_a_key_goes_on_from_the_one_below():
    unit = key(KeyKind.UNIT, scope="default")

    hard = unit.extended(KeyKind.HARD, [KeyPart("profile", "release")])

    assert hard == key(KeyKind.HARD, scope="default", profile="release")


@given(old=unique, new=unique)
def test_differences_are_exactly_what_tells_two_keys_apart(old: tuple[KeyPart, ...], new: tuple[KeyPart, ...]):
    before, after = Key(KeyKind.EXACT, old), Key(KeyKind.EXACT, new)

    differences = before.differences(after)

    assert {one.label: (one.old, one.new) for one in differences if isinstance(one, SettingChanged)} == {
        label: (before.values().get(label), after.values().get(label))
        for label in {*before.values(), *after.values()}
        if before.values().get(label) != after.values().get(label)
    }
    assert before.differences(before) == ()


def test_differences_come_in_the_newer_keys_order_then_what_went():
    assert key(gone="1", b="1", a="1").differences(key(a="2", b="2", come="2")) == (
        SettingChanged(label="a", old="1", new="2"),
        SettingChanged(label="b", old="1", new="2"),
        SettingChanged(label="come", old=None, new="2"),
        SettingChanged(label="gone", old="1", new=None),
    )


def test_a_structured_part_does_not_depend_on_the_order_of_its_names():
    assert KeyPart.of_json("x", {"b": 1, "a": ["ü"]}) == KeyPart.of_json("x", {"a": ["ü"], "b": 1})
    assert KeyPart.of_json("x", [1, 2]) != KeyPart.of_json("x", [2, 1])


@given(st.binary(max_size=100))
def test_a_digest_is_read_as_it_is_written(content: bytes):
    digest = Digest.of(content)

    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize(
    "text",
    ["", "sha256:", "sha512:" + "0" * 64, "sha256:" + "0" * 63, "sha256:" + "A" * 64, "sha256:" + "0" * 64 + "\n"],
)
def test_what_is_no_digest_is_refused(text: str):
    with pytest.raises(NotADigest):
        Digest.parse(text)


WANTED, OTHER = key(lock="2"), key(lock="1")
RESULT = Candidate(rung=Rung.RESULT, standing=Standing.HELD, wanted=WANTED)
LAYER = Candidate(rung=Rung.LAYER, standing=Standing.HELD, wanted=WANTED)


def test_the_highest_rung_that_is_held_is_chosen():
    assert choose((RESULT, LAYER)) == ReusePlan(Rung.RESULT, ())
    plan = choose((replace(RESULT, standing=Standing.ABSENT), LAYER))
    assert (plan.rung, [refusal.rung for refusal in plan.refusals]) == (Rung.LAYER, [Rung.RESULT])


def test_without_any_that_is_held_nothing_is_reused_and_each_rung_has_its_reason():
    plan = choose((replace(RESULT, standing=Standing.DAMAGED), replace(LAYER, standing=Standing.PRUNED)))

    assert plan.rung is Rung.NONE
    assert [(it.rung, it.why) for it in plan.refusals] == [
        (Rung.RESULT, WhyNot.DAMAGED),
        (Rung.LAYER, WhyNot.PRUNED),
    ]


def test_an_absent_entry_is_explained_by_the_nearest_or_is_the_first():
    absent = replace(LAYER, standing=Standing.ABSENT)

    assert choose((absent,)).refusals[0].why is WhyNot.FIRST_BUILD
    (refusal,) = choose((replace(absent, nearest=OTHER),)).refusals
    assert (refusal.why, refusal.differences) == (WhyNot.KEY_CHANGED, (SettingChanged(label="lock", old="1", new="2"),))


def test_the_sources_that_differ_are_named_where_they_are_known():
    before, after = (Key(KeyKind.RESULT, (KeyPart("source tree", side, Subject.FILES),)) for side in "12")
    absent = Candidate(rung=Rung.RESULT, standing=Standing.ABSENT, wanted=after, nearest=before)
    known = files_changed("source tree", {"a": 1}, {"a": 2})

    assert choose((absent,)).refusals[0].differences == (FilesChanged(label="source tree"),)
    assert choose((replace(absent, sources=known),)).refusals[0].differences == (known,)


@given(standings=st.lists(st.sampled_from(Standing), max_size=4))
def test_each_rung_above_the_chosen_one_has_one_reason_in_order_and_none_below_has(standings: list[Standing]):
    rungs = [Rung.RESULT, Rung.WORKSPACE, Rung.LAYER, Rung.UNITS][: len(standings)]
    candidates = [
        Candidate(rung=rung, standing=standing, wanted=WANTED) for rung, standing in zip(rungs, standings, strict=True)
    ]

    plan = choose(tuple(candidates))

    above = rungs[: rungs.index(plan.rung)] if plan.rung in rungs else rungs or list(Rung)[:-1]
    assert [refusal.rung for refusal in plan.refusals] == above


def test_units_that_are_not_there_are_explained_by_a_unit_key_that_changed():
    absent = replace(LAYER, rung=Rung.UNITS, standing=Standing.ABSENT)

    assert choose((absent,)).refusals[0].why is WhyNot.NOT_STORED
    assert choose((replace(absent, nearest=WANTED),)).refusals[0].why is WhyNot.NOT_STORED
    (refusal,) = choose((replace(absent, nearest=OTHER),)).refusals
    assert (refusal.why, len(refusal.differences)) == (WhyNot.KEY_CHANGED, 1)


def test_a_changed_key_is_labelled_by_what_changed_first_and_everything_else_by_itself():
    absent = replace(LAYER, standing=Standing.ABSENT, nearest=OTHER)

    assert choose((absent,)).refusals[0].reason is Subject.SETTING
    assert choose((replace(absent, nearest=None),)).refusals[0].reason is WhyNot.FIRST_BUILD


def test_a_clean_build_refuses_every_rung_because_it_was_asked_to():
    plan = choose(())

    assert plan.rung is Rung.NONE
    assert [(it.rung, it.why) for it in plan.refusals] == [
        (Rung.RESULT, WhyNot.ASKED_NOT_TO),
        (Rung.OBSERVED, WhyNot.ASKED_NOT_TO),
        (Rung.WORKSPACE, WhyNot.ASKED_NOT_TO),
        (Rung.LAYER, WhyNot.ASKED_NOT_TO),
        (Rung.UNITS, WhyNot.ASKED_NOT_TO),
    ]
