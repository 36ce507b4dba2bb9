"""The chapter's services together, from its Compose files, by the real Compose."""

import pytest

from tests.fleet.fleet import Fleet, Launch

pytestmark = [pytest.mark.engine, pytest.mark.timeout(3600)]

SERVICES = {"chapter/users", "chapter/mails", "chapter/content", "chapter/router", "chapter/dbsync-worker"}


@pytest.fixture(scope="module")
def tested(fleet: Fleet) -> list[Launch]:
    """The five, built at once by a daemon that has built nothing like them; then run and asked."""
    fleet.verify(fleet.examples / "chapter", "test")
    builds = fleet.service.ask("GET", "/v1/builds?limit=500&state=succeeded").json["builds"]
    by_tag = {tag.removesuffix(":latest"): build for build in builds for tag in build["outcome"]["images"][0]["tags"]}
    fleet.launches += (found := [Launch(name=f"{name} (compose)", record=by_tag[name]) for name in sorted(SERVICES)])
    return found


def test_a_client_signs_up_and_in_gets_a_mail_and_reads_back_what_it_stored(tested: list[Launch]):
    assert {launch.image["reference"] for launch in tested} == {f"{name}:latest" for name in SERVICES}


def test_services_that_are_built_together_share_most_of_what_they_compile(tested: list[Launch]):
    wanted = sum(launch.reuse["dependencies"] for launch in tested)
    compiled = sum(len(launch.reuse["compiled"]) for launch in tested)
    twice = sum(len(launch.reuse["compiled_twice"]) for launch in tested)

    # Two that have less than half in common are compiled side by side: Rocket's dependencies and actix's.
    assert 3 * compiled < 2 * wanted
    assert 4 * twice < compiled


def test_in_production_the_data_outlives_the_containers(fleet: Fleet, tested: list[Launch]):
    fleet.verify(fleet.examples / "chapter", "prod")
