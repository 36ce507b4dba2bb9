"""Services with the same dependencies, built by one daemon: one layer serves both."""

import pytest

from tests.fleet.examples import Example
from tests.fleet.fleet import Fleet

pytestmark = [pytest.mark.engine, pytest.mark.timeout(3600)]

FIRST, SECOND = Example(path="actix-hello"), Example(path="actix-time")
MEMBER = ["actix-time 0.1.0"]


def test_of_two_actix_services_the_second_stands_on_the_first_one_s_layer(fleet: Fleet):
    first = fleet.built(FIRST).reuse
    second = fleet.built(SECOND).reuse

    assert first["compiled_twice"] == second["compiled_twice"] == []
    assert second["compiled"] == second["members"] == MEMBER
    assert second["rung"] == "layer"
