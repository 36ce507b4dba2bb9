"""The two Flask services together, from their Compose file, by the real Compose."""

import pytest

from tests.fleet.fleet import Fleet

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


def test_one_service_stores_through_the_other_and_the_data_outlives_both(fleet: Fleet):
    fleet.verify(fleet.examples / "flask")
