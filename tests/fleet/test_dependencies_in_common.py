"""Services with the same dependencies, built by one daemon: the second compiles its own package alone."""

import pytest

from tests.e2e.service import Json, until
from tests.fleet.examples import Example
from tests.fleet.fleet import Fleet

pytestmark = [pytest.mark.engine, pytest.mark.timeout(3600)]

FIRST, SECOND = Example(path="actix-hello"), Example(path="actix-time")
MEMBER = ["actix-time 0.1.0"]


def test_of_two_actix_services_whichever_comes_second_compiles_one_package(fleet: Fleet):
    first = fleet.built(FIRST).reuse
    # What the first has compiled is there for others once it is stored, behind its answer.
    until(lambda: not left(fleet, first), "the first one's dependencies are stored", 900)
    second = fleet.built(SECOND).reuse

    assert first["compiled_twice"] == second["compiled_twice"] == []
    assert second["compiled"] == second["members"] == MEMBER


def left(fleet: Fleet, first: Json) -> set[str]:
    """What the first one has compiled and the second would compile again; others are for other platforms."""
    return {*first["compiled"]} & {*fleet.explained(SECOND)["compiled"]}
