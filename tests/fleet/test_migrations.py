"""Files that cargo does not track: a change in `migrations/` alone yields a worker that applies it, from every rung.

Each case adds a migration of its own to the same sources and builds on a lineage from where the rung is the highest.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.service import Json, until
from tests.fleet.examples import Example
from tests.fleet.fleet import Fleet

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

WORKER = Example(path="chapter/dbsync-worker")
ALONE = "--parent=nobody"
"""A lineage that has nothing to copy."""


@dataclass(frozen=True, slots=True)
class Worker:
    """The worker's sources in a copy of the examples, and the fleet that builds them."""

    fleet: Fleet
    directory: Path

    def migrate(self, name: str) -> None:
        """One more migration, which makes a table."""
        migrations = self.directory / "migrations"
        place = migrations / f"2024-02-{len(list(migrations.iterdir())):02}-000000_{name}"
        place.mkdir()
        (place / "up.sql").write_text(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY);\n")
        (place / "down.sql").write_text(f"DROP TABLE {name};\n")

    def build(self, *options: str) -> Json:
        return self.fleet.build(self.directory, *options)

    def depend(self, crate: str) -> None:
        """One more direct dependency, which the lock has already: a layer of its own, of units that are all stored."""
        manifest, lock = self.directory / "Cargo.toml", self.directory / "Cargo.lock"
        manifest.write_text(manifest.read_text() + f'{crate} = "1"\n')
        lock.write_text(
            lock.read_text().replace(' "env_logger",\n "log",\n', f' "env_logger",\n "{crate}",\n "log",\n')
        )

    def proved(self, build: Json) -> str:
        """The rung of a build whose worker applied every migration that is here."""
        self.fleet.verify(self.directory, build["outcome"]["images"][0]["image_id"])
        return str(build["outcome"]["reuse"]["rung"])


@pytest.fixture
def worker(fleet: Fleet, copy: Path) -> Worker:
    fleet.built(WORKER)
    return Worker(fleet, copy / WORKER.path)


def test_over_nothing(worker: Worker):
    worker.migrate("over_nothing")
    assert worker.proved(worker.build("--no-cache", "--lineage=none", ALONE)) == "none"


def test_over_units(worker: Worker):
    until(lambda: stored(worker.fleet, "unit"), "what the first build compiled is stored")
    worker.migrate("over_units")
    worker.depend("itoa")
    assert worker.proved(worker.build("--lineage=units", ALONE)) == "units"


@pytest.mark.every_time
def test_over_the_layer(worker: Worker):
    worker.migrate("over_the_layer")
    assert worker.proved(worker.build("--lineage=layer", ALONE)) == "layer"


@pytest.mark.every_time
def test_in_the_workspace(worker: Worker):
    worker.migrate("before")
    worker.build("--lineage=workspace", ALONE)
    worker.migrate("in_the_workspace")
    assert worker.proved(worker.build("--lineage=workspace")) == "workspace"


@pytest.mark.every_time
def test_as_it_was_built_before(worker: Worker):
    worker.migrate("built_before")
    worker.build("--lineage=result", ALONE)
    assert worker.proved(worker.build("--lineage=result")) == "result"


def stored(fleet: Fleet, kind: str) -> int:
    """How many records of a kind the cache has."""
    kinds = fleet.service.ask("GET", "/v1/cache").json["kinds"]
    return sum(each["records"] for each in kinds if each["kind"] == kind)
