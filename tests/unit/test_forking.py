"""Whether a copy of a workspace is worth it: pure, of what copies and compiles have taken."""

from hypothesis import given
from hypothesis import strategies as st

from cache.costs import CostKind, Measured, Way
from cache.forking import PER_BYTE, STARTING, Weighed, weigh

APP, WORDS, MACROS = ((CostKind.MEMBER, name) for name in ("app", "words", "macros"))
COPIED = (CostKind.COPY, Way.FORK)
KNOWN: Measured = {APP: (4.0,), WORDS: (9.0, 1.0, 2.0), MACROS: (0.5,), (CostKind.DEPENDENCY, "syn"): (60.0,)}
seconds = st.lists(st.floats(0, 1e4), min_size=1, max_size=5).map(tuple)
members = st.dictionaries(st.sampled_from((APP, WORDS, MACROS)), seconds, min_size=1)
names = st.sets(st.sampled_from(("app", "words", "macros", "unused")))


def test_a_copy_spares_the_members_that_no_change_reaches():
    assert weigh(0, ["words", "macros"], KNOWN) == Weighed(copying=STARTING, compiling=2.5)


def test_where_nothing_was_copied_yet_the_bytes_tell():
    small, large = weigh(10**6, ["words"], KNOWN), weigh(10**10, ["words"], KNOWN)

    assert small == Weighed(copying=STARTING + 10**6 * PER_BYTE, compiling=2.0)
    assert large == Weighed(copying=STARTING + 10**10 * PER_BYTE, compiling=2.0)
    assert (small.worth, large.worth) == (True, False)


def test_of_the_last_copies_the_quickest_counts_whatever_the_bytes_say():
    weighed = weigh(10**12, ["words"], {**KNOWN, COPIED: (23.0, 1.5, 2.5)})

    assert weighed == Weighed(copying=1.5, compiling=2.0)
    assert weighed.worth


def test_where_every_member_is_dirty_there_is_nothing_to_gain():
    weighed = weigh(0, [], KNOWN)

    assert weighed is not None
    assert not weighed.worth


def test_a_member_that_was_never_compiled_is_none_that_a_copy_spares():
    assert weigh(0, ["unused"], KNOWN) == Weighed(copying=STARTING, compiling=0.0)


def test_where_no_member_was_measured_nobody_knows():
    assert weigh(0, ["app"], {COPIED: (1.0,), (CostKind.DEPENDENCY, "app"): (9.0,)}) is None


@given(size=st.integers(0, 10**12), spared=names, known=members)
def test_to_spare_more_never_makes_a_copy_less_worth(size: int, spared: set[str], known: Measured):
    some, more = weigh(size, spared, known), weigh(size, {*spared, "app"}, known)

    assert some is not None
    assert more is not None
    assert more.worth or not some.worth
