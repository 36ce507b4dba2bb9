"""Writes an image: layers, configuration, manifest and contents, as blobs that come all at once or not at all."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cache.digest import Digest
from daemon.image import manifest
from daemon.image.architecture import Architecture
from daemon.image.blobs import Blobs
from daemon.image.layer import Blob, write_layer
from daemon.image.rootfs import RootFile

Part = Blob | tuple[RootFile, ...]
"""A layer: one that was written before, or its entries, complete and sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenImage:
    """The names of what was written; layers lowest first."""

    manifest: Digest
    config: Digest
    layers: tuple[Blob, ...]
    listing: Digest
    """The JSON list of `ContentEntry`."""


def write_image(
    parts: Sequence[Part],
    rootfs: Iterable[RootFile],
    plan: manifest.ImagePlan,
    extra: Mapping[str, str],
    *,
    architecture: Architecture,
    blobs: Blobs,
) -> WrittenImage:
    """Write what is not written yet; `rootfs` is what all layers come to, `extra` environment gives way. Blocks."""
    with blobs.staging() as staging:
        staged: dict[Digest, Path] = {}
        names = (staging / str(number) for number in itertools.count())

        def stage(content: bytes) -> Blob:
            path = next(names)
            path.write_bytes(content)
            blob = Blob(Digest.of(content), len(content))
            staged[blob.digest] = path
            return blob

        layers = []
        for part in parts:
            if isinstance(part, Blob):
                layers.append(part)
                continue
            path = next(names)
            layers.append(write_layer(part, path))
            staged[layers[-1].digest] = path
        config = stage(manifest.config(plan, extra, layers, architecture))
        image = stage(manifest.manifest(config, layers))
        listing = stage(msgspec.json.encode([file.entry for file in rootfs]))
        blobs.adopt(staged)
    return WrittenImage(manifest=image.digest, config=config.digest, layers=tuple(layers), listing=listing.digest)
