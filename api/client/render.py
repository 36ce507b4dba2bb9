"""How values look to people: durations, sizes, tables, problems and the report after a build. Pure functions.

Lines may carry ANSI colours; `api.client.console` strips them where they can't be shown. A build is the API's JSON, as
`daemon.builds` declares it.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from api.client.reasons import refusals
from api.client.verdicts import verdict

Json = dict[str, Any]
"""A JSON object of the API."""

_UNWANTED = re.compile(
    r"(\x1b\[[0-9;:]*m)"  # a colour
    r"|\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[PX^_][^\x1b\n]*(?:\x1b\\)?|[@-Z\\])"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
"""Control sequences (ECMA-48) and characters; only colours are caught in a group."""
_MINUTE = 60
_HOUR = 3600
_TENTHS_BELOW = 100
"""Seconds from which a tenth is of no interest."""

_RUNG_WIDTH = 10
_OF_IMAGES = frozenset({"result", "observed"})
"""Rungs on which nothing is compiled."""
_WORK_WIDTH = 30
"""Of what is compiled: the seconds beside it stand under each other from report to report."""
_DONE = {"reuse": "Reused", "why not": "Why not", "compile": "Compiled", "install": "Installed"}
_INSTALLING = {"python"}
"""Ecosystems whose dependencies are installed, and not compiled."""
"""The heads of the reuse report, as they stand among cargo's own verbs."""


def without_ansi(text: str) -> str:
    """The text without colours, other control sequences, and control characters but newline and tab."""
    return _UNWANTED.sub("", text)


def only_colours(text: str) -> str:
    """The same, with its colours: what a build prints must not move the cursor or write to the clipboard."""
    return _UNWANTED.sub(lambda found: found[1] or "", text)


def status(verb: str, text: str) -> str:
    """A progress line in cargo's manner."""
    return f"\x1b[1m\x1b[32m{verb:>12}\x1b[0m {text}"


def duration(seconds: float) -> str:
    """Seconds as people say them: `86 ms`, `4.3 s`, `2 m 31 s`, `1 h 02 m`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else "1.0 s"  # noqa: PLR2004 - would round to 1000 ms
    if seconds < _TENTHS_BELOW - 0.05 and seconds < _MINUTE - 0.05:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} m {whole % _MINUTE:02} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} m"


def size(count: int) -> str:
    """Bytes in decimal units, as container engines write them: `512 B`, `4.3 kB`, `12.1 MB`."""
    if count < 1000:  # noqa: PLR2004 - the unit itself
        return f"{count} B"
    value = count / 1000
    units = ["kB", "MB", "GB", "TB"]
    while value >= 999.95 and len(units) > 1:  # noqa: PLR2004 - would round to 1000.0
        value /= 1000
        units.pop(0)
    return f"{value:.1f} {units[0]}"


def count(number: int, noun: str) -> str:
    """A number and its noun: `1 file`, `3 files`, `2 dependencies`."""
    if number == 1:
        return f"{number:,} {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def age(seconds: float) -> str:
    """How long ago, in one unit."""
    for unit, length in (("d", 86400), ("h", _HOUR), ("m", _MINUTE)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Aligned columns, two spaces apart, without trailing blanks."""
    grid = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in grid) for column in range(len(headings))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid]


