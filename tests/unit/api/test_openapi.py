import json
import re
from http import HTTPStatus
from typing import Any

import aiohttp
import jsonschema
import pytest
from openapi_spec_validator import validate

from api.problems import MEDIA_TYPE
from daemon.builds import BuildState
from daemon.errors import EngineUnavailable
from daemon.events import EventKind
from tests.fakes.api import TREE, Daemon, tar_of


@pytest.fixture
async def document(client: aiohttp.ClientSession):
    async with client.get("/openapi.json") as answer:
        return await answer.json()


async def test_the_document_is_valid_openapi(document: dict[str, Any]):
    assert document["openapi"].startswith("3.1")
    validate(document)


async def test_every_route_is_described_and_everything_described_is_routed(daemon: Daemon, document: dict[str, Any]):
    routed = {
        (route.method.lower(), route.resource.canonical)
        for route in daemon.app.router.routes()
        if route.method != "HEAD"
    }
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert routed == described


async def test_every_operation_tells_its_answers_and_its_problems(document: dict[str, Any]):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            statuses = {int(status) for status in operation["responses"]}
            assert any(status < 400 for status in statuses), where
            assert 500 in statuses, where
            assert (401 in statuses) == bool(operation["security"]), where
            named = set(re.findall(r"{(\w+)}", path))
            assert {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"} == named, where
            for status, response in operation["responses"].items():
                if int(status) >= 400 and (path, status) != ("/readyz", "503"):
                    assert list(response["content"]) == [MEDIA_TYPE], where


async def test_operations_have_names_of_their_own(document: dict[str, Any]):
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


async def test_a_repeatable_parameter_is_a_list_and_others_are_not(document: dict[str, Any]):
    parameters = {
        each["name"]: each["schema"]
        for each in document["paths"]["/v1/builds"]["post"]["parameters"]
        if each["in"] == "query"
    }
    assert {name for name, schema in parameters.items() if schema.get("type") == "array"} == {"tag", "feature"}


async def test_real_answers_are_as_described(daemon: Daemon, client: aiohttp.ClientSession, document: dict[str, Any]):
    build = await daemon.put_build()
    running = await daemon.put_build(BuildState.RUNNING)
    await daemon.events.add(build, EventKind.STATE, state="succeeded", attempt=1)
    blob = b"x"
    digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    listing = {"entries": [{"path": "a", "size": 1, "digest": digest}]}
    requests = [
        ("POST", "/v1/builds", "/v1/builds", {"data": tar_of({"a": b"b"}), "headers": {"Idempotency-Key": "k"}}, 202),
        ("POST", "/v1/builds", "/v1/builds", {"data": tar_of({"a": b"b"}), "headers": {"Idempotency-Key": "k"}}, 200),
        ("POST", "/v1/builds", "/v1/builds", {"json": {"tree": TREE}, "headers": {"Idempotency-Key": "k"}}, 409),
        ("POST", "/v1/builds", "/v1/builds", {"json": {}}, 422),
        ("POST", "/v1/builds", "/v1/builds", {"data": b"x", "headers": {"Content-Type": "a/b"}}, 415),
        ("POST", "/v1/builds", "/v1/builds", {"data": b"x"}, 400),
        ("GET", "/v1/builds", "/v1/builds?limit=1", {}, 200),
        ("GET", "/v1/builds", "/v1/builds?limit=x", {}, 422),
        ("GET", "/v1/builds/{id}", f"/v1/builds/{build}", {}, 200),
        ("GET", "/v1/builds/{id}", "/v1/builds/nope", {}, 404),
        ("DELETE", "/v1/builds/{id}", f"/v1/builds/{running}", {}, 200),
        ("DELETE", "/v1/builds/{id}", "/v1/builds/nope", {}, 404),
        (
            "GET",
            "/v1/builds/{id}/events",
            f"/v1/builds/{build}/events",
            {"headers": {"Accept": "application/x-ndjson"}},
            200,
        ),
        ("GET", "/v1/builds/{id}/events", f"/v1/builds/{build}/events", {"headers": {"Accept": "a/b"}}, 406),
        ("GET", "/v1/builds/{id}/image", f"/v1/builds/{build}/image", {}, 200),
        ("GET", "/v1/builds/{id}/image", f"/v1/builds/{running}/image", {}, 409),
        ("GET", "/v1/builds/{id}/contents", f"/v1/builds/{build}/contents", {}, 200),
        ("GET", "/v1/builds/{id}/symbols", f"/v1/builds/{build}/symbols", {}, 200),
        ("GET", "/v1/builds/{id}/symbols", f"/v1/builds/{build}/symbols", {"headers": {"Range": "bytes=0-1"}}, 206),
        ("GET", "/v1/builds/{id}/lockfile", f"/v1/builds/{build}/lockfile", {}, 200),
        ("POST", "/v1/trees", "/v1/trees", {"json": listing}, 200),
        ("POST", "/v1/trees", "/v1/trees", {"json": {"entries": 3}}, 422),
        ("PUT", "/v1/blobs/{digest}", f"/v1/blobs/{digest}", {"data": blob}, 201),
        ("PUT", "/v1/blobs/{digest}", f"/v1/blobs/{digest}", {"data": b"y"}, 422),
        ("GET", "/v1/trees/{digest}", f"/v1/trees/{TREE}", {}, 404),
        ("POST", "/v1/explain", "/v1/explain", {"json": {"tree": TREE}}, 200),
        ("GET", "/v1/cache", "/v1/cache", {}, 200),
        ("POST", "/v1/cache/prune", "/v1/cache/prune", {"json": {"keep": 0, "dry_run": True}}, 200),
        ("POST", "/v1/cache/prune", "/v1/cache/prune", {"json": {"keep": -1}}, 422),
        ("GET", "/v1/toolchains", "/v1/toolchains", {}, 200),
        ("GET", "/metrics", "/metrics", {}, 200),
        ("GET", "/healthz", "/healthz", {}, 200),
        ("GET", "/readyz", "/readyz", {}, 200),
        ("GET", "/openapi.json", "/openapi.json", {}, 200),
    ]
    for method, template, path, options, status in requests:
        async with client.request(method, path, **options) as answer:
            body = await answer.read()
        assert answer.status == status, (method, path, body)
        check(document, document["paths"][template][method.lower()], answer, body)
    daemon.checks["engine"] = EngineUnavailable("start it")
    async with client.get("/readyz") as answer:
        assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
        check(document, document["paths"]["/readyz"]["get"], answer, await answer.read())


def check(document: dict[str, Any], operation: dict[str, Any], answer: aiohttp.ClientResponse, body: object):
    where = f"{operation['operationId']} {answer.status}"
    response = operation["responses"][str(answer.status)]
    assert answer.content_type in response["content"], where
    for name in response.get("headers", {}):
        assert name in answer.headers, where
    schema = response["content"][answer.content_type].get("schema")
    if schema is not None:
        values = body.splitlines() if answer.content_type == "application/x-ndjson" else [body]
        assert values, where
        for value in values:
            jsonschema.validate(json.loads(value), {**schema, "components": document["components"]})
