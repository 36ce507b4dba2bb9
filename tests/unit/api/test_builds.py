import gzip
import json
from dataclasses import fields

import aiohttp
import pytest

from api.http.schemas.builds import BuildBody, ImageBody, ImageSettingsBody, RevisionBody
from cache.digest import Digest
from daemon.builds import BuildRequest, BuildState, ImageRequest, ImageSettings, Link, Reuse, Revision
from daemon.errors import Draining, QueueFull
from tests.fakes.api import TREE, Daemon, MakeDaemon, running, tar_of

SOURCES = {"Cargo.toml": b"[package]\nname = 'hello'\n", "src/main.rs": b"fn main() {}\n"}


@pytest.mark.parametrize(
    "media_type",
    ["application/x-tar", "application/gzip", "application/octet-stream", "application/x-www-form-urlencoded"],
)
async def test_an_archive_of_any_of_the_usual_types_becomes_a_build(
    daemon: Daemon, client: aiohttp.ClientSession, media_type: str
):
    headers = {"Content-Type": media_type}
    async with client.post("/v1/builds", data=tar_of(SOURCES), headers=headers) as answer:
        assert answer.status == 202
        assert answer.headers["Location"] == "/v1/builds/build1"
        build = await answer.json()
    assert build["state"] == "queued"
    tree = daemon.trees.kept[Digest.parse(build["request"]["tree"])]
    assert [entry.path for entry in tree] == ["Cargo.toml", "src/main.rs"]


async def test_settings_of_an_archive_come_from_the_query(daemon: Daemon, client: aiohttp.ClientSession):
    query = (
        "tag=a:1&tag=b:2&binary=web&toolchain=nightly&profile=dev&feature=x&feature=y&default_features=false"
        "&link=static&directory=services/web/&project=shop&lineage=topic&parent=next&scope=team&reuse=nothing"
        "&commit=abc&branch=topic&dirty=true&push=false"
    )
    async with client.post(f"/v1/builds?{query}", data=tar_of(SOURCES)) as answer:
        assert answer.status == 202, await answer.text()
        tree = (await answer.json())["request"]["tree"]
    assert daemon.builds.builds_by_id["build1"].request == BuildRequest(
        tree=tree,
        directory="services/web",
        images=(ImageRequest(binary="web", tags=("a:1", "b:2")),),
        toolchain="nightly",
        profile="dev",
        features=("x", "y"),
        default_features=False,
        link=Link.STATIC,
        reuse=Reuse.NOTHING,
        project="shop",
        lineage="topic",
        parent="next",
        scope="team",
        revision=Revision(commit="abc", branch="topic", dirty=True),
        push=False,
    )


async def test_a_json_body_says_all_that_a_request_can(daemon: Daemon, client: aiohttp.ClientSession):
    body = {
        "tree": TREE,
        "images": [{"binary": "web", "tags": ["a:1"], "settings": {"ports": ["80"], "environment": {"A": "b"}}}],
        "check": ["/app/web", "--version"],
        "features": [],
        "verify": True,
        "push": True,
    }
    async with client.post("/v1/builds", json=body) as answer:
        assert answer.status == 202, await answer.text()
    assert daemon.builds.builds_by_id["build1"].request == BuildRequest(
        tree=TREE,
        images=(
            ImageRequest(binary="web", tags=("a:1",), settings=ImageSettings(ports=("80",), environment={"A": "b"})),
        ),
        check=("/app/web", "--version"),
        features=(),
        verify=True,
        push=True,
    )


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (BuildBody, BuildRequest),
        (ImageBody, ImageRequest),
        (ImageSettingsBody, ImageSettings),
        (RevisionBody, Revision),
    ],
)
def test_a_request_body_has_the_fields_of_the_daemon_s_own_value(body: object, value: object):
    assert list(body.__struct_fields__) == [field.name for field in fields(value)]


