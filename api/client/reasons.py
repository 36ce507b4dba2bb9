"""Why a build did not stand on a higher rung, in words for people. Pure functions over the API's JSON.

The evidence is data (`cache.differences`); this is the one place that has words for it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Json = dict[str, Any]

_WHY = {
    "first_build": "this project has no earlier build",
    "key_changed": "something that it depends on has changed",
    "pruned": "it existed and was pruned from the engine",
    "damaged": "it existed and was found damaged",
    "not_stored": "no dependency was compiled here before with this toolchain, these flags and this profile",
    "busy": "another build of this lineage is using it",
    "opened": "something has changed that the builds have seen",
    "not_observed": "it is not known what the builds have seen",
    "unknown_layout": "how this toolchain's cargo lays out what it compiles is not known",
    "copying_costs_more": "a copy of it should take longer than compiling over the layer",
    "asked_not_to": "the request asked for a clean build",
}
_OF_PARENT = {
    "first_build": "has none",
    "key_changed": "stands on something else",
    "pruned": "has lost its own",
    "damaged": "could not be used",
    "busy": "is being built",
    "copying_costs_more": "is not worth a copy",
}
"""Why no other lineage's workspace was forked."""
_PARENT_CHANGED = {
    "toolchain": "is on another toolchain",
    "packages": "has another Cargo.lock",
    "manifest": "has other manifests",
    "configuration": "has another configuration of cargo",
}
"""The same, by what its key differs in first."""
_FIRST_OF_LINEAGE = "this lineage has no earlier build"
_OF_LINEAGE = frozenset({"result", "observed", "workspace"})
"""Rungs whose entries a lineage has for itself."""
_MARKS = {"added": "+", "changed": "~", "removed": "-"}
_SHOWN = 24
_SHOWN_FILES = 4
_LONGEST = 60
_RUSTFLAGS = "rustflags"
_ENCODED_RUSTFLAGS = "CARGO_ENCODED_RUSTFLAGS"
_SOURCES = "source tree"


def refusals(report: Json) -> list[tuple[str, list[str]]]:
    """For each higher rung its reason, a line for each change; what a lower rung names is not said twice."""
    told: list[tuple[str, list[str]]] = []
    given = list(report.get("refusals", ()))
    for position, refusal in enumerate(given):
        lower = given[position + 1 :]
        below = {json.dumps(change, sort_keys=True) for one in lower for change in one.get("differences", ())}
        every = refusal.get("differences", ())
        own = [change for change in every if json.dumps(change, sort_keys=True) not in below]
        if refusal.get("parent"):
            told.append((refusal["rung"], [_reason(refusal), *_changes(own)]))
        elif own:
            told.append((refusal["rung"], list(_changes(own))))
        elif every:
            sharing = [one["rung"] for one in lower if any(change in every for change in one.get("differences", ()))]
            told.append((refusal["rung"], [f"for the same reason as {sharing[-1]}"]))
        else:
            told.append((refusal["rung"], [_reason(refusal)]))
    return told


def _reason(refusal: Json) -> str:
    why = str(refusal["why"])
    if parent := refusal.get("parent"):
        words = _OF_PARENT.get(why, why)
        for change in refusal.get("differences", ())[:1]:
            words = _PARENT_CHANGED.get(str(change.get("about")), words)
        if weighed := refusal.get("weighed"):
            words += f": {weighed['copying']:.1f} s to spare {weighed['compiling']:.1f} s of compiling"
        return f"none for this lineage (its parent `{parent}` {words})"
    if why == "first_build" and refusal["rung"] in _OF_LINEAGE:
        return _FIRST_OF_LINEAGE
    return _WHY.get(why, why)


def _changes(changes: Sequence[Json]) -> Iterator[str]:
    """A change that another one explains is left out: flags in two forms, an image with another compiler in it."""
    labels = {change["label"] for change in changes}
    flags = any(_is_flags(entry) for change in changes for entry in change.get("entries", ()))
    for change in changes:
        if change["label"] == "toolchain image" and "rustc" in labels:
            continue
        if change["label"] == _ENCODED_RUSTFLAGS and flags:
            continue
        words = _WORDS.get(str(change.get("about")))
        yield from words(change) if words else (f"{change['label']} changed",)


