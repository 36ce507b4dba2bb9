"""Which toolchains are offered: those that the configuration names, or else all that were made in this engine.

Facts are kept by image id, so that an image is probed once in its life.
"""

from collections.abc import Mapping
from typing import Protocol

from daemon.engine.engine import EngineImage, Images, Sandboxes, Survey
from daemon.errors import ImageGone
from daemon.toolchains import labels, record
from daemon.toolchains.probe import probe
from daemon.toolchains.toolchain import Toolchain, ToolchainFacts


class FactsStore(Protocol):
    """Keeps what probes found."""

    async def toolchain_facts(self, image_id: str) -> bytes | None:
        """The JSON that was recorded for an image, or None."""
        ...

    async def record_toolchain_facts(self, image_id: str, facts: bytes) -> None:
        """Keep an image's facts; the newer replace the older."""
        ...


async def offers(
    configured: Mapping[str, str], survey: Survey, images: Images, sandboxes: Sandboxes, facts: FactsStore
) -> tuple[Toolchain, ...]:
    """All offered toolchains by name; `configured` maps names to image references.

    A configured image that is not in the engine is pulled; `ImageGone` where that fails. `BadToolchain` where an image
    cannot serve.
    """
    references = dict(configured) or labelled(await survey.images({labels.RECIPE: labels.RECIPE_VERSION}))
    found = []
    for name, reference in sorted(references.items()):
        image = await images.inspect(reference) or await _pulled(name, reference, survey, images)
        found.append(
            Toolchain(
                name=name, image_reference=reference, facts=await known(image, reference, images, sandboxes, facts)
            )
        )
    return tuple(found)


def labelled(candidates: tuple[EngineImage, ...]) -> dict[str, str]:
    """The toolchain images among all that carry the labels, as name to reference.

    An image that was committed from a toolchain's container inherits its labels, but not the tag that they name.
    """
    found: dict[str, str] = {}
    for image in sorted(candidates, key=lambda image: image.tags):
        name, reference = image.labels.get(labels.NAME), image.labels.get(labels.REFERENCE)
        # Podman writes localhost/ before a tag that names no registry
        if name and reference and any(tag == reference or tag.endswith(f"/{reference}") for tag in image.tags):
            found.setdefault(name, reference)
    return found


async def known(
    image: EngineImage, reference: str, images: Images, sandboxes: Sandboxes, facts: FactsStore
) -> ToolchainFacts:
    """An image's facts from the store, or from a probe that is recorded there."""
    recorded = await facts.toolchain_facts(image.id)
    if recorded is not None and (believed := record.read(recorded, image.id)) is not None:
        return believed
    probed = await probe(sandboxes, images, reference)
    # the reference may mean another image by now
    await facts.record_toolchain_facts(probed.image_id, record.write(probed))
    return probed


async def _pulled(name: str, reference: str, survey: Survey, images: Images) -> EngineImage:
    try:
        await survey.pull(reference)
    except ImageGone as gone:
        raise ImageGone(
            f"toolchain {name} is configured as {reference}, which is neither in the engine nor in a registry: make it "
            f"with `bloomery toolchain make {name} --tag {reference}`",
            toolchain=name,
            image=reference,
        ) from gone
    image = await images.inspect(reference)
    if image is None:
        raise ImageGone(f"toolchain {name}: {reference} was pulled and is gone again", toolchain=name, image=reference)
    return image