def bar(done: int, total: int, text: str, width: int) -> str:
    """Cargo's live line: `    Building [====>      ] 12/152: compile`, cut to the terminal's width."""
    verb = status("Building", "")
    if total <= 0:
        return verb + text[: max(0, width - 14)]
    inside = max(10, min(26, width - 50))
    filled = min(inside, inside * done // total)
    arrow = "=" * filled if filled == inside else "=" * filled + ">" + " " * (inside - filled - 1)
    head = f"[{arrow}] {done}/{total}: "
    return verb + head + text[: max(0, width - 14 - len(head))]


def seconds_of(build: Json) -> float:
    """How long a build took from its acceptance to its end; 0 while it runs."""
    finished = build.get("finished_at")
    return max(0.0, finished - build["created_at"]) if finished else 0.0


def references(build: Json) -> list[str]:
    """What `docker run` takes, one for each image."""
    return [image["reference"] for image in (build.get("outcome") or {}).get("images", ())]


def reuse(report: Json, ecosystem: str = "") -> list[tuple[str, str]]:
    """The reuse report, each line with its head: the rung, why not a higher one, what is compiled, and notes."""
    installing = ecosystem in _INSTALLING
    parent, saved = report.get("forked_from"), report.get("seconds_saved", 0)
    told = [_reused({name: value for name, value in report.items() if not installing or name != "compiled_twice"})]
    told += [f"copied from `{parent}`"] if parent else []
    told += [f"{duration(saved)} saved"] if saved else []
    rows = [("reuse", f"{report['rung']:<{_RUNG_WIDTH}} {', '.join(told)}")]
    for rung, lines in refusals(report):
        rows += [
            ("why not", f"{rung:<{_RUNG_WIDTH}} {line}") if at == 0 else ("", f"{'':<{_RUNG_WIDTH}} {line}")
            for at, line in enumerate(lines)
        ]
    if work := _work(report):
        rows.append(("install" if installing else "compile", work))
    return rows + [("note", note) for note in report.get("notes", ())]


def _reused(report: Json) -> str:
    """What of earlier work is in it."""
    rung: str = report["rung"]
    if rung in _OF_IMAGES:
        return "the image itself"
    reused: int = report.get("reused", 0)
    needed = reused + len(report.get("compiled", ())) - len(report["members"]) if "members" in report else 0
    if rung == "none":
        return f"none of {count(needed, 'dependency')}" if needed else "nothing"
    if not needed:
        return "no dependencies" if not report["dependencies"] else count(report["dependencies"], "dependency")
    twice = f", {len(report['compiled_twice']):,} compiled twice" if "compiled_twice" in report else ""
    return f"{reused:,} of {count(needed, 'dependency')}{twice}"


def _work(report: Json) -> str:
    """How many packages are compiled, and how long it takes, as far as that is known."""
    unknown = report["rung"] == "none" and not report.get("compiled")
    if report["rung"] in _OF_IMAGES or "members" not in report or unknown:
        return ""
    members = len(report["members"])
    what = _packages(len(report.get("compiled", ())) - members, members)
    times = [("took", report.get("seconds")), ("expected", report.get("expected_seconds"))]
    told = [f"{name} {duration(seconds)}" for name, seconds in times if seconds is not None]
    if not told and "expected_seconds" in report:
        told.append("expected time not known: nothing like it was built here")
    if report.get("cold_seconds") is not None:
        told.append(f"cold {duration(report['cold_seconds'])}")
    return f"{what:<{_WORK_WIDTH}}{', '.join(told)}".rstrip()


def _packages(dependencies: int, members: int) -> str:
    kinds = ((dependencies, "dependency"), (members, "member"))
    return ", ".join(count(number, noun) for number, noun in kinds if number) or "nothing"


def expectation(forecast: Json) -> str | None:
    """What a build is about to compile, where it is known how long that takes."""
    if forecast.get("expected_seconds") is None:
        return None
    what = _packages(forecast["dependencies"], forecast["members"])
    cold = f" (cold {duration(forecast['cold_seconds'])})" if forecast.get("cold_seconds") is not None else ""
    return f"{what} to compile, {duration(forecast['expected_seconds'])}{cold}"


def report(build: Json, told_before: Collection[str] = ()) -> list[str]:
    """What a person wants to know after a build that succeeded, in a few lines; notes that were told are left out."""
    outcome = build["outcome"]
    notes = [note for note in outcome["reuse"].get("notes", ()) if note not in told_before]
    told = [
        _told(head, text) for head, text in reuse({**outcome["reuse"], "notes": notes}, outcome.get("ecosystem", ""))
    ]
    for image in outcome["images"]:
        what = f"{image['binary']}: {size(image['size'])} in {count(image['files'], 'file')}"
        told.append(status("Image", f"{what} ({', '.join(image['tags']) or image['digest'][:19]})"))
        told += [status("Pushed", place) for place in image.get("pushed", ())]
        told += [" " * 13 + f"warning: {warning}" for warning in image.get("warnings", ())]
    if (build.get("verification") or {}).get("result") == "waiting":
        told.append(status("Verifying", f"behind this answer; `bloomery show {build['id']}` tells what came of it"))
    return [*told, status("Finished", f"build {build['id']} in {duration(seconds_of(build))}")]


def _told(head: str, text: str) -> str:
    verb = _DONE.get(head)
    return status(verb, text) if verb else " " * 13 + (f"{head}: {text}" if head else text)


def problem(failure: Json) -> list[str]:
    """A problem or a build's failure: the title, what to do, and the lists that come as evidence.

    A failed build's `failure` has the same members as an RFC 9457 problem.
    """
    told = [failure.get("title") or "The request was refused"]
    if failure.get("detail"):
        told += [f"  {line}" for line in str(failure["detail"]).splitlines()]
    evidence = failure.get("evidence") or {}
    for name, value in evidence.items():
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            told.append(f"  {name.replace('_', ' ')}: {', '.join(value)}")
    if failure.get("kind"):
        told.append(f"  ({failure['kind']})")
    return told


def record(build: Json) -> list[str]:
    """All that is known of a build, for `bloomery show`."""
    request, outcome = build["request"], build.get("outcome") or {}
    rows = [("build", build["id"]), ("state", build["state"])]
    rows += [
        (name, str(value)) for name in ("project", "toolchain") if (value := outcome.get(name) or request.get(name))
    ]
    rows += [("lineage", request.get("lineage", "main")), ("tree", request["tree"])]
    revision = request.get("revision") or {}
    if revision.get("commit"):
        dirty = " (dirty)" if revision.get("dirty") else ""
        rows.append(("revision", f"{revision['commit']} {revision.get('branch', '')}".strip() + dirty))
    if build.get("finished_at"):
        rows.append(("took", duration(seconds_of(build))))
    told = [f"{name:<10} {value}" for name, value in rows]
    told += [f"{'stage':<10} {stage['stage']:<9} {duration(stage['seconds'])}" for stage in build.get("stages", ())]
    if outcome:
        told += [f"{head:<10} {text}" for head, text in reuse(outcome["reuse"], outcome.get("ecosystem", ""))]
        for image in outcome["images"]:
            told.append(f"{'image':<10} {image['reference']}")
            told.append(f"{'':<10} {image['binary']}: {size(image['size'])} in {count(image['files'], 'file')}")
            told.append(f"{'':<10} {image['digest']}")
            told += [f"{'':<10} pushed to {place}" for place in image.get("pushed", ())]
            told += [f"{'':<10} warning: {warning}" for warning in image.get("warnings", ())]
    if verification := build.get("verification"):
        lines = verdict(verification, duration(verification["seconds"]))
        told += [f"{'verify' if at == 0 else '':<10} {line}" for at, line in enumerate(lines)]
    if build.get("failure"):
        told += [f"{'failure' if at == 0 else '':<10} {line}" for at, line in enumerate(problem(build["failure"]))]
    return told


def explanation(answer: Json) -> list[str]:
    """What `POST /v1/explain` answered: the plan, then the reuse report as after a build."""
    binaries = ", ".join(str(image.get("binary")) for image in answer["images"])
    rows = [
        ("project", answer["project"]),
        ("with", f"{answer['ecosystem']}, toolchain {answer['toolchain']}"),
        ("image" if len(answer["images"]) == 1 else "images", binaries),
    ]
    return [f"{head:<7} {text}" for head, text in (*rows, *reuse(answer, answer["ecosystem"]))]
