"""What of earlier builds a build can stand on: the chosen rung of the ladder, and the entries that it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cache.index import LayerRecord, ResultRecord
from cache.reuse import Refusal, ReusePlan, Rung, WhyNot
from cache.units import UnitRecord
from cache.workspaces import WorkspaceRecord
from daemon.ecosystems.kept import KeptPackage
from daemon.pipeline.observed import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Reusable:
    """The choice, and the entries that it rests on."""

    choice: ReusePlan
    result: ResultRecord | None = None
    """Also one whose blobs are not all there; another rung was chosen then."""
    observed: Observation | None = None
    """Likewise."""
    workspace: WorkspaceRecord | None = None
    forked_from: str | None = None
    """The lineage whose the workspace is, where it is another's."""
    layer: LayerRecord | None = None
    units: tuple[UnitRecord, ...] = ()
    """For a cook or a compile, each after those that it was compiled against."""
    packages: Mapping[str, KeptPackage] = field(default_factory=dict)
    """Installed ones, by the names under which they are kept."""
    nothing_missing: bool = False
    """Whether a compile over these is expected to find every dependency."""

    @property
    def image(self) -> ResultRecord | None:
        """The outcome whose images fit."""
        match self.choice.rung:
            case Rung.RESULT:
                return self.result
            case Rung.OBSERVED:
                return self.observed.result if self.observed else None
            case _:
                return None

    @property
    def seconds(self) -> float:
        """What making anew what is reused would take, as far as that is on record."""
        match self.choice.rung:
            case Rung.RESULT | Rung.OBSERVED:
                return self.image.seconds if self.image else 0.0
            case Rung.WORKSPACE:
                return self.workspace.seconds if self.workspace else 0.0
            case Rung.LAYER if self.layer is not None:
                return self.layer.seconds
            case _:
                installed = sum(package.seconds for package in self.packages.values())
                return installed + sum(unit.seconds for unit in self.units)

    def against(self, *rungs: Rung) -> tuple[Refusal, ...]:
        """The refusals of these rungs."""
        return tuple(refusal for refusal in self.choice.refusals if refusal.rung in rungs)

    def without_units(self) -> "Reusable":
        """The same where the units are not to be trusted."""
        refusals = (*self.choice.refusals, Refusal(Rung.UNITS, WhyNot.DAMAGED))
        return replace(self, choice=ReusePlan(Rung.NONE, refusals), units=(), nothing_missing=False)
