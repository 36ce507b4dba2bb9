"""Units on their way into a sandbox: proved before they are given away, one at a time, left out whole when damaged."""

import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.store import Store
from cache.units import UnitOrigin, UnitRecord
from daemon.tarball import pieces
from daemon.units.cook import Cook, CookNotes
from daemon.units.harvest import Harvester
from daemon.units.layout_v1 import LayoutV1
from daemon.units.placing import Placing
from tests.fakes.rust_projects import REGISTRY
from tests.fakes.target_directories import archive, library, streamed

SYN = library("syn", content=bytes(300_000))
SERDE = library("serde", SYN)
JSON = library("json", SERDE)
ITOA = library("itoa")


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[tuple[BlobStore, dict[str, UnitRecord]]]:
    store = await Store.open(tmp_path / "state")
    made = (SYN, SERDE, JSON, ITOA)
    origins = tuple(UnitOrigin(name=one.name, version="1.0.0", source=REGISTRY, proof="ab") for one in made)
    notes = CookNotes(id="one", live=tuple(one.live for one in made))
    harvester = Harvester(blobs=store.blobs, records=store, layout=LayoutV1(), scratch=tmp_path)
    cook = Cook(scope="default", unit_key=Digest.of(b"key"), origins=origins, notes=notes)
    harvest = await harvester.harvest(streamed(archive(*made)), cook)
    yield store.blobs, {unit.origin.name: unit for unit in harvest.stored}
    await store.close()


IN_MEMORY = 32 << 20
either_way = pytest.mark.parametrize("in_memory", [0, IN_MEMORY], ids=["by the disk", "in memory"])


def placing(blobs: BlobStore, in_memory: int = IN_MEMORY) -> Placing:
    return Placing(blobs=blobs, layout=LayoutV1(), artefact_time=77, in_memory=in_memory)


def names(units: list[UnitRecord]) -> list[str]:
    return [unit.origin.name for unit in units]


def read(stream: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isreg()}


def in_order(units: dict[str, UnitRecord]) -> list[UnitRecord]:
    return [units[name] for name in ("syn", "itoa", "serde", "json")]


@either_way
def test_all_files_of_all_units_are_in_one_stream(stored: tuple[BlobStore, dict[str, UnitRecord]], in_memory: int):
    blobs, units = stored
    placed = placing(blobs, in_memory)

    found = read(b"".join(pieces(placed.members(in_order(units)))))

    wanted = {f"target/{path}": content for one in (SYN, SERDE, JSON, ITOA) for path, content in one.files.items()}
    assert found == wanted
    assert (names(placed.placed), placed.damaged, placed.left_out) == (["syn", "itoa", "serde", "json"], [], [])


def test_nothing_to_place_is_the_target_directory_alone(stored: tuple[BlobStore, dict[str, UnitRecord]]):
    assert [member.path for member in placing(stored[0]).members([])] == ["/target"]


@either_way
@pytest.mark.parametrize("how", ["gone", "empty", "cut", "flipped", "another"])
def test_law_9_a_unit_that_is_not_what_was_stored_is_left_out_whole_with_what_stands_on_it(
    stored: tuple[BlobStore, dict[str, UnitRecord]], how: str, in_memory: int
):
    blobs, units = stored
    path = blobs.path(units["syn"].blob)
    whole = path.read_bytes()
    match how:
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[:-1])
        case "flipped":
            path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        case "another":
            path.write_bytes(blobs.path(units["itoa"].blob).read_bytes())
    placed = placing(blobs, in_memory)

    found = read(b"".join(pieces(placed.members(in_order(units)))))

    assert found == {f"target/{path}": content for path, content in ITOA.files.items()}
    assert (names(placed.placed), names(placed.damaged), names(placed.left_out)) == (
        ["itoa"],
        ["syn"],
        ["serde", "json"],
    )
    assert not blobs.has(units["syn"].blob)


@pytest.mark.parametrize(("in_memory", "at_once"), [(0, {0, 1}), (IN_MEMORY, {0})])
def test_large_units_are_unpacked_on_the_disk_one_at_a_time_and_nothing_stays(
    stored: tuple[BlobStore, dict[str, UnitRecord]], tmp_path: Path, in_memory: int, at_once: set[int]
):
    blobs, units = stored
    staging = tmp_path / "state" / "blobs" / "staging"
    found = set()

    for _ in placing(blobs, in_memory).members(in_order(units)):
        found.add(len(list(staging.iterdir())))

    assert found == at_once
    assert list(staging.iterdir()) == []


def test_a_stream_that_is_given_up_leaves_nothing(stored: tuple[BlobStore, dict[str, UnitRecord]], tmp_path: Path):
    blobs, units = stored
    members = placing(blobs, in_memory=0).members(in_order(units))
    for member in members:
        if member.source:
            break

    members.close()

    assert list((tmp_path / "state" / "blobs" / "staging").iterdir()) == []
