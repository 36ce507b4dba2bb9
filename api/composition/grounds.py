"""What a compile of first-party code stands on: layers, units, workspaces; and what is kept of it behind the answer."""

from collections.abc import Callable
from dataclasses import dataclass

from api.composition.deciding import Deciding
from api.composition.means import Means
from api.composition.running import Running
from daemon.behind import Behind
from daemon.pipeline.cook import CookStage
from daemon.pipeline.fork import Forks
from daemon.pipeline.given import GivenUnits
from daemon.pipeline.ground import Grounds
from daemon.pipeline.later import LaterLayers
from daemon.pipeline.layers import Layers
from daemon.pipeline.moves import Moves
from daemon.pipeline.over_layer import OverLayer
from daemon.pipeline.over_units import OverUnits
from daemon.pipeline.underway import Underway
from daemon.units.background import Harvests
from daemon.units.bound import UnitBound
from daemon.units.harvest import Harvester
from daemon.units.layout import UnitLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits: for the answers, and for what others cook."""

    behind: Behind
    underway: Underway


def grounds(means: Means, deciding: Deciding, running: Running, waiting: Waiting) -> Grounds:
    """All rungs on which a compile can stand."""
    store, engine, fetch, compiling = means.store, means.engine, running.fetch, running.compile
    given = GivenUnits(records=store, blobs=store.blobs)
    layers = Layers(
        fetch=fetch,
        cook=CookStage(images=engine.images, given=given),
        records=store,
        images=engine.images,
        cooks=waiting.underway,
    )
    moves = Moves(fetch=fetch, compile=compiling, given=given)
    return Grounds(
        ladder=deciding.ladder,
        layers=layers,
        compile=compiling,
        over_units=OverUnits(fetch=fetch, compile=compiling, given=given),
        over_layer=OverLayer(ladder=deciding.ladder, layers=layers, compile=compiling, moves=moves),
        later=LaterLayers(ladder=deciding.ladder, layers=layers, attempts=running.attempts, behind=waiting.behind),
        moves=moves,
        workspaces=deciding.workspaces,
        forks=Forks(workspaces=deciding.workspaces, known=store, engine=engine.sandboxes, images=engine.images),
        trees=store,
        underway=waiting.underway,
        expectations=deciding.expectations,
    )


def harvester(means: Means) -> Callable[[UnitLayout], Harvester]:
    """What takes units out of a target directory, whatever its layout."""
    store = means.store

    def harvester(layout: UnitLayout) -> Harvester:
        return Harvester(blobs=store.blobs, records=store, layout=layout, scratch=means.state_dir.scratch)

    return harvester


def harvests(means: Means, behind: Behind) -> Harvests:
    """Harvests, each behind the answer that it waits for."""
    store = means.store
    return Harvests(
        containers=means.engine.sandboxes,
        harvester=harvester(means),
        bound=UnitBound(records=store, blobs=store.blobs, size=means.config.units.size),
        behind=behind,
        labels=means.labels,
    )
