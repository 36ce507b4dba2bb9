"""Cargo with either layout of the target directory: the host's own cargo knows both.

`RUSTC_BOOTSTRAP` lets a stable cargo take unstable settings, as a nightly does; the layout that it then has is the
nightly's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.units.layout import Layout

NEW_LAYOUT = {"RUSTC_BOOTSTRAP": "1", "CARGO_UNSTABLE_BUILD_DIR_NEW_LAYOUT": "true"}
"""Variables with which cargo has layout v2."""


@dataclass(frozen=True)
class Files:
    """Where a layout has what tests look for, as globs below a profile's directory, for one package."""

    out_dir: str
    printed: str


FILES: Mapping[Layout, Files] = {
    Layout.V1: Files(out_dir="build/{}-*/out", printed="build/{}-*/output"),
    Layout.V2: Files(out_dir="build/{}/*/out", printed="build/{}/*/run/stdout"),
}


def variables(layout: Layout) -> Mapping[str, str]:
    """What cargo is started with to have this layout."""
    return NEW_LAYOUT if layout is Layout.V2 else {}
