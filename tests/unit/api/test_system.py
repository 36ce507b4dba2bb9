import asyncio
import json
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from api.http.readiness import Lifecycle, Readiness, disk, remembered
from cache.errors import NoSpace
from daemon.errors import EngineUnavailable
from tests.fakes.api import FACTS, Daemon, MakeDaemon, running


async def test_health_is_only_that_the_loop_turns(client: aiohttp.ClientSession):
    async with client.get("/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"alive": True})


async def test_ready_when_every_check_is(client: aiohttp.ClientSession):
    async with client.get("/readyz") as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "ready": True,
            "checks": [
                {"name": "lifecycle", "ready": True, "detail": "serving"},
                {"name": "engine", "ready": True, "detail": "well"},
            ],
        }


async def test_not_ready_says_which_check_and_why(daemon: Daemon, client: aiohttp.ClientSession):
    daemon.checks["engine"] = EngineUnavailable("start it with `service docker start`")
    async with client.get("/readyz") as answer:
        checks = (await answer.json())["checks"]
    assert answer.status == 503
    assert checks[1] == {
        "name": "engine",
        "ready": False,
        "detail": "The container engine does not answer: start it with `service docker start`",
    }


@pytest.mark.parametrize("lifecycle", [Lifecycle.STARTING, Lifecycle.LEAVING])
async def test_not_ready_before_and_after_serving(daemon: Daemon, client: aiohttp.ClientSession, lifecycle: Lifecycle):
    daemon.readiness.lifecycle = lifecycle
    async with client.get("/readyz") as answer:
        assert answer.status == 503
    async with client.get("/healthz") as answer:
        assert answer.status == 200


async def test_a_check_that_says_nothing_is_not_waited_for():
    async def silent() -> str:
        await asyncio.sleep(60)
        return ""

    findings = await Readiness([("engine", silent)], seconds=0.01).findings()
    assert (findings[1].ready, findings[1].detail) == (False, "no answer within 0.01 seconds")


async def test_a_disk_is_ready_while_enough_of_it_is_free(tmp_path: Path):
    assert (await disk(tmp_path, 1)()).endswith(" MiB free")
    with pytest.raises(NoSpace, match="make room"):
        await disk(tmp_path, 1 << 62)()


async def test_a_remembered_check_asks_again_only_after_a_while_or_a_failure():
    asked = []

    async def check() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise EngineUnavailable("not yet")
        return "well"

    fresh = remembered(check, 60)
    with pytest.raises(EngineUnavailable):
        await fresh()
    assert [await fresh(), await fresh(), len(asked)] == ["well", "well", 2]


async def test_metrics_are_prometheus_s(client: aiohttp.ClientSession):
    async with client.get("/metrics") as answer:
        assert answer.content_type == "text/plain"
        assert "bloomery_example_total 1.0" in await answer.text()


async def test_metrics_are_openmetrics_for_who_asks(client: aiohttp.ClientSession):
    async with client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}) as answer:
        assert answer.content_type == "application/openmetrics-text"
        assert (await answer.text()).endswith("# EOF\n")


async def test_toolchains_are_listed(client: aiohttp.ClientSession):
    async with client.get("/v1/toolchains") as answer:
        (toolchain,) = (await answer.json())["toolchains"]
    assert (toolchain["name"], toolchain["release"]) == ("stable", "1.95.0")
    assert toolchain["python"] == {"version": "3.11.2", "uv": "0.13.9"}


async def test_a_toolchain_without_python_says_so(daemon: Daemon, client: aiohttp.ClientSession):
    daemon.toolchains.facts = replace(FACTS, python=None, python_lacks=("the program python3",))
    async with client.get("/v1/toolchains") as answer:
        (toolchain,) = (await answer.json())["toolchains"]
    assert toolchain["python"] is None


async def test_toolchains_of_an_engine_that_is_down_are_unavailable(daemon: Daemon, client: aiohttp.ClientSession):
    daemon.toolchains.failure = EngineUnavailable("start it")
    async with client.get("/v1/toolchains") as answer:
        assert (answer.status, (await answer.json())["kind"]) == (503, "engine_unavailable")


async def test_an_explanation_says_the_rung_and_why_not_higher(client: aiohttp.ClientSession):
    async with client.post("/v1/explain", json={"tree": "sha256:" + "a" * 64, "project": "shop"}) as answer:
        explained = await answer.json()
    assert (explained["project"], explained["rung"]) == ("shop", "none")
    refusal = {"rung": "result", "why": "first_build", "differences": [], "parent": None, "weighed": None}
    assert explained["refusals"] == [refusal]


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Basic dDBrZW4=", "t0ken", "Bearer \xff"]
)
async def test_without_a_valid_token_nothing_but_health_is_told(make_daemon: MakeDaemon, authorization: str | None):
    async with running(make_daemon(tokens={"t0ken": "default"})) as daemon:
        given = "A: b" if authorization is None else f"Authorization: {authorization}"
        head = f"Host: h\r\nConnection: close\r\n{given}\r\n\r\n"
        for path in ("/v1/builds", "/v1/toolchains", "/metrics", "/openapi.json"):
            status, headers, body = await daemon.raw(f"GET {path} HTTP/1.1\r\n{head}".encode("latin-1"))
            assert (status, json.loads(body)["kind"]) == (401, "unauthorized")
            assert headers["www-authenticate"].startswith("Bearer")
            assert b"t0ken" not in body
        for path in ("/healthz", "/readyz"):
            assert (await daemon.raw(f"GET {path} HTTP/1.1\r\n{head}".encode("latin-1")))[0] == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_each_token_opens(make_daemon: MakeDaemon, scheme: str):
    async with running(make_daemon(tokens={"one": "default", "two": "team"})) as daemon:
        for token in ("one", "two"):
            headers = {"Authorization": f"{scheme} {token}"}
            async with aiohttp.ClientSession(daemon.url, headers=headers) as client, client.get("/metrics") as answer:
                assert answer.status == 200
