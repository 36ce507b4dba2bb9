"""Which stored units are put before a cook: those of the lock's packages, closed, the newest first."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cache.digest import Digest
from cache.manifests.rust.config import CargoConfig
from cache.manifests.rust.lock import read_lock
from cache.units import UnitKind, UnitOrigin, UnitRecord
from daemon.units.origins import origins
from daemon.units.selection import choose
from tests.fakes.rust_projects import REGISTRY, lock, locked


def origin(name: str, version: str = "1.0.0", proof: str = "ab") -> UnitOrigin:
    return UnitOrigin(name=name, version=version, source=REGISTRY, proof=proof)


def unit(name: str, *dependencies: UnitRecord, mark: str = "", at: float = 1.0, **other: object) -> UnitRecord:
    digest = Digest.of(f"{name} {mark}".encode())
    record = UnitRecord(
        scope="default",
        unit_key=Digest.of(b"key"),
        digest=digest,
        blob=digest,
        home="release",
        unit_hash=digest.hex[:16],
        fingerprint=digest.hex[16:32],
        origin=origin(name),
        kind=UnitKind.LIBRARY,
        features=(),
        profile="1",
        platform="host",
        dependencies=tuple(each.digest for each in dependencies),
        cook="one",
        seconds=1.0,
        size=1,
        unpacked=1,
        created_at=at,
        used_at=at,
    )
    return replace(record, **other)


SYN = unit("syn")
SERDE = unit("serde", SYN)
JSON = unit("json", SERDE)
LOCK = (origin("syn"), origin("serde"), origin("json"))


def test_all_units_of_the_locks_packages_come_each_after_what_it_was_compiled_against():
    assert choose([JSON, SYN, unit("other"), SERDE], LOCK) == (SYN, SERDE, JSON)


def test_law_11_another_version_checksum_or_source_is_another_package():
    for other in (origin("syn", "1.0.1"), origin("syn", proof="cd"), replace(origin("syn"), source="registry+x")):
        assert choose([SYN], [other]) == ()


def test_law_11_a_unit_is_not_chosen_without_all_that_it_stands_on():
    assert choose([JSON, SERDE], LOCK) == ()
    assert choose([JSON, SERDE, SYN], LOCK[1:]) == ()
    assert choose([JSON, SERDE, SYN], [LOCK[0], LOCK[2]]) == (SYN,)


def test_of_many_units_of_one_package_the_newest_are_chosen():
    many = [unit("syn", mark=str(number), at=float(number)) for number in range(10)]

    assert choose(many, LOCK, most=3) == (many[9], many[8], many[7])


def test_what_a_chosen_unit_needs_counts_as_its_package_does():
    old = [unit("syn", mark=str(number), at=float(number)) for number in range(4)]
    users = [unit("serde", each, mark=str(number), at=10.0 + number) for number, each in enumerate(old)]

    chosen = choose([*old, *users], LOCK, most=2)

    assert set(chosen) == {old[3], users[3], old[2], users[2]}


def test_of_two_units_for_one_place_the_newer_one_is_chosen_and_nothing_that_stands_on_the_other():
    newer = replace(unit("syn", mark="newer", at=5.0), unit_hash=SYN.unit_hash)

    assert choose([SYN, SERDE, newer], LOCK) == (newer,)


@given(st.data())
def test_every_choice_is_closed_and_ordered_within_its_bounds(data: st.DataObject):
    units: list[UnitRecord] = []
    for number in range(data.draw(st.integers(0, 12))):
        below = data.draw(st.lists(st.sampled_from(units), unique=True, max_size=3)) if units else []
        name = data.draw(st.sampled_from("abc"))
        units.append(unit(name, *below, mark=str(number), at=float(data.draw(st.integers(0, 3)))))
    missing = data.draw(st.sets(st.sampled_from(units), max_size=2)) if units else set()
    most = data.draw(st.integers(1, 5))

    chosen = choose([each for each in units if each not in missing], [origin(name) for name in "ab"], most)

    seen: set[Digest] = set()
    for each in chosen:
        assert seen.issuperset(each.dependencies)
        assert each not in missing
        seen.add(each.digest)
    assert len(seen) == len(chosen)
    assert all(sum(each.origin.name == name for each in chosen) <= most for name in "ab")
    assert not any(each.origin.name == "c" for each in chosen)


# --- what the lock proves


GIT = "git+https://example.org/soil?branch=main"
TEXT = lock(
    locked("app", "0.1.0", source=""),
    locked("plant", "1.0.0", checksum="ab" * 32),
    locked("bare", "1.0.0"),
    locked("soil", "0.2.0", source=f"{GIT}#0123456789"),
    locked("rocks", "0.2.0", source="git+https://example.org/rocks"),
)


def test_law_11_the_lock_proves_packages_with_a_checksum_or_a_revision():
    assert origins(read_lock("Cargo.lock", TEXT.encode()), CargoConfig()) == (
        UnitOrigin(name="plant", version="1.0.0", source=REGISTRY, proof="ab" * 32),
        UnitOrigin(name="soil", version="0.2.0", source=GIT, proof="0123456789"),
    )


def test_law_11_where_crates_come_from_a_directory_of_the_tree_nothing_is_proved():
    """An edited vendored crate has the registry's package id, unit hash and fingerprint."""
    assert origins(read_lock("Cargo.lock", TEXT.encode()), CargoConfig(local_sources=("vendor",))) == ()
