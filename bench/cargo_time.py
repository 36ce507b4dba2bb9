"""Cargo's own seconds, as it says them: `Finished … in 4.79s`, `… in 1m 02s`."""

import re

_FINISHED = re.compile(r"Finished .*? in (?:(\d+)m )?([\d.]+)s\b")


def cargo_seconds(output: str) -> float:
    """The sum over all runs of cargo in the output of a build; raises `ValueError` where there is none."""
    found = _FINISHED.findall(output)
    if not found:
        raise ValueError(f"cargo did not say how long it took:\n{output[-2000:]}")
    return sum(60 * int(minutes or 0) + float(seconds) for minutes, seconds in found)


def said_seconds(output: str) -> float | None:
    """The same; none where cargo said no time, because it did not run or another program spoke in its stead."""
    try:
        return cargo_seconds(output)
    except ValueError:
        return None
