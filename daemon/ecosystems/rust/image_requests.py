"""Which images a build makes, each with its settings complete: the request's over `bloomery.toml`'s, field by field."""

from collections.abc import Mapping

from cache.errors import Evidence
from cache.manifests.rust.errors import AmbiguousBinary
from cache.manifests.rust.package import Binary
from cache.manifests.rust.selection import Selection
from cache.manifests.settings import ProjectSettings
from daemon.builds import BuildRequest, ImageRequest, Revision
from daemon.ecosystems.image_settings import require_tags_once, settings_of, tagged


def image_requests(selection: Selection, settings: ProjectSettings, request: BuildRequest) -> tuple[ImageRequest, ...]:
    """Each image that is asked for, with its binary.

    A request that names no binary asks for all that `bloomery.toml` names; its tags then go to the first, so that one
    tag never names two images. Raises `AmbiguousBinary` where images and binaries do not go together, and `BadTag`.
    """
    images = tuple(
        ImageRequest(
            binary=binary.name,
            tags=tagged(asked.tags),
            settings=settings_of(settings.image_of(binary.name), asked.settings, settings, request),
        )
        for asked, binary in _pairs(selection, request)
    )
    require_tags_once(images)
    return images


def _pairs(selection: Selection, request: BuildRequest) -> list[tuple[ImageRequest, Binary]]:
    binaries = selection.binaries
    names = [binary.name for binary in binaries]
    evidence: list[Evidence] = [binary.full_name for binary in binaries]
    if len(set(names)) < len(names):
        raise AmbiguousBinary(
            f"cargo puts binaries of one name at one path: build one of {', '.join(map(str, evidence))} at a time",
            binaries=evidence,
        )
    named = [image for image in request.images if image.binary is not None]
    if not named and len(request.images) <= len(binaries):
        return list(zip((*request.images, *[ImageRequest()] * len(binaries)), binaries, strict=False))
    if len(named) < len(request.images):
        raise AmbiguousBinary("of several images each has to name its binary", binaries=evidence)
    by_name = {name: binary for binary in binaries for name in (binary.name, binary.full_name)}
    return [(image, by_name[str(image.binary)]) for image in named]


def revision_variables(settings: ProjectSettings, revision: Revision) -> Mapping[str, str]:
    """What the compile's environment learns of the revision, where `bloomery.toml` asks for it."""
    if not settings.build.revision:
        return {}
    return {
        "BLOOMERY_COMMIT": revision.commit,
        "BLOOMERY_BRANCH": revision.branch,
        "BLOOMERY_DIRTY": "true" if revision.dirty else "false",
    }
