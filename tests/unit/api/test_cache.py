import aiohttp

from daemon.maintenance import Trial
from tests.fakes.api import Daemon, MakeDaemon, running

LAYER = {"kind": "layer", "records": 1, "size": 300}
UNIT = {"kind": "unit", "records": 2, "size": 200}


async def test_what_is_kept_is_told_by_kind(daemon: Daemon, client: aiohttp.ClientSession):
    async with client.get("/v1/cache") as answer:
        assert (answer.status, await answer.json()) == (200, {"ceiling": 1000, "size": 300, "kinds": [LAYER]})
    assert daemon.cache.asked == [(None,)]


async def test_a_prune_answers_what_went(daemon: Daemon, client: aiohttp.ClientSession):
    async with client.post("/v1/cache/prune", json={"keep": 5}) as answer:
        assert (answer.status, await answer.json()) == (200, {"dry_run": False, "size": 200, "kinds": [UNIT]})
    async with client.post("/v1/cache/prune", json={"keep": 0, "dry_run": True}) as answer:
        assert (await answer.json())["dry_run"] is True
    assert daemon.cache.asked == [(5, Trial.REAL, None), (0, Trial.DRY, None)]


async def test_how_much_may_stay_has_to_be_said(daemon: Daemon, client: aiohttp.ClientSession):
    for body in ({}, {"keep": -1}, {"keep": "all"}, {"keep": 0, "dry": True}):
        async with client.post("/v1/cache/prune", json=body) as answer:
            assert (answer.status, (await answer.json())["kind"]) == (422, "invalid_request")
    assert daemon.cache.asked == []


async def test_a_token_sees_and_prunes_what_is_its_scopes_own(make_daemon: MakeDaemon):
    """Law 7."""
    async with (
        running(make_daemon(tokens={"secret": "team"})) as daemon,
        aiohttp.ClientSession(daemon.url, headers={"Authorization": "Bearer secret"}) as client,
    ):
        async with client.get("/v1/cache"), client.post("/v1/cache/prune", json={"keep": 0}):
            pass
        assert daemon.cache.asked == [("team",), (0, Trial.REAL, "team")]
        async with aiohttp.ClientSession(daemon.url) as stranger, stranger.get("/v1/cache") as answer:
            assert answer.status == 401
