"""The proof of reuse: what builds a sample of the builds again clean, compares, and revokes what proves wrong."""

from collections.abc import Callable
from dataclasses import dataclass

from api.composition.means import Means
from daemon.ecosystems.planned import Grain
from daemon.maintenance import Maintenance
from daemon.metrics import Metrics
from daemon.pipeline.attempt import Attempts
from daemon.pipeline.clean import CleanBuilds, giving_way
from daemon.pipeline.compile import CompileStage
from daemon.pipeline.compiled_anew import CompiledAnew
from daemon.pipeline.cook import CookStage
from daemon.pipeline.fetch import FetchStage
from daemon.pipeline.finish import FinishStage
from daemon.pipeline.given import GivenUnits
from daemon.pipeline.installed_anew import InstalledAnew
from daemon.pipeline.installed_ground import InstalledGround
from daemon.pipeline.publish import PublishStage
from daemon.pipeline.sandboxes import SandboxSettings
from daemon.units.harvest import Harvester
from daemon.units.layout import UnitLayout
from daemon.uses import Uses
from daemon.verification.revocation import Revocation
from daemon.verification.verifier import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What keeps the cache in bounds, and is told what builds use and what comes of them."""

    uses: Uses
    maintenance: Maintenance
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The parts of a build that a clean one has, too."""

    fetch: FetchStage
    compile: CompileStage
    installed: InstalledGround
    finish: FinishStage
    publish: PublishStage
    attempts: Attempts
    harvester: Callable[[UnitLayout], Harvester]


def verifying(means: Means, shared: Shared, sandboxes: SandboxSettings, keeping: Keeping) -> Verifier:
    """Put it together; its sandboxes are as those of builds, and give way to them."""
    store, engine = means.store, means.engine
    compiled = CompiledAnew(
        fetch=shared.fetch,
        cook=CookStage(images=engine.images, given=GivenUnits(records=store, blobs=store.blobs)),
        compile=shared.compile,
        engine=engine.sandboxes,
        images=engine.images,
        units=shared.harvester,
    )
    return Verifier(
        rate=means.config.verify.rate,
        clean=CleanBuilds(
            ways={Grain.UNITS: compiled, Grain.LAYERS: compiled, Grain.PACKAGES: InstalledAnew(shared.installed)},
            finish=shared.finish,
            attempts=Attempts(engine=engine.sandboxes, settings=giving_way(sandboxes), publish=shared.publish),
        ),
        records=store,
        revocation=Revocation(
            records=store, keeper=keeping.maintenance, revoking=shared.attempts.revoking, blobs=store.blobs
        ),
        discard=keeping.maintenance,
        blobs=store.blobs,
        uses=keeping.uses,
        metrics=keeping.metrics,
    )
