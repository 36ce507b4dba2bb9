"""The scenarios, in the order of one walk: each changes what the one before it left, then one build is timed."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from bench.checkout import LONG_AGO, Checkout, Resolver

Change = Callable[[Checkout, Resolver], None]

ADDED = {"hex": "0.4.3", "fnv": "1.0.7", "base64": "0.22.1", "semver": "1.0.26"}
"""Crates without dependencies of their own, one of which a project does not have."""
MOVED = {
    "bytes": "1.10.0",
    "memchr": "2.7.4",
    "itoa": "1.0.14",
    "smallvec": "1.13.2",
    "once_cell": "1.20.2",
    "log": "0.4.25",
    "cfg-if": "1.0.0",
}
"""Crates that much stands on, each with an earlier version; another one of these is *another version deep down*."""
OTHERS = {
    "humantime": "2.2.0",
    "unicode-width": "0.2.0",
    "strsim": "0.11.1",
    "either": "1.15.0",
    "scopeguard": "1.2.0",
    "static_assertions": "1.1.0",
    "lazy_static": "1.5.0",
    "maplit": "1.0.2",
    "shlex": "1.3.0",
    "glob": "0.3.2",
    "fastrand": "2.3.0",
    "percent-encoding": "2.3.1",
    "bytecount": "0.6.8",
    "arrayvec": "0.7.6",
    "unicode-xid": "0.2.6",
    "void": "1.0.2",
    "siphasher": "1.0.1",
    "ascii": "1.1.0",
    "roman": "0.1.6",
    "adler2": "2.0.0",
    "matches": "0.1.10",
    "md5": "0.7.0",
    "unicode-ident": "1.0.18",
    "subtle": "2.6.1",
    "ryu": "1.0.20",
    "dtoa": "1.0.10",
}
"""What makes other locks of a project: each has one of these more than it."""


class Place(Enum):
    """Where a scenario's build takes place."""

    HERE = "here"
    BRANCH = "branch"
    """A new checkout of a new branch; the walk goes on in the old one."""
    PROJECT = "project"
    """Another project; the walk goes on in the old one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A change and the build after it."""

    name: str
    words: str
    change: Change
    place: Place = Place.HERE
    members: bool = False
    """Only for projects in which the binary stands on other members."""
    before: Change | None = None
    """Made and built first, unless the walk has it already, and not timed."""


def _nothing(_checkout: Checkout, _resolver: Resolver) -> None:
    pass


def _edit_deep(checkout: Checkout, _resolver: Resolver) -> None:
    checkout.edit_deep()


def _edit_main(checkout: Checkout, _resolver: Resolver) -> None:
    checkout.edit_main()


def _document(checkout: Checkout, _resolver: Resolver) -> None:
    checkout.document()


def _edit_at_the_same_time(checkout: Checkout, _resolver: Resolver) -> None:
    checkout.edit_main_unseen()


def _edit_long_ago(checkout: Checkout, _resolver: Resolver) -> None:
    checkout.edit_main_unseen(LONG_AGO)


def _bump(checkout: Checkout, resolver: Resolver) -> None:
    checkout.bump(resolver)


def _reformat(checkout: Checkout, _resolver: Resolver) -> None:
    checkout.reformat()


def _add(checkout: Checkout, resolver: Resolver) -> None:
    checkout.add_dependency(resolver, ADDED)
    checkout.edit_main()


def _another_lock(checkout: Checkout, resolver: Resolver) -> None:
    if not checkout.locked:
        _add(checkout, resolver)


def _lock_back(checkout: Checkout, _resolver: Resolver) -> None:
    checkout.lock_back()
    checkout.edit_main()


def _move(checkout: Checkout, resolver: Resolver) -> None:
    checkout.move_dependency(resolver, MOVED)
    checkout.edit_main()


def _second(checkout: Checkout, resolver: Resolver) -> None:
    checkout.rename(resolver, f"{checkout.project.package.name}-second")
    checkout.edit_main()


COLD = Scenario(name="cold", words="cold", change=_nothing)
SCENARIOS = (
    COLD,
    Scenario(name="nothing", words="nothing changed", change=_nothing),
    Scenario(name="documentation", words="documentation only", change=_document),
    Scenario(name="leaf", words="edit of `main`", change=_edit_main),
    Scenario(name="member", words="edit of a member deep down", change=_edit_deep, members=True),
    Scenario(name="equal-mtime", words="edit of `main`, its mtime as before", change=_edit_at_the_same_time),
    Scenario(name="older-mtime", words="edit of `main`, its mtime long ago", change=_edit_long_ago),
    Scenario(name="version", words="own version bump", change=_bump),
    Scenario(name="reformatted", words="manifest formatted anew", change=_reformat),
    Scenario(name="added", words="one dependency added", change=_add),
    Scenario(name="lock-back", words="the lock of before again", change=_lock_back, before=_another_lock),
    Scenario(name="moved", words="another version deep in the graph", change=_move),
    Scenario(name="branch", words="a new branch's first build", change=_edit_main, place=Place.BRANCH),
    Scenario(name="second", words="second project, same dependencies", change=_second, place=Place.PROJECT),
)
