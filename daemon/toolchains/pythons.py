"""Which of the offered toolchains builds a Python project?

A project says which versions of Python it allows, not which toolchain has them. So unless one is asked for, the
default one serves where its Python is allowed, and else the newest Python that is.
"""

import re
from collections.abc import Callable, Sequence

from cache.errors import Evidence
from daemon.errors import NoFittingPython, NoToolchain, ToolchainWithoutPython, UnknownToolchain
from daemon.toolchains.names import resolve
from daemon.toolchains.toolchain import Toolchain

Fits = Callable[[str], bool]
"""Whether a project allows a version of Python, such as `3.11.2`."""

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?")
_FINAL = "~"
"""Sorts behind every letter that marks what comes before a release."""


def choose(asked: str | None, fits: Fits, offered: Sequence[Toolchain], default: str) -> Toolchain:
    """The toolchain for a Python project; its facts have `python`.

    `asked` and `default` are names or channels, as `daemon.toolchains.names` reads them. One that is asked for is
    taken whether its version fits or not: `UnknownToolchain` where it is not offered, `ToolchainWithoutPython` where it
    cannot serve. Nothing asked means the default one if it fits, else the one with the newest Python that does:
    `NoFittingPython` where there is none, `NoToolchain` where no toolchain has Python at all.
    """
    if asked:
        return _asked(asked, offered, default)
    able = [one for one in offered if one.facts.python is not None]
    if not able:
        raise NoToolchain(
            "no toolchain that is offered has Python; `bloomery toolchain make NAME` makes one that has, and "
            "`bloomery toolchain check` says what each of these lacks"
            if offered
            else "make one with `bloomery toolchain make stable`, or name an image under [toolchains] in the "
            "configuration",
            offered=_described(offered),
        )
    fitting = [one for one in able if fits(_version(one))]
    if not fitting:
        raise NoFittingPython(
            f"the project allows none of the Pythons that are offered: {_listed(able)}; allow one of these in its "
            "requires-python, or let the operator make a toolchain that has another",
            offered=_described(offered),
        )
    preferred = _default(fitting, offered, default)
    return preferred or max(fitting, key=lambda one: (_order(_version(one)), one.name))


def _asked(asked: str, offered: Sequence[Toolchain], default: str) -> Toolchain:
    found = resolve(asked, offered, default)
    if found.facts.python is None:
        able = [one for one in offered if one.facts.python is not None]
        raise ToolchainWithoutPython(
            f"toolchain {found.name} cannot build Python projects: it lacks {', '.join(found.facts.python_lacks)}; "
            f"those that can: {_listed(able) or 'none'}",
            asked=asked,
            offered=_described(offered),
        )
    return found


def _default(fitting: Sequence[Toolchain], offered: Sequence[Toolchain], default: str) -> Toolchain | None:
    try:
        meant = resolve(None, offered, default)
    except UnknownToolchain:
        return None
    return meant if meant in fitting else None


def _version(toolchain: Toolchain) -> str:
    return toolchain.facts.python.version if toolchain.facts.python is not None else ""


def _listed(toolchains: Sequence[Toolchain]) -> str:
    return ", ".join(f"{one.name} ({_version(one)})" for one in toolchains)


def _described(toolchains: Sequence[Toolchain]) -> list[Evidence]:
    return [{"name": one.name, "python": _version(one) or None} for one in toolchains]


def _order(version: str) -> tuple[int, int, int, str, int]:
    parts = _VERSION.fullmatch(version)
    if parts is None:
        return (0, 0, 0, "", 0)
    return (int(parts[1]), int(parts[2]), int(parts[3]), parts[4] or _FINAL, int(parts[5] or 0))
