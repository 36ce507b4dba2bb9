"""The ladder as a picture: a group of bars a scenario, on a logarithmic scale of seconds, wrong binaries hatched.

Plain SVG, without a script or a font of its own, so that it shows wherever Markdown does.
"""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.comparison import Cell, Line, shown
from bench.contestants.roster import ROSTER

_COLOURS = dict(zip(ROSTER, ("#b3400f", "#4d4d4d", "#9a8c3c", "#4f7cac", "#6aa57a", "#8d6cab", "#c08497"), strict=True))
_LEFT, _RIGHT, _TOP, _BAR, _GAP, _WIDTH = 220, 90, 64, 11, 12, 900
_LEAST, _TICKS = 0.05, (0.1, 1, 10, 100, 1000)


def svg(lines: Sequence[Line], title: str) -> str:
    """One project's picture."""
    names = [name for name in ROSTER if any(name in line.cells for line in lines)]
    most = max([cell.median or 0 for line in lines for cell in line.cells.values()] + [1.0])
    span = _WIDTH - _LEFT - _RIGHT

    def across(seconds: float) -> float:
        share = math.log10(max(seconds, _LEAST) / _LEAST) / math.log10(max(most, 1.0) / _LEAST)
        return span * share

    drawn, down = [], float(_TOP)
    for line in lines:
        cells = [line.cells[name] for name in names if name in line.cells]
        middle = down + len(cells) * _BAR / 2 + 4
        drawn.append(
            f'<text x="{_LEFT - 8}" y="{middle:.0f}" text-anchor="end">{escape(line.words.replace("`", ""))}</text>'
        )
        for cell in cells:
            drawn += _bar(cell, down, across(cell.median) if cell.median is not None else 0.0)
            down += _BAR
        down += _GAP
    bottom = down
    scale = [
        f'<line x1="{_LEFT + across(tick):.1f}" y1="{_TOP - 6}" x2="{_LEFT + across(tick):.1f}" y2="{bottom:.0f}" '
        f'stroke="#ddd"/><text x="{_LEFT + across(tick):.1f}" y="{_TOP - 10}" text-anchor="middle">{tick:g} s</text>'
        for tick in _TICKS
        if tick <= most
    ]
    key = [
        f'<rect x="{_LEFT + 95 * place}" y="28" width="10" height="10" fill="{_COLOURS[name]}"/>'
        f'<text x="{_LEFT + 95 * place + 14}" y="37">{escape(name)}</text>'
        for place, name in enumerate(names)
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 10:.0f}" '
        'font-family="sans-serif" font-size="11">'
        '<defs><pattern id="wrong" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="2" height="5" fill="#fff" fill-opacity="0.75"/></pattern></defs>'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="8" y="18" font-size="14">{escape(title)}</text>'
    )
    return "\n".join([head, *scale, *key, *drawn, "</svg>"]) + "\n"


def _bar(cell: Cell, down: float, width: float) -> list[str]:
    place = f'x="{_LEFT}" y="{down:.0f}" width="{max(width, 1):.1f}" height="{_BAR - 1}"'
    said = "failed" if cell.median is None else shown(cell.median)
    words = said if cell.right or cell.median is None else f"{said}, wrong binary"
    drawn = [f'<rect {place} fill="{_COLOURS[cell.contestant]}"/>']
    if not cell.right:
        drawn.append(f'<rect {place} fill="url(#wrong)"/>')
    drawn.append(f'<text x="{_LEFT + width + 4:.1f}" y="{down + _BAR - 2:.0f}" font-size="9">{words}</text>')
    return drawn