async def test_one_idempotency_key_with_the_same_content_gives_the_same_build(client: aiohttp.ClientSession):
    headers = {"Idempotency-Key": "k1"}
    async with client.post("/v1/builds?tag=a", data=tar_of(SOURCES), headers=headers) as answer:
        assert answer.status == 202
        first = await answer.json()
    # another archive of the same tree: what counts is the tree
    async with client.post("/v1/builds?tag=a", data=tar_of(SOURCES, "w"), headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Location"] == f"/v1/builds/{first['id']}"
        assert await answer.json() == first


@pytest.mark.parametrize(
    ("prefer", "waited"),
    [("wait=1", [0.25]), ("respond-async, wait=0", []), ("wait=600, handling=lenient", [0.25]), ("return=minimal", [])],
)
async def test_the_end_of_a_build_is_waited_for_where_that_is_preferred_and_never_for_long(
    daemon: Daemon, client: aiohttp.ClientSession, prefer: str, waited: list[float]
):
    async with client.post("/v1/builds", json={"tree": TREE}, headers={"Prefer": prefer}) as answer:
        assert (answer.status, (await answer.json())["state"]) == (202, "queued")
    assert daemon.builds.waited == waited


async def test_a_build_that_ended_while_it_was_waited_for_is_answered_as_it_ended(
    daemon: Daemon, client: aiohttp.ClientSession
):
    daemon.builds.ends = BuildState.SUCCEEDED
    async with client.post("/v1/builds", json={"tree": TREE}, headers={"Prefer": "wait=1"}) as answer:
        assert (answer.status, answer.headers["Location"]) == (201, "/v1/builds/build1")
        assert (await answer.json())["state"] == "succeeded"


@pytest.mark.parametrize("query", ["tag=b", "tag=a&link=static"])
async def test_one_idempotency_key_with_other_content_is_a_conflict(client: aiohttp.ClientSession, query: str):
    headers = {"Idempotency-Key": "k1"}
    async with client.post("/v1/builds?tag=a", data=tar_of(SOURCES), headers=headers) as answer:
        assert answer.status == 202
    async with client.post(f"/v1/builds?{query}", data=tar_of(SOURCES), headers=headers) as answer:
        assert answer.status == 409
        assert (await answer.json())["kind"] == "idempotency_mismatch"


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_an_idempotency_key_that_is_none_is_refused(client: aiohttp.ClientSession, key: str):
    async with client.post("/v1/builds", json={"tree": TREE}, headers={"Idempotency-Key": key}) as answer:
        problem = await answer.json()
    assert (answer.status, problem["evidence"]["path"]) == (422, "header.Idempotency-Key")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("tags=a", "query.tags"),
        ("binary=a&binary=b", "query.binary"),
        ("link=sideways", "query.link"),
        ("dirty=maybe", "query.dirty"),
        ("directory=../up", "query.directory"),
        ("directory=/etc", "query.directory"),
        ("commit=a%0Ab", "query.commit"),
        ("scope=..", "query.scope"),
        ("tag=", "query.tag[0]"),
    ],
)
async def test_a_bad_query_is_refused_before_the_body_is_read(
    daemon: Daemon, client: aiohttp.ClientSession, query: str, path: str
):
    async with client.post(f"/v1/builds?{query}", data=tar_of(SOURCES)) as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"], problem["evidence"]["path"]) == (422, "invalid_request", path)
    assert daemon.trees.kept == {}


async def test_an_unknown_query_parameter_is_answered_with_those_that_there_are(client: aiohttp.ClientSession):
    async with client.post("/v1/builds?tags=a", data=tar_of(SOURCES)) as answer:
        problem = await answer.json()
    assert problem["detail"].startswith("there is no query parameter tags here; there are binary, branch, ")
    assert ", tag, toolchain" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$"),
        ({"tree": "sha256:short"}, "$.tree"),
        ({"tree": TREE + "\n"}, "$.tree"),
        ({"tree": TREE, "colour": 1}, "$"),
        ({"tree": TREE, "images": []}, "$.images"),
        ({"tree": TREE, "images": [{"settings": {"ports": [80]}}]}, "$.images[0].settings.ports[0]"),
        ({"tree": TREE, "default_features": "yes"}, "$.default_features"),
        ([], "$"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_with_its_path(
    daemon: Daemon, client: aiohttp.ClientSession, body: object, path: str
):
    async with client.post("/v1/builds", json=body) as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"], problem["evidence"]["path"]) == (422, "invalid_request", path)
    assert daemon.builds.builds_by_id == {}


async def test_an_unknown_field_is_named(client: aiohttp.ClientSession):
    async with client.post("/v1/builds", json={"tree": TREE, "colour": 1}) as answer:
        assert "`colour`" in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("body", "line", "column"),
    [
        (b'{"tree":\n  @}', 2, 3),
        (b'{"tree": "', 1, 11),
        (b"", 1, 1),
        (b'{"tree": "\xff"}', 1, 11),
    ],
)
async def test_malformed_json_is_refused_with_its_position(
    client: aiohttp.ClientSession, body: bytes, line: int, column: int
):
    async with client.post("/v1/builds", data=body, headers={"Content-Type": "application/json"}) as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"]) == (400, "malformed_json")
    assert (problem["evidence"]["line"], problem["evidence"]["column"]) == (line, column)


async def test_a_body_of_another_type_is_refused_with_those_that_are_read(client: aiohttp.ClientSession):
    async with client.post("/v1/builds", data=b"x", headers={"Content-Type": "text/csv"}) as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"]) == (415, "unsupported_media_type")
    assert "application/x-tar" in problem["evidence"]["taken"]


