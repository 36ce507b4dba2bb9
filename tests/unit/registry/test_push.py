"""Pushing an image to a registry that has some of it, asks who is there, is busy, or finds it damaged."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.errors import NotPushable, PushDenied, PushFailed, StoredFileDamaged
from daemon.image.layer import Blob
from daemon.image.manifest import manifest
from daemon.registry.connection import Patience
from daemon.registry.login import Credentials
from daemon.registry.push import Pusher
from daemon.registry.reference import RegistryReference, parsed
from daemon.registry.registries import Registries
from tests.fakes.oci_registry import PASSWORD, USER, Door, OciRegistry

LAYER = b"layer" * 50_000


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.fixture
async def registry() -> AsyncIterator[OciRegistry]:
    made = OciRegistry()
    async with made.serving():
        yield made


@pytest.fixture
def credentials() -> dict[str, Credentials]:
    """To be filled by a test before it pushes."""
    return {}


@pytest.fixture
async def pusher(blobs: BlobStore, credentials: dict[str, Credentials]) -> AsyncIterator[Pusher]:
    async with Registries(credentials=credentials, patience=Patience(pauses=(0.0, 0.0))) as registries:
        yield Pusher(blobs, registries.connect)


def stored(blobs: BlobStore, content: bytes = LAYER) -> Digest:
    config, layer = blobs.put(b'{"config":1}'), blobs.put(content)
    return blobs.put(manifest(Blob(config, 12), (Blob(layer, len(content)),)))


def at(registry: OciRegistry, repository: str = "team/users", tag: str = "1") -> RegistryReference:
    return parsed(f"{registry.host}/{repository}:{tag}")


async def push(pusher: Pusher, image: Digest, reference: RegistryReference) -> int:
    sent = await pusher.send(image, reference)
    assert await pusher.tag(image, reference) == f"{reference.host}/{reference.repository}@{image}"
    return sent


async def test_an_image_is_in_the_registry_byte_for_byte(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    image = stored(blobs)

    sent = await push(pusher, image, at(registry))

    assert registry.manifests["team/users", "1"] == blobs.path(image).read_bytes()
    assert LAYER in registry.contents.values()
    assert sent == registry.received == len(LAYER) + 12


async def test_a_second_push_sends_nothing(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    image = stored(blobs)
    await push(pusher, image, at(registry))

    assert await push(pusher, image, at(registry, tag="2")) == 0

    assert registry.count("POST") == 2
    assert ("team/users", "2") in registry.manifests


async def test_of_another_image_only_what_is_new_is_sent(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    await push(pusher, stored(blobs), at(registry))

    assert await push(pusher, stored(blobs, b"another"), at(registry)) == len(b"another")


async def test_what_another_repository_has_is_mounted(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    image = stored(blobs)
    await push(pusher, image, at(registry))

    assert await push(pusher, image, at(registry, "team/copy")) == 0

    assert any("from=team%2Fusers" in line for line in registry.asked)
    assert ("team/copy", "1") in registry.manifests


async def test_a_registry_without_mounts_is_sent_everything(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    registry.mounts = False
    image = stored(blobs)
    await push(pusher, image, at(registry))

    assert await push(pusher, image, at(registry, "team/copy")) == len(LAYER) + 12


@pytest.mark.parametrize("door", [Door.BASIC, Door.TOKEN])
async def test_a_registry_that_asks_is_told_who_we_are(
    blobs: BlobStore, registry: OciRegistry, pusher: Pusher, credentials: dict[str, Credentials], door: Door
):
    registry.door = door
    credentials[registry.host] = Credentials(user=USER, password=PASSWORD)
    image = stored(blobs)

    await push(pusher, image, at(registry))
    await push(pusher, image, at(registry, "team/copy"))

    assert ("team/copy", "1") in registry.manifests
    assert registry.asked.count("GET token") == (3 if door is Door.TOKEN else 0)


async def test_a_token_that_the_registry_forgot_is_asked_for_anew(
    blobs: BlobStore, registry: OciRegistry, pusher: Pusher, credentials: dict[str, Credentials]
):
    registry.door = Door.TOKEN
    credentials[registry.host] = Credentials(user=USER, password=PASSWORD)
    await push(pusher, stored(blobs), at(registry))
    registry.tokens.clear()

    await push(pusher, stored(blobs, b"another"), at(registry))

    assert registry.asked.count("GET token") == 2


@pytest.mark.parametrize("door", [Door.BASIC, Door.TOKEN])
@pytest.mark.parametrize("known", [{}, {"password": "wrong"}])
async def test_a_registry_lets_nobody_in_that_it_does_not_know(
    blobs: BlobStore, registry: OciRegistry, door: Door, known: dict[str, str]
):
    registry.door = door
    credentials = {registry.host: Credentials(user=USER, **known)} if known else None

    async with Registries(credentials=credentials) as registries:
        with pytest.raises(PushDenied) as denied:
            await Pusher(blobs, registries.connect).send(stored(blobs), at(registry))

    assert registry.host in denied.value.detail
    assert PASSWORD not in denied.value.detail
    assert not registry.contents


async def test_a_busy_registry_is_asked_again(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    image = stored(blobs)
    registry.busy = 2

    await push(pusher, image, at(registry))

    assert ("team/users", "1") in registry.manifests


async def test_a_registry_that_stays_busy_is_given_up(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    registry.busy = 100

    with pytest.raises(PushFailed, match="status 503"):
        await pusher.send(stored(blobs), at(registry))

    assert len(registry.asked) == 3


async def test_an_upload_that_breaks_off_is_begun_anew(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    image = stored(blobs)
    registry.breaks = 1

    await push(pusher, image, at(registry))

    assert LAYER in registry.contents.values()


async def test_nobody_there_is_a_failure_that_names_the_registry(blobs: BlobStore, pusher: Pusher):
    with pytest.raises(PushFailed, match=r"127\.0\.0\.1:9"):
        await pusher.send(stored(blobs), parsed("127.0.0.1:9/users"))


async def test_a_blob_that_was_damaged_here_is_dropped_and_said(
    blobs: BlobStore, registry: OciRegistry, pusher: Pusher
):
    image, layer = stored(blobs), Digest.of(LAYER)
    blobs.path(layer).chmod(0o600)
    blobs.path(layer).write_bytes(bytes(len(LAYER)))

    with pytest.raises(StoredFileDamaged):
        await pusher.send(image, at(registry))

    assert not blobs.has(layer)


async def test_a_blob_that_is_gone_is_said(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    image = stored(blobs)
    blobs.remove(Digest.of(LAYER))

    with pytest.raises(StoredFileDamaged):
        await pusher.send(image, at(registry))


async def test_a_tag_before_its_blobs_is_refused(blobs: BlobStore, registry: OciRegistry, pusher: Pusher):
    with pytest.raises(PushFailed, match="MANIFEST_BLOB_UNKNOWN"):
        await pusher.tag(stored(blobs), at(registry))


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("registry.example/users", ("registry.example", "users", "latest")),
        ("registry.example:5000/team/users:1.2", ("registry.example:5000", "team/users", "1.2")),
        ("localhost/users", ("localhost", "users", "latest")),
        ("[::1]:5000/users:1", ("[::1]:5000", "users", "1")),
    ],
)
def test_a_reference_is_taken_apart(reference: str, parts: tuple[str, str, str]):
    found = parsed(reference)
    assert (found.host, found.repository, found.tag) == parts


@pytest.mark.parametrize("reference", ["users", "team/users:1", "registry.example/", "registry.example/Users"])
def test_a_reference_that_names_no_registry_cannot_be_pushed(reference: str):
    with pytest.raises(NotPushable, match=reference):
        parsed(reference)


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "127.8.8.8", "localhost:5000", "[::1]:5000"])
def test_loopback_is_this_machine(host: str):
    assert parsed(f"{host}/users").loopback


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example:5000", "[2001:db8::1]:5000"])
def test_other_hosts_are_elsewhere(host: str):
    assert not parsed(f"{host}/users").loopback
