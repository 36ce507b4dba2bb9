"""All contestants, by name, ours first."""

from collections.abc import Callable, Mapping

from bench.contestants.bloomery import Bloomery
from bench.contestants.contestant import Contestant, Rules
from bench.contestants.dockerfiles import Base, chapter, chef, mounts
from bench.contestants.layered import CHEF, Layered
from bench.contestants.persistent import BARE, WITH_MBX, WITH_SCCACHE, Persistent
from bench.project import Project

OURS = "bloomery"
BASELINE = "bare"


def _chapter(project: Project, base: Base, _line: str) -> str:
    return chapter(project, base)


def _chef(project: Project, base: Base, _line: str) -> str:
    return chef(project, base)


ROSTER: Mapping[str, Callable[[Rules], Contestant]] = {
    OURS: Bloomery,
    BASELINE: lambda rules: Persistent(rules, BARE),
    "chapter": lambda rules: Layered(rules, "chapter", _chapter),
    "cargo-chef": lambda rules: Layered(rules, "cargo-chef", _chef, CHEF),
    "mounts": lambda rules: Layered(rules, "mounts", mounts),
    "sccache": lambda rules: Persistent(rules, WITH_SCCACHE),
    "mbx": lambda rules: Persistent(rules, WITH_MBX),
}
