"""From binaries to published images: assemble, check, publish, in that order, for each image that was asked for."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from cache.digest import Digest
from daemon.builds import BuiltImage, ImageRequest, StageName
from daemon.ecosystems.planned import Grain, Plan, Source
from daemon.engine.engine import Images, Limits, Sandboxes
from daemon.image.assembled import AssembledImage
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.check import Checker, run_check
from daemon.pipeline.compilation import Made
from daemon.pipeline.publish import Published, PublishStage, Tagged
from daemon.pipeline.sandboxes import BuildSandboxes


class ImageMaker(Protocol):
    """Who knows what images are made of in a language."""

    async def image(self, made: Made, request: ImageRequest, source: Source, plan: Plan) -> AssembledImage:
        """One image, as blobs, in no engine."""
        ...


class FinishStage:
    """The last three stages."""

    def __init__(
        self,
        *,
        makers: Mapping[Grain, ImageMaker],
        checker: Checker,
        publish: PublishStage,
        images: Images,
        engine: Sandboxes,
        limits: Limits,
    ) -> None:
        self._makers = makers
        self._checker = checker
        self._publish = publish
        self._images = images
        self._engine = engine
        self._limits = limits

    async def finish(
        self,
        made: Made,
        source: Source,
        plan: Plan,
        attempt: Attempt,
    ) -> tuple[BuiltImage, ...]:
        """All images of the build; none is tagged before all have passed their check."""
        progress = attempt.progress
        async with progress.stage(StageName.ASSEMBLE):
            assembled = []
            async for image in self.assembled(made, source, plan):
                attempt.publishing.send(image.manifest_digest)
                assembled.append(image)
        async with progress.stage(StageName.CHECK):
            for image in assembled:
                await self._checker.check(image, source.tree, plan.toolchain.facts.sysroot_digests)
            if plan.check is not None:
                for image in assembled:
                    await attempt.publishing.load(str(image.image_id), image.manifest_digest)
                    sandboxes = _CheckSandboxes(attempt.sandboxes, self._engine)
                    labels = attempt.sandboxes.labels
                    await run_check(self._images, sandboxes, image, plan.check, self._limits, labels=labels)
        published = [
            Published(image_id=str(image.image_id), manifest=image.manifest_digest, tags=request.tags)
            for image, request in zip(assembled, plan.images, strict=True)
        ]
        await self._pushed(published, attempt)
        async with progress.stage(StageName.PUBLISH):
            return tuple(
                [
                    await self._published(image, named, attempt)
                    for image, named in zip(assembled, published, strict=True)
                ]
            )

    async def assembled(self, made: Made, source: Source, plan: Plan) -> AsyncIterator[AssembledImage]:
        """The images of what was made, in the order of the request; blobs, and in no engine."""
        for request in plan.images:
            yield await self._makers[plan.grain].image(made, request, source, plan)

    async def publish_again(self, images: Sequence[BuiltImage], plan: Plan, attempt: Attempt) -> tuple[BuiltImage, ...]:
        """Images of an earlier build under the tags of this one; loaded again where the engine has lost them."""
        published = [
            Published(image_id=image.image_id, manifest=Digest.parse(image.digest), tags=request.tags)
            for image, request in zip(images, plan.images, strict=True)
        ]
        await self._pushed(published, attempt)
        again = []
        async with attempt.progress.stage(StageName.PUBLISH):
            for image, named in zip(images, published, strict=True):
                await attempt.publishing.load(image.image_id, named.manifest)
                tagged = await self._tagged(named, attempt)
                reference = _reference(tagged.moved, image.image_id)
                again.append(replace(image, tags=tagged.moved, reference=reference, pushed=tagged.pushed))
        return tuple(again)

    async def _pushed(self, images: Sequence[Published], attempt: Attempt) -> None:
        if attempt.request.push:
            async with attempt.progress.stage(StageName.PUSH):
                for image in images:
                    await attempt.publishing.push(image, attempt.build)

    async def _published(self, image: AssembledImage, named: Published, attempt: Attempt) -> BuiltImage:
        image_id = str(image.image_id)
        await attempt.publishing.load(image_id, image.manifest_digest)
        tagged = await self._tagged(named, attempt)
        for warning in image.warnings:
            attempt.progress.note(warning)
        return BuiltImage(
            binary=image.binary,
            reference=_reference(tagged.moved, image_id),
            tags=tagged.moved,
            digest=str(image.manifest_digest),
            image_id=image_id,
            size=image.size,
            files=image.file_count,
            contents=str(image.listing),
            symbols=str(image.symbols) if image.symbols else None,
            pushed=tagged.pushed,
            warnings=image.warnings,
        )

    async def _tagged(self, named: Published, attempt: Attempt) -> Tagged:
        tagged = await attempt.publishing.tag(named, attempt.build)
        for tag in tagged.kept:
            attempt.progress.note(stays(tag))
        return tagged


def stays(tag: str) -> str:
    """What is told of a tag that was asked for and that a newer build has."""
    return f"{tag} stays with the image of a newer build."


class _CheckSandboxes:
    """The sandboxes of checks, made and removed as those of steps are."""

    def __init__(self, attempt: BuildSandboxes, engine: Sandboxes) -> None:
        self.create = attempt.create
        self.run = engine.run
        self.remove = attempt.remove


def _reference(tags: Sequence[str], image_id: str) -> str:
    return tags[0] if tags else image_id
