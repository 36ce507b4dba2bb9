"""Whether all is expected to be stored that a compile asks for."""

from cache.units import UnitKind
from daemon.units.expectation import nothing_missing
from tests.unit.units.test_selection import JSON, SERDE, SYN, origin, unit

STORED = (SYN, SERDE, JSON)


def test_every_package_that_is_named_has_to_be_there():
    assert nothing_missing([origin("json")], STORED, "release")
    assert nothing_missing([origin("json"), origin("syn")], STORED, "release")
    assert not nothing_missing([origin("json"), origin("rand")], STORED, "release")


def test_another_version_or_another_source_is_missing():
    assert not nothing_missing([origin("json", "1.0.1")], STORED, "release")
    assert not nothing_missing([origin("json", proof="cd")], STORED, "release")


def test_what_no_lock_proves_is_never_there():
    assert not nothing_missing([origin("json", proof="")], STORED, "release")


def test_a_build_script_alone_is_no_library():
    assert not nothing_missing([origin("ring")], [SYN, unit("ring", kind=UnitKind.BUILD_SCRIPT)], "release")


def test_units_lie_in_the_profile_s_directory_whatever_the_target():
    static = unit("json", home="x86_64-unknown-linux-gnu/release")
    assert nothing_missing([origin("json")], [static], "release")
    assert not nothing_missing([origin("json")], [static], "debug")


def test_with_nothing_stored_nothing_is_expected():
    assert not nothing_missing([], [], "release")
