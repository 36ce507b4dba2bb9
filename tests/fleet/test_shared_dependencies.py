"""Services with the same dependencies, built by one daemon: the second compiles its own package alone."""

import pytest

from tests.fleet.examples import Example
from tests.fleet.fleet import Fleet

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


def test_of_two_actix_services_whichever_comes_second_compiles_one_package(fleet: Fleet):
    first, second = (fleet.built(Example(path=path)).reuse for path in ("actix-hello", "actix-time"))

    assert first["compiled_twice"] == second["compiled_twice"] == []
    assert second["compiled"] == second["members"] == ["actix-time 0.1.0"]
    assert second["reused"] == second["dependencies"] == first["dependencies"]
