"""The ladder in Markdown: a table a project, the bars, and every binary that was not the right one."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from bench.bars import Verdict
from bench.comparison import Line, shown
from bench.contestants.roster import BASELINE, OURS, ROSTER
from bench.samples import Sample


def markdown(lines: Sequence[Line], verdicts: Sequence[Verdict], samples: Iterable[Sample]) -> str:
    """All of it."""
    parts = [_project(list(each)) for _, each in groupby(lines, key=lambda line: (line.project, line.store))]
    if verdicts:
        parts.append(_bars(verdicts))
    wrong = [sample for sample in samples if sample.fault]
    parts.append(_faults(wrong) if wrong else "Every binary was the right one.\n")
    return "\n".join(parts)


def circumstances(samples: Sequence[Sample]) -> str:
    """What was measured, and how busy the machine was."""
    if not samples:
        return "Nothing was measured yet.\n"
    versions = ", ".join(sorted({sample.version for sample in samples}))
    runs = len({sample.walk.run for sample in samples})
    low, high = (pick(sample.load for sample in samples) for pick in (min, max))
    return f"Bloomery at {versions}; {runs} run{'s' * (runs != 1)}; load average {low:.1f} to {high:.1f}.\n"


def _project(lines: Sequence[Line]) -> str:
    names = [name for name in ROSTER if any(name in line.cells for line in lines)]
    head = ["seconds, median (lowest to highest)", *names, "ours / bare", "ours / best alternative"]
    body = []
    for line in lines:
        best = line.best_alternative
        cells = [_ours(line) if name == OURS else _cell(line, name) for name in names]
        compared = _ratio(line, best.contestant) if best else ""
        behind = f"{compared} ({best.contestant})" if best and compared else ""
        body.append([line.words, *cells, _ratio(line, BASELINE), behind])
    first = lines[0]
    store = "" if first.store == "fresh" else f", store {first.store}"
    return f"### {first.project}{store}\n\n{table([head, *body])}"


def _cell(line: Line, name: str) -> str:
    return str(line.cells[name]) if name in line.cells else ""


def _ours(line: Line) -> str:
    if OURS not in line.cells:
        return ""
    cell = line.cells[OURS]
    return f"{cell} `{'/'.join(cell.notes)}`" if cell.notes else str(cell)


def _ratio(line: Line, other: str) -> str:
    ratio = line.ratio(OURS, other)
    return "" if ratio is None else shown(ratio)


def _bars(verdicts: Sequence[Verdict]) -> str:
    head = ["project", "store", "scenario", "at most", "limit", "ours", ""]
    body = [
        [each.project, each.store, each.scenario, each.words, *_seconds(each.limit, each.ours), str(each)]
        for each in verdicts
    ]
    return f"### Bars\n\n{table([head, *body])}"


def _seconds(*values: float) -> list[str]:
    return [f"{shown(value)} s" for value in values]


def _faults(wrong: Sequence[Sample]) -> str:
    head = ["project", "contestant", "scenario", "run", "what was wrong"]
    body = [
        [each.walk.project, each.walk.contestant, each.scenario, str(each.walk.run), _one_line(each.fault)]
        for each in wrong
    ]
    return f"### What was not the right binary\n\n{table([head, *body])}"


def _one_line(text: str) -> str:
    words = " ".join(text.replace("|", "/").split())
    return words if len(words) <= 200 else f"{words[:80]} … {words[-117:]}"  # noqa: PLR2004 - what a table can bear


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    drawn = [rows[0], ["-" * max(3, width) for width in widths], *rows[1:]]
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |\n" for row in drawn
    )
