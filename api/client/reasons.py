"""Why a build did not stand on a higher rung, in words for people. Pure functions over the API's JSON."""

import re
from collections.abc import Iterator
from typing import Any

from cache.manifests.rust.lock_words import explain_lock

Json = dict[str, Any]

_WHY = {
    "first_build": "this project has no earlier build",
    "key_changed": "something that it depends on has changed",
    "pruned": "it existed and was pruned from the engine",
    "damaged": "it existed and was found damaged",
    "not_stored": "none of its dependencies has been compiled here before",
    "busy": "another build of this lineage is using it",
    "asked_not_to": "the request asked for a clean build",
}
_OF_PARENT = {
    "first_build": "has none",
    "key_changed": "stands on something else",
    "pruned": "has lost its own",
    "damaged": "could not be used",
    "busy": "is being built",
}
"""Why no other lineage's workspace was forked."""
_FIRST_OF_LINEAGE = "this lineage has no earlier build"
_OF_LINEAGE = frozenset({"result", "workspace"})
"""Rungs whose entries a lineage has for itself."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LOCK = "Cargo.lock"
_LONGEST = 60


def refusals(report: Json) -> list[str]:
    """Why each higher rung was not taken, with the parts that differ; what a lower rung names is not said twice."""
    told: list[str] = []
    given = list(report.get("refusals", ()))
    for position, refusal in enumerate(given):
        below = {change["label"] for lower in given[position + 1 :] for change in lower.get("differences", ())}
        told.append(f"not {refusal['rung']}: {_reason(refusal)}")
        told += [
            f"  {line}"
            for change in refusal.get("differences", ())
            if change["label"] not in below
            for line in _changed(change)
        ]
    return told


def _reason(refusal: Json) -> str:
    why = str(refusal["why"])
    if parent := refusal.get("parent"):
        return f"none for this lineage, and its parent `{parent}` {_OF_PARENT.get(why, why)}"
    if why == "first_build" and refusal["rung"] in _OF_LINEAGE:
        return _FIRST_OF_LINEAGE
    return _WHY.get(why, why)


def _changed(change: Json) -> Iterator[str]:
    label, old, new = change["label"], change.get("old"), change.get("new")
    if label == _LOCK:
        yield f"{label} changed: {explain_lock(old or '', new or '')}"
    elif _unreadable(old) or _unreadable(new):
        yield f"{label} " + ("is new" if old is None else "is gone" if new is None else "changed")
    else:
        yield f"{label}: {_shown(old)} -> {_shown(new)}"


def _unreadable(value: str | None) -> bool:
    """Digests, lists and JSON say nothing to a person."""
    return value is not None and ("\n" in value or value.startswith(("{", "[")) or bool(_DIGEST.fullmatch(value)))


def _shown(value: str | None) -> str:
    if not value:
        return "(none)"
    return value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."
