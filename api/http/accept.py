"""Which of the forms on offer a client wants, by its Accept header.

Source: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
"""

from collections.abc import Sequence

from api.errors import NotAcceptable


def choose(accept: str, offered: Sequence[str]) -> str:
    """The offered media type that the header wants most, the earlier of equals; `NotAcceptable` if it wants none."""
    ranges = [_range(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"accept one of {', '.join(offered)}", offered=list(offered))
    return best


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in text.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                return name.lower(), float(value)
            except ValueError:
                return name.lower(), 0.0
    return name.lower(), 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality of the most specific range that fits."""
    for wanted in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        found = [quality for name, quality in ranges if name == wanted]
        if found:
            return max(found)
    return 0.0
