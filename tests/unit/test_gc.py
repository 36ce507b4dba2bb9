"""What goes when the cache is too large."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from cache.digest import Digest
from cache.gc import HALF_LIFE, Entry, EntryKind, EntryName, surplus, total

NOW = 1_700_000_000.0


def named(name: object, kind: EntryKind = EntryKind.UNIT) -> EntryName:
    return EntryName(kind, (str(name),))


def entry(name: object, size: int = 0, seconds: float = 1.0, age: float = 0.0, **more: object) -> Entry:
    return Entry(name=named(name), seconds=seconds, used_at=NOW - age, size=size, **more)


def going(entries: Iterable[Entry], ceiling: int, *pinned: str) -> list[str]:
    return [gone.name.name[0] for gone in surplus(list(entries), ceiling, NOW, map(named, pinned))]


def test_nothing_goes_while_there_is_room():
    assert going([entry("a", 10), entry("b", 10)], 20) == []


def test_what_is_worth_least_by_the_byte_goes_first():
    cheap, dear, large = entry("cheap", 10, 1), entry("dear", 10, 9), entry("large", 100, 5)

    assert going([dear, cheap, large], 0) == ["large", "cheap", "dear"]


def test_what_nobody_used_for_long_is_worth_less():
    old, new = entry("old", 10, 3, 2 * HALF_LIFE), entry("new", 10, 1)

    assert going([new, old], 10) == ["old"]


def test_nothing_goes_before_what_stands_on_it_however_little_it_is_worth():
    base = entry("base", 10, 0.1)
    middle = entry("middle", 10, 5, needs=frozenset({named("base")}))
    top = entry("top", 10, 9, needs=frozenset({named("middle")}))

    assert going([base, middle, top], 10) == ["top", "middle"]


def test_what_stands_on_something_that_is_not_here_can_go():
    assert going([entry("a", 10, needs=frozenset({named("gone")}))], 0) == ["a"]


def test_what_is_pinned_stays_with_all_that_it_stands_on():
    base, top = entry("base", 10), entry("top", 10, needs=frozenset({named("base")}))

    assert going([base, top, entry("other", 10, 99)], 0, "top") == ["other"]


def test_a_blob_goes_with_the_last_that_names_it():
    blob = Digest.of(b"shared")
    one, two = entry("one", seconds=1, blobs={blob: 100}), entry("two", seconds=2, blobs={blob: 100})

    assert total([one, two]) == 100
    assert going([one, two], 99) == ["one", "two"]
    assert going([one, two, entry("third", 1, 0.001)], 100) == ["third"]


@st.composite
def caches(draw: st.DrawFn) -> list[Entry]:
    """Entries over a few blobs, each standing on some of those before it."""
    count = draw(st.integers(0, 12))
    blobs = [Digest.of(bytes([number])) for number in range(4)]
    sizes = dict(zip(blobs, draw(st.lists(st.integers(0, 50), min_size=4, max_size=4)), strict=True))
    found: list[Entry] = []
    for number in range(count):
        held = draw(st.sets(st.sampled_from(blobs), max_size=3))
        needs = draw(st.sets(st.integers(0, max(0, number - 1)), max_size=2)) if number else set()
        found.append(
            entry(
                number,
                draw(st.integers(0, 50)),
                draw(st.floats(0, 100)),
                draw(st.floats(-10, 10 * HALF_LIFE)),
                blobs={blob: sizes[blob] for blob in held},
                needs=frozenset(map(named, needs)),
            )
        )
    return found


@given(caches(), st.integers(0, 600), st.sets(st.integers(0, 11), max_size=3))
def test_the_rest_is_below_the_ceiling_or_only_what_must_stay(entries: list[Entry], ceiling: int, pins: set[int]):
    pinned = set(map(named, pins))
    gone = list(surplus(entries, ceiling, NOW, pinned))
    rest = [one for one in entries if one not in gone]

    here = {one.name: one for one in entries}
    stays = pinned & here.keys()
    waiting = list(stays)
    while waiting:
        for need in here[waiting.pop()].needs - stays:
            stays.add(need)
            waiting.append(need)
    assert total(rest) <= ceiling or {one.name for one in rest} == stays
    assert stays.isdisjoint(one.name for one in gone)


@given(caches(), st.integers(0, 600))
def test_dependents_go_before_their_dependencies_and_nothing_goes_in_vain(entries: list[Entry], ceiling: int):
    gone = list(surplus(entries, ceiling, NOW))

    place = {one.name: number for number, one in enumerate(gone)}
    for one in entries:
        for need in one.needs & place.keys():
            assert one.name in place
            assert place[one.name] < place[need]
    if gone:
        assert total([one for one in entries if one not in gone[:-1]]) > ceiling


@given(caches())
def test_of_what_stands_on_nothing_the_order_is_that_of_worth(entries: list[Entry]):
    alone = [Entry(name=one.name, seconds=one.seconds, used_at=NOW, size=one.size + 1) for one in entries]

    gone = list(surplus(alone, 0, NOW))

    assert [one.seconds / one.size for one in gone] == sorted(one.seconds / one.size for one in alone)
