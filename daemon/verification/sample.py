"""Which builds are built again: a share of them that follows from their ids alone, so that it can be told and tried."""

import hashlib

from cache.reuse import Rung
from daemon.builds import Build, Outcome

_WORD = 8


def wanted(build: Build, outcome: Outcome, rate: float) -> bool:
    """Whether a build that has succeeded is to be verified: on its request, or by the sample of those that reused."""
    return build.request.verify or (outcome.reuse.rung is not Rung.NONE and in_sample(build.id, rate))


def in_sample(build: str, rate: float) -> bool:
    """Whether this id is in a sample of this share, from 0 to 1; a larger sample has all of a smaller one."""
    word = int.from_bytes(hashlib.sha256(build.encode()).digest()[:_WORD])
    return word < rate * (1 << 8 * _WORD)
