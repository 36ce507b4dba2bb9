"""An image as one archive: an OCI image layout and, in the same tar, what `docker load` reads.

Source: image-layout.md of https://github.com/opencontainers/image-spec; `manifest.json` is Docker's image specification
v1.2. Engines before 25 read `manifest.json`, newer ones and registries' tools `index.json`; both name the same blobs.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from cache.digest import Digest
from daemon import tarball
from daemon.engine.engine import Archive
from daemon.image.blobs import Blobs
from daemon.image.layer import MTIME, Blob
from daemon.image.manifest import MANIFEST_TYPE, descriptor
from daemon.tarball import Member

_REFERENCE = "org.opencontainers.image.ref.name"
_CONTAINERD = "io.containerd.image.name"
_BEGINNING = tuple(Member(path=path, mode=0o755, mtime=MTIME) for path in ("blobs", "blobs/sha256"))
BEGINNING = b"".join(tarball.entries(_BEGINNING))
"""What every archive begins with, whatever it holds."""


def archive(manifest: Digest, tags: Iterable[str], blobs: Blobs) -> Archive:
    """The uncompressed tar stream of the image with this manifest, read piece by piece.

    `tags` are whole references such as `users:1.2`; none is allowed. Equal images under equal tags give equal bytes.
    `OSError` if a blob is gone.
    """
    return tarball.stream(_members(manifest, tuple(tags), blobs))


def _members(digest: Digest, tags: tuple[str, ...], blobs: Blobs) -> Iterator[Member]:
    content = blobs.path(digest).read_bytes()
    manifest = json.loads(content)
    config, layers = _named(manifest["config"]), [_named(layer) for layer in manifest["layers"]]
    itself = Blob(digest, len(content))
    yield from _BEGINNING
    for blob in sorted({itself, config, *layers}, key=lambda one: one.digest):
        yield Member(path=_path(blob), mode=0o644, mtime=MTIME, source=blobs.path(blob.digest), size=blob.size)
    yield _file("index.json", _index(itself, tags))
    classic = {"Config": _path(config), "RepoTags": list(tags), "Layers": [_path(layer) for layer in layers]}
    yield _file("manifest.json", [classic])
    yield _file("oci-layout", {"imageLayoutVersion": "1.0.0"})


def _named(descriptor: dict[str, Any]) -> Blob:
    return Blob(Digest.parse(descriptor["digest"]), descriptor["size"])


def _index(manifest: Blob, tags: tuple[str, ...]) -> dict[str, Any]:
    points_at = descriptor(MANIFEST_TYPE, manifest)
    named = [{**points_at, "annotations": {_REFERENCE: _version(tag), _CONTAINERD: tag}} for tag in tags]
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": named or [points_at],
    }


def _version(tag: str) -> str:
    name, _, version = tag.rpartition(":")
    return version if name and "/" not in version else "latest"


def _path(blob: Blob) -> str:
    return f"blobs/sha256/{blob.digest.hex}"


def _file(path: str, value: object) -> Member:
    content = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return Member(path=path, mode=0o644, mtime=MTIME, content=content)
