import aiohttp
import pytest

from cache.digest import Digest
from tests.fakes.api import Daemon

MAIN = b"fn main() {}\n"
DIGEST = str(Digest.of(MAIN))
LISTING = {
    "entries": [
        {"path": "src/main.rs", "size": len(MAIN), "digest": DIGEST},
        {"path": "run.sh", "size": len(MAIN), "digest": DIGEST, "executable": True},
        {"path": "link", "kind": "symlink", "target": "src/main.rs"},
        {"path": "empty", "kind": "directory"},
    ]
}


async def test_a_tree_is_listed_its_blobs_uploaded_and_then_it_is_here(daemon: Daemon, client: aiohttp.ClientSession):
    async with client.post("/v1/trees", json=LISTING) as answer:
        listed = await answer.json()
    assert (answer.status, listed["missing"]) == (200, [DIGEST])
    async with client.get(f"/v1/trees/{listed['tree']}") as answer:
        assert (answer.status, (await answer.json())["kind"]) == (404, "unknown_tree")
    async with client.put(f"/v1/blobs/{DIGEST}", data=MAIN) as answer:
        assert (answer.status, await answer.json()) == (201, {"digest": DIGEST})
    async with client.post("/v1/trees", json=LISTING) as answer:
        assert await answer.json() == {"tree": listed["tree"], "missing": []}
    async with client.get(f"/v1/trees/{listed['tree']}") as answer:
        assert await answer.json() == {"tree": listed["tree"], "entries": 4, "size": 2 * len(MAIN)}


async def test_a_percent_encoded_digest_is_the_digest(client: aiohttp.ClientSession):
    async with client.put(f"/v1/blobs/{DIGEST.replace(':', '%3A')}", data=MAIN) as answer:
        assert answer.status == 201


async def test_other_content_than_the_digest_names_is_refused_and_not_kept(
    daemon: Daemon, client: aiohttp.ClientSession
):
    async with client.put(f"/v1/blobs/{DIGEST}", data=b"something else") as answer:
        assert (answer.status, (await answer.json())["kind"]) == (422, "blob_mismatch")
    assert not daemon.blobs.has(Digest.parse(DIGEST))


@pytest.mark.parametrize("path", ["/v1/blobs/md5:abc", "/v1/blobs/sha256:" + "A" * 64])
async def test_what_is_no_digest_is_refused(client: aiohttp.ClientSession, path: str):
    async with client.put(path, data=b"x") as answer:
        problem = await answer.json()
    assert (answer.status, problem["evidence"]["path"]) == (422, "path.digest")


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"path": "a", "digest": "sha256:x"}, "$.entries[0].digest"),
        ({"path": "a", "digest": DIGEST + "\n"}, "$.entries[0].digest"),
        ({"path": "a", "digest": DIGEST, "size": -1}, "$.entries[0].size"),
        ({"path": "a", "kind": "device"}, "$.entries[0].kind"),
        ({"path": 1}, "$.entries[0].path"),
        ({"path": "a", "mtime": 3}, "$.entries[0]"),
    ],
)
async def test_an_entry_that_does_not_fit_is_refused_with_its_path(
    client: aiohttp.ClientSession, entry: dict[str, object], path: str
):
    async with client.post("/v1/trees", json={"entries": [entry]}) as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"], problem["evidence"]["path"]) == (422, "invalid_request", path)


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b"])
async def test_a_path_that_leads_out_is_refused_as_in_an_archive(client: aiohttp.ClientSession, path: str):
    async with client.post("/v1/trees", json={"entries": [{"path": path, "size": 1, "digest": DIGEST}]}) as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"], problem["evidence"]["entry"]) == (422, "unsafe_entry", path)


async def test_a_listing_in_another_encoding_is_refused(client: aiohttp.ClientSession):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with client.post("/v1/trees", data=b"x", headers=headers) as answer:
        assert (answer.status, (await answer.json())["kind"]) == (415, "unsupported_media_type")
