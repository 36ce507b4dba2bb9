"""What people and disks do to a cache: each of these has to be a slower build, and never a wrong one (law 9)."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cache.digest import Digest
from cache.index import LayerRecord
from cache.workspaces import WorkspaceRecord
from daemon.maintenance import Trial
from daemon.pipeline.sandboxes import STEP
from daemon.tarball import Member, stream
from tests.caching.foresight import Foresight, Lane
from tests.caching.seasons import State
from tests.caching.workshop import Workshop
from tests.fakes.docker import docker

LATER = 3600.0
_SPOIL = "find /work /target -name '*.rs' -exec sh -c 'echo spoilt >> \"$1\"' - '{}' ';'"


@dataclass(frozen=True, slots=True)
class Place:
    """Where harm is done: to what the lane's next build of the state may want."""

    shop: Workshop
    foresight: Foresight
    lane: Lane
    state: State

    @property
    def workspace(self) -> WorkspaceRecord | None:
        """The lane's."""
        return self.foresight.workspace(self.lane)

    @property
    def layer(self) -> LayerRecord | None:
        """The state's."""
        return self.foresight.layer(self.state)

    def run(self, asked: Coroutine[Any, Any, Any]) -> Any:
        """Wait on the daemon's event loop."""
        return self.foresight.run(asked)

    def write(self, sql: str, *values: object) -> None:
        """Change the record."""
        self.run(self.shop.store._database.write(lambda tables: tables.execute(sql, values)))

    def units(self) -> list[Path]:
        """Where the units are of all packages that the state takes from outside."""
        names = sorted(package.partition(" ")[0] for package in self.state.units())
        query = f"SELECT blob FROM units WHERE scope = ? AND name IN ({','.join('?' * len(names))}) ORDER BY blob"
        values = (self.foresight.scope, *names)
        rows = self.run(self.shop.store._database.read(lambda tables: tables.execute(query, values).fetchall()))
        return [self.shop.store.blobs.path(Digest.parse(blob)) for (blob,) in rows]

    def archives(self) -> list[Path]:
        """The kept crates of the state."""
        named = (package.replace(" ", "-") + ".crate" for package in sorted(self.state.units()))
        found = [self.run(self.shop.crate(name)) for name in named]
        return [path for path in found if path.exists()]


def workspace_removed(place: Place) -> None:
    if (held := place.workspace) is not None:
        docker("rm", "--force", held.sandbox)
        place.foresight.unsound.add(held.sandbox)


def workspace_run(place: Place) -> None:
    if (held := place.workspace) is not None and held.sandbox not in place.foresight.unsound:
        place.run(place.shop.run_behind_our_back(held, _SPOIL))
        place.foresight.unsound.add(held.sandbox)


def workspace_running(place: Place) -> None:
    if (held := place.workspace) is not None and held.sandbox not in place.foresight.unsound:
        step = Member(path=STEP, mode=0o755, mtime=0, content=b"#!/bin/sh\nexec sleep 3600\n")
        place.run(place.shop.engine.sandboxes.put(held.sandbox, stream((step,))))
        docker("start", held.sandbox)
        place.foresight.unsound.add(held.sandbox)


def ledger_spoilt(place: Place) -> None:
    if (held := place.workspace) is not None:
        place.write("UPDATE workspaces SET ledger = x'7b' WHERE sandbox = ?", held.sandbox)
        place.foresight.unsound.add(held.sandbox)


def holdings_spoilt(place: Place) -> None:
    if (held := place.workspace) is not None:
        place.write("UPDATE workspaces SET holdings = x'7b' WHERE sandbox = ?", held.sandbox)


def tree_forgotten(place: Place) -> None:
    if (held := place.workspace) is not None:
        place.run(place.shop.store.forget_tree(held.tree))


def layer_pruned(place: Place) -> None:
    layer = place.layer
    if layer is None or not place.foresight.is_whole(layer):
        return
    if not docker("ps", "--quiet", "--filter", f"ancestor={layer.image_id}"):  # the engine keeps what is running
        place.run(place.shop.prune(layer))
        place.foresight.unsound.add(layer.image_id)


def layer_replaced(place: Place) -> None:
    if (layer := place.layer) is not None:
        place.run(place.shop.store.record_layer(replace(layer, image_id=place.foresight.toolchain)))


def unit_spoilt(place: Place) -> None:
    for path in place.units()[:1]:
        _spoil(path)
    place.foresight.units_doubtful()


def units_lost(place: Place) -> None:
    for path in place.units():
        path.unlink(missing_ok=True)
    place.foresight.units_doubtful()


def archive_spoilt(place: Place) -> None:
    for path in place.archives()[:1]:
        _spoil(path)
        place.foresight.spoilt[path] = path.read_bytes()


def archive_lost(place: Place) -> None:
    for path in place.archives()[:1]:
        path.unlink()
        place.foresight.spoilt[path] = None


def units_evicted(place: Place) -> None:
    place.run(place.shop.idle())
    place.run(place.shop.store.evict_units(0))
    place.foresight.units_gone()


def half_pruned(place: Place) -> None:
    place.run(place.shop.idle())
    place.run(_pruned(place.shop, 2))
    place.run(place.shop.forget_results())
    place.foresight.units_doubtful()
    place.foresight.images_forgotten()


def all_pruned(place: Place) -> None:
    place.run(place.shop.idle())
    place.run(_pruned(place.shop, None))
    assert place.run(place.shop.daemon.maintenance.contents()).size == 0
    place.foresight.units_gone()
    place.foresight.images_forgotten()


HARM: dict[str, Callable[[Place], None]] = {
    one.__name__.replace("_", " "): one
    for one in (
        workspace_removed, workspace_run, workspace_running, ledger_spoilt, holdings_spoilt, tree_forgotten,
        layer_pruned, layer_replaced, unit_spoilt, units_lost, archive_spoilt, archive_lost,
        units_evicted, half_pruned, all_pruned,
    )
}  # fmt: skip


def mend(place: Place) -> None:
    """Let no damaged crate wait for a build that it would surprise: after one build it is as it was, or gone."""
    for path, content in place.foresight.spoilt.items():
        if content is not None and path.exists() and path.read_bytes() == content:
            _spoil(path)
    place.foresight.spoilt.clear()


def _spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


async def _pruned(shop: Workshop, parts: int | None) -> None:
    """Prune as somebody does an hour later: down to one of so many parts, None: to nothing."""
    maintenance = shop.daemon.maintenance
    clock = maintenance._clock
    maintenance._clock = lambda: clock() + LATER
    try:
        keep = (await maintenance.contents()).size // parts if parts else 0
        await maintenance.prune(keep, Trial.REAL)
    finally:
        maintenance._clock = clock
