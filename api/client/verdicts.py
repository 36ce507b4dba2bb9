"""What came of building a build again clean, in words for people. Pure functions over the API's JSON."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_WORDS = {
    "waiting": "it is to be built again clean, behind the answers",
    "equal": "built again clean, every image is the same",
    "different": "what was reused was wrong",
    "unstable": "two clean builds differ from each other: the source is not reproducible",
    "failed": "the clean build could not be done",
    "dropped": "it was not built again",
}
_MARKS = {"added": "+", "changed": "~", "removed": "-"}
_WIDTH = 10
_SHOWN_FILES = 12


def verdict(verification: Json, took: str) -> Iterator[str]:
    """A line for the result, then one for each image and file that differs; `took` is how long it took."""
    result: str = verification["result"]
    told = _WORDS[result]
    if verification["detail"] and result in {"failed", "dropped"}:
        told += f": {verification['detail'].splitlines()[0]}"
    if verification["revoked"]:
        told += f"; {verification['revoked']:,} entries of the cache are revoked"
    yield f"{result:<{_WIDTH}} {told}" + (f" ({took})" if verification["seconds"] else "")
    for image in verification["images"]:
        yield from _image(image, verification["detail"])
    if verification["units"]:
        yield f"{'':<{_WIDTH}} stored with other bytes: {', '.join(verification['units'])}"


def _image(image: Json, detail: str) -> Iterator[str]:
    yield f"{'':<{_WIDTH}} {image['binary']}: {image['digest']}"
    yield f"{'':<{_WIDTH}} {'clean':>{len(image['binary'])}}: {image['clean'] or detail.splitlines()[0]}"
    files = image["files"]
    for file in files["files"][:_SHOWN_FILES]:
        yield f"{'':<{_WIDTH}} {_MARKS[file['presence']]} {file['path']}"
    more = len(files["files"][_SHOWN_FILES:]) + files.get("more", 0)
    if more:
        yield f"{'':<{_WIDTH}} and {more:,} more"