def _setting(change: Json) -> Iterator[str]:
    old, new = change.get("old"), change.get("new")
    yield f"{change['label']}: {_shown(old)} -> {_shown(new)}"


def _environment(change: Json) -> Iterator[str]:
    if change["label"] == _ENCODED_RUSTFLAGS:
        sides = [side and side.replace("\x1f", " ") for side in (change.get("old"), change.get("new"))]
        change = {"label": "RUSTFLAGS", "old": sides[0], "new": sides[1]}
    yield from _setting(change)


def _toolchain(change: Json) -> Iterator[str]:
    if change["label"] == "rustc":
        yield from _setting(change | {"label": "toolchain"})
    else:
        yield "the toolchain image is another one, with the same compiler"


def _packages(change: Json) -> Iterator[str]:
    told = [_package(package) for package in change["packages"]]
    told.sort(key=lambda word: "+~-".index(word[0]))
    yield f"{change['label']} changed" + (f": {_listed(told)}" if told else "")


def _package(package: Json) -> str:
    name, old, new = package["name"], package.get("old"), package.get("new")
    if old is None or new is None:
        return f"+ {name} {new}" if old is None else f"- {name} {old}"
    return f"~ {name} {old} -> {new}" if old != new else f"~ {name} {new} (another {package.get('other')})"


def _manifest(change: Json) -> Iterator[str]:
    if change["presence"] != "changed":
        yield f"{change['path']} is {'new' if change['presence'] == 'added' else 'gone'}"
        return
    told = [_entry(entry) for entry in change["entries"]]
    yield f"{change['path']} changed" + (f": {_listed(told)}" if told else "")


def _configuration(change: Json) -> Iterator[str]:
    others = []
    for entry in change["entries"]:
        if _is_flags(entry):
            target = entry["name"].split(".")[1:-1]
            label = f"RUSTFLAGS of {'.'.join(target)}" if target else "RUSTFLAGS"
            yield f"{label}: {_shown(_flags(entry.get('old')))} -> {_shown(_flags(entry.get('new')))}"
        else:
            others.append(_entry(entry))
    if others or not change["entries"]:
        yield f"{change['label']} changed" + (f": {_listed(others)}" if others else "")


def _is_flags(entry: Json) -> bool:
    first, *_, last = entry["name"].split(".")
    return last == _RUSTFLAGS and first in {"build", "target"}


def _flags(value: str | None) -> str | None:
    """A list of flags, or one text of them, as one writes them."""
    read = json.loads(value) if value else None
    return " ".join(map(str, read)) if isinstance(read, list) else read


def _entry(entry: Json) -> str:
    name, old, new = entry["name"], entry.get("old"), entry.get("new")
    if entry.get("withheld"):
        return f"~ {name}"
    if old is None:
        return f"+ {name} = {_shown(new)}"
    return f"- {name}" if new is None else f"~ {name} {_shown(old)} -> {_shown(new)}"


def _files(change: Json) -> Iterator[str]:
    files = change["files"]
    if not files:
        what = "the sources" if change["label"] == _SOURCES else change["label"]
        yield f"{what} changed"
        return
    if len(files) == 1 and not change.get("more"):
        words = {"added": "is new", "changed": "changed", "removed": "is gone"}
        yield f"{files[0]['path']} {words[files[0]['presence']]}"
        return
    told = [f"{_MARKS[one['presence']]} {one['path']}" for one in files]
    yield f"{len(files) + change.get('more', 0)} files changed: {_listed(told, _SHOWN_FILES, change.get('more', 0))}"


def _withheld(change: Json) -> Iterator[str]:
    names = change["names"]
    yield f"{change['label']} changed" + (f": {_listed([f'~ {name}' for name in names])}" if names else "")


def _listed(told: Sequence[str], most: int = _SHOWN, more: int = 0) -> str:
    hidden = max(0, len(told) - most) + more
    return "; ".join(told[:most]) + (f"; and {hidden} more" if hidden else "")


def _shown(value: str | None) -> str:
    if not value:
        return "(none)"
    return value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."


_WORDS: dict[str, Callable[[Json], Iterator[str]]] = {
    "setting": _setting,
    "environment": _environment,
    "toolchain": _toolchain,
    "packages": _packages,
    "manifest": _manifest,
    "configuration": _configuration,
    "files": _files,
    "withheld": _withheld,
}
