"""What of the store may be put into a workspace for another lock, and what of it stays there."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.digest import Digest
from cache.units import UnitRecord
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.rust.package_id import PackageId
from daemon.units.cook import CookNotes, GivenUnit, LiveUnit
from daemon.units.holdings import Holdings, Told, read_holdings, write_holdings
from daemon.units.layout import UnitId
from tests.fakes.rust_projects import REGISTRY
from tests.unit.units.test_selection import JSON, SERDE, SYN, unit

ALL = (SYN, SERDE, JSON)


def place(stored: UnitRecord) -> UnitId:
    return UnitId(stored.home, stored.unit_hash)


def live(stored: UnitRecord) -> LiveUnit:
    return LiveUnit(unit=place(stored), package=PackageId(REGISTRY, stored.origin.name, stored.origin.version))


def words(stored: UnitRecord) -> str:
    return f"{stored.origin.name} {stored.origin.version}"


def told(*named: UnitRecord, compiled: tuple[UnitRecord, ...] = (), finished: bool = True) -> Told:
    made = {place(each) for each in compiled}
    return Told(live=tuple(replace(live(each), compiled=place(each) in made) for each in named), finished=finished)


def cooked(*made: UnitRecord, compiled: tuple[UnitRecord, ...] | None = (), given: tuple[UnitRecord, ...] = ()):
    """A workspace over the layer of cook `one`."""
    notes = CookNotes(
        id="one",
        live=tuple(map(live, made)),
        given=tuple(GivenUnit(unit=place(each), digest=each.digest, cook=each.cook) for each in given),
        compiled=None if compiled is None else tuple(map(words, compiled)),
    )
    return Holdings.of_layer(notes, Fetched())


def put(holdings: Holdings, *chosen: UnitRecord) -> set[str]:
    return {each.origin.name for each in holdings.change(chosen, ()).put}


def test_what_was_harvested_of_its_own_layer_is_there_and_what_stands_on_it_may_be_put():
    holdings = cooked(SYN).after(told(SYN))
    assert put(holdings, *ALL) == {"serde", "json"}
    assert holdings.change(ALL, ()).stay == {place(SYN)}


def test_the_same_place_with_what_another_cook_made_is_another_unit():
    holdings = cooked(SYN).after(told(SYN))
    other = replace(SYN, cook="two", digest=Digest.of(b"other"))
    assert put(holdings, other, replace(SERDE, dependencies=(other.digest,))) == set()


def test_what_was_compiled_in_the_workspace_is_nothing_that_is_stored():
    holdings = cooked(SYN).after(told(SYN)).after(told(SYN, compiled=(SYN,)))
    assert put(holdings, *ALL) == set()
    assert holdings.change(ALL, ()).stay == {place(SYN)}, "and it stays"


def test_what_was_put_is_known_by_its_digest_until_it_is_compiled():
    holdings = Holdings().with_put([SYN, SERDE]).after(told(SYN, SERDE))
    assert put(holdings, *ALL) == {"json"}
    assert put(holdings.after(told(SYN, SERDE, compiled=(SERDE,))), *ALL) == set()


@pytest.mark.parametrize(("compiled", "known"), [((), True), ((SYN,), False), (None, False)])
def test_a_unit_that_the_cook_was_given_is_known_unless_the_cook_compiled_it(
    compiled: tuple[UnitRecord, ...] | None, *, known: bool
):
    given_before = replace(SYN, cook="zero")
    holdings = cooked(given_before, compiled=compiled, given=(given_before,)).after(told(given_before))
    assert put(holdings, given_before, SERDE) == ({"serde"} if known else set())


def test_what_is_there_and_not_used_any_more_stays_only_if_the_new_lock_wants_that_very_unit():
    holdings = Holdings().with_put(ALL).after(told(*ALL)).after(told(SYN))
    assert holdings.change((SYN,), ()).stay == {place(SYN)}
    assert holdings.change((SYN, SERDE), ()).stay == {place(SYN), place(SERDE)}
    compiled_here = holdings.after(told(SYN, SERDE, compiled=(SERDE,))).after(told(SYN))
    assert compiled_here.change((SYN, SERDE), ()).stay == {place(SYN)}
    assert put(compiled_here, SYN, SERDE) == {"serde"}, "it goes, and the stored one comes"


def test_a_unit_of_the_same_package_for_another_lock_leaves_the_others_as_they_came():
    """The build script of a package and its run have the same places under both locks, its library has not."""
    script, library = unit("ring", mark="script"), unit("ring", mark="library")
    other = unit("ring", mark="library of another lock")
    holdings = cooked(script, library).after(told(script, library)).after(told(script, other, compiled=(other,)))
    assert holdings.change((script, library), ()).stay == {place(script), place(library), place(other)}
    rerun = holdings.after(told(script, other, compiled=(other,)))
    assert put(rerun, script, replace(JSON, dependencies=(script.digest,))) == set()


def test_what_has_a_member_s_name_is_left_to_cargo():
    assert Holdings().change((SYN,), {"syn"}).put == ()


def test_what_stays_keeps_its_hash_from_other_homes():
    elsewhere = replace(SYN, home="x86_64-unknown-linux-gnu/release")
    assert put(cooked(SYN).after(told(SYN)), elsewhere) == set()


def test_a_compile_that_did_not_finish_leaves_in_doubt_what_it_said_nothing_of():
    holdings = Holdings().with_put([SYN, SERDE]).after(told(SYN, SERDE)).after(told(SYN, finished=False))
    assert put(holdings, *ALL) == set()
    assert holdings.change((), ()).stay == {place(SYN), place(SERDE)}, "the next compile may find it fresh"
    assert put(Holdings().with_put([SYN]).after(told(SYN)).after(told(SYN, finished=False)), SYN, SERDE) == {"serde"}


def test_it_is_written_and_read():
    holdings = replace(cooked(SYN).with_put([SERDE]).after(told(SYN)), fetched=Fetched(archives=("sha256:ab",)))
    assert read_holdings(write_holdings(holdings)) == holdings
    assert read_holdings(b"{}") == Holdings()
    assert read_holdings(b'{"units":[{}]}') is None
    assert read_holdings(b"\xff") is None


LEAVES = [unit(f"leaf-{number}", mark=mark) for number in range(3) for mark in ("", "again")]


@given(
    steps=st.lists(
        st.tuples(
            st.lists(st.sampled_from([*ALL, *LEAVES]), unique=True), st.sampled_from([(), (SYN,), (SERDE, JSON)])
        ),
        max_size=6,
    ),
    chosen=st.lists(st.sampled_from([*ALL, *LEAVES]), unique=True),
)
def test_whatever_came_before_what_is_put_finds_what_it_was_compiled_against(
    steps: list[tuple[list[UnitRecord], tuple[UnitRecord, ...]]], chosen: list[UnitRecord]
):
    """The workspace as it is, place by place; None is what cargo compiled there."""
    holdings, there = Holdings(), dict[UnitId, Digest | None]()
    for named, compiled in [*steps, (chosen, ())]:
        ordered = [each for each in (*ALL, *LEAVES) if each in named]
        change = holdings.change(ordered, ())
        there = {where: what for where, what in there.items() if where in change.stay}
        for each in change.put:
            assert place(each) not in there, "something is put over what stays"
            there[place(each)] = each.digest
            assert {*each.dependencies} <= {*there.values()}, "what it was compiled against is not there"
        for each in ordered:
            if each in compiled or place(each) not in there:
                there[place(each)] = None
        new = tuple(each for each in ordered if there[place(each)] is None)
        holdings = holdings.with_put(change.put, change.stay).after(told(*ordered, compiled=new))
