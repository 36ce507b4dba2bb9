"""Cargo's layouts of the target directory that are known, each with its side for the unit store and for the steps.

A toolchain has one of them (`ToolchainFacts.layout`), or none: then it works from layers alone (law 12).
"""

from dataclasses import dataclass

from daemon.ecosystems.rust.environment import TARGET
from daemon.ecosystems.rust.marks import Marks
from daemon.ecosystems.rust.marks_v1 import MarksV1
from daemon.ecosystems.rust.marks_v2 import MarksV2
from daemon.units.layout import Layout, UnitLayout
from daemon.units.layout_v1 import LayoutV1
from daemon.units.layout_v2 import LayoutV2


@dataclass(frozen=True, slots=True, kw_only=True)
class CargoLayout:
    """One layout."""

    name: Layout
    units: UnitLayout
    marks: Marks


KNOWN = (
    CargoLayout(name=Layout.V1, units=LayoutV1(TARGET), marks=MarksV1()),
    CargoLayout(name=Layout.V2, units=LayoutV2(TARGET), marks=MarksV2()),
)
"""All that there are, the oldest first."""


def layout_named(name: str) -> CargoLayout | None:
    """The layout of this name; None for none, and for one that is not known."""
    return next((layout for layout in KNOWN if layout.name == name), None)
