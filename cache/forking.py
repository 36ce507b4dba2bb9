"""Whether a new lineage's first build gains by a copy of another's workspace: a pure function of what was measured.

Both ways make the same image. Copying spares compiling the members that no change reaches, and nothing else: what comes
from outside is in the layer, too.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from cache.costs import CostKind, Measured, Way

STARTING, PER_BYTE = 0.3, 12e-9
"""What a copy is taken to cost in seconds where the project had none yet: at first, and for each byte that there is.

The engine reads all of a parent's artefacts, though few are copied: 91 MB in 1.1 to 1.4 s on fuse-overlayfs, two cores.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What a copy should take in seconds, and the compiling that it spares."""

    copying: float
    compiling: float

    @property
    def worth(self) -> bool:
        """Whether the copy is the shorter way."""
        return self.copying < self.compiling


Weigh = Callable[[int, Iterable[str], Measured], Weighed | None]
"""How a copy is weighed; None: it is made."""


def weigh(size: int, spared: Iterable[str], measured: Measured) -> Weighed | None:
    """Weigh a workspace of so many bytes against compiling these members; None where no member was ever measured.

    Of the project's last copies the quickest counts, for a copy that was held up by other work would else be the last.
    A member takes its median; one that was never measured is none that the project's builds need.
    """
    members = {name: median(seconds) for (kind, name), seconds in measured.items() if kind is CostKind.MEMBER}
    if not members:
        return None
    copies = measured.get((CostKind.COPY, Way.FORK))
    return Weighed(
        copying=min(copies) if copies else STARTING + size * PER_BYTE,
        compiling=sum(members.get(name, 0.0) for name in set(spared)),
    )