@pytest.mark.parametrize(
    "body",
    [b"", b"this is no archive", gzip.compress(b"nor is this"), tar_of(SOURCES)[:80]],
    ids=["empty", "text", "text in gzip", "cut"],
)
async def test_a_body_that_is_no_archive_leaves_nothing(daemon: Daemon, client: aiohttp.ClientSession, body: bytes):
    async with client.post("/v1/builds", data=body, headers={"Content-Type": "application/x-tar"}) as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"]) == (400, "bad_archive")
    assert daemon.builds.builds_by_id == {}
    assert not any(path.is_file() for path in daemon.directory.rglob("*"))


async def test_an_unsafe_entry_is_named(client: aiohttp.ClientSession):
    async with client.post("/v1/builds", data=tar_of({"../evil": b"x"})) as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"]) == (422, "unsafe_entry")
    assert problem["evidence"] == {"entry": "../evil", "rule": "parent"}


async def test_a_full_queue_says_when_to_try_again(daemon: Daemon, client: aiohttp.ClientSession):
    daemon.builds.refusal = QueueFull("as many as may", retry_after=17.4)
    async with client.post("/v1/builds", data=tar_of(SOURCES)) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "17")
        assert (await answer.json())["kind"] == "queue_full"


async def test_a_daemon_that_is_leaving_takes_no_builds(daemon: Daemon, client: aiohttp.ClientSession):
    daemon.builds.refusal = Draining("going down")
    async with client.post("/v1/builds", json={"tree": TREE}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_a_build_is_shown_as_it_is(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build()
    async with client.get(f"/v1/builds/{build}") as answer:
        shown = await answer.json()
    assert (answer.status, shown["id"], shown["state"]) == (200, build, "succeeded")
    assert shown["outcome"]["images"][0]["reference"] == "hello:1"


@pytest.mark.parametrize("build", ["nope", "a%2Fb", "%00", "%ff", "%2e%2e", "%D0%B1", "x" * 4000])
async def test_an_unknown_id_however_it_is_written_is_no_build(daemon: Daemon, build: str):
    status, _, body = await daemon.raw(f"GET /v1/builds/{build} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert (status, json.loads(body)["kind"]) == (404, "unknown_build")


async def test_a_percent_encoded_id_is_the_id(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build()
    status, _, body = await daemon.raw(
        f"GET /v1/builds/%62{build[1:]} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
    assert (status, json.loads(body)["id"]) == (200, build)


async def test_cancelling_ends_a_build_and_keeps_its_record(daemon: Daemon, client: aiohttp.ClientSession):
    build = await daemon.put_build(BuildState.RUNNING)
    for _ in range(2):
        async with client.delete(f"/v1/builds/{build}") as answer:
            assert (answer.status, (await answer.json())["state"]) == (200, "cancelled")
    async with client.get(f"/v1/builds/{build}") as answer:
        assert answer.status == 200


async def test_builds_are_listed_newest_first_page_by_page(daemon: Daemon, client: aiohttp.ClientSession):
    for _ in range(5):
        await daemon.put_build()
    seen, cursor = [], ""
    for _ in range(3):
        async with client.get("/v1/builds?limit=2" + (f"&cursor={cursor}" if cursor else "")) as answer:
            page = await answer.json()
        seen.append([build["id"] for build in page["builds"]])
        cursor = page["next"]
    assert seen == [["build5", "build4"], ["build3", "build2"], ["build1"]]
    assert cursor is None


async def test_builds_are_listed_by_state(daemon: Daemon, client: aiohttp.ClientSession):
    await daemon.put_build(BuildState.FAILED)
    await daemon.put_build(BuildState.RUNNING)
    async with client.get("/v1/builds?state=running") as answer:
        assert [build["id"] for build in (await answer.json())["builds"]] == ["build2"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=ten", "cursor=-1", "cursor=abc", "state=lost", "after=1"]
)
async def test_a_bad_page_is_refused(client: aiohttp.ClientSession, query: str):
    async with client.get(f"/v1/builds?{query}") as answer:
        assert (answer.status, (await answer.json())["kind"]) == (422, "invalid_request")


async def test_a_token_s_scope_is_the_build_s(make_daemon: MakeDaemon):
    async with running(make_daemon(tokens={"t0ken": "team"})) as daemon:
        headers = "Host: h\r\nConnection: close\r\nAuthorization: Bearer t0ken\r\nContent-Type: application/json\r\n"
        for scope, status in ((None, 202), ("team", 202), ("other", 403)):
            body = json.dumps({"tree": TREE, "scope": scope})
            answer = await daemon.raw(f"POST /v1/builds HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}")
            assert answer[0] == status, answer
        assert {build.request.scope for build in daemon.builds.builds_by_id.values()} == {"team"}
