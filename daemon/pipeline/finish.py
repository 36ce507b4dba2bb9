"""From binaries to published images: assemble, check, publish, in that order, for each image that was asked for."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from cache.digest import Digest
from daemon.builds import BuiltImage, ImageRequest, StageName
from daemon.ecosystems.planned import Plan, Source
from daemon.engine.engine import Images, Limits, Sandboxes
from daemon.pipeline.assemble import AssembledImage, Assembler
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.check import Checker, run_check
from daemon.pipeline.compile import CompileResult
from daemon.pipeline.publish import PublishStage
from daemon.pipeline.sandboxes import BuildSandboxes


class FinishStage:
    """The last three stages."""

    def __init__(
        self,
        *,
        assembler: Assembler,
        checker: Checker,
        publish: PublishStage,
        images: Images,
        engine: Sandboxes,
        limits: Limits,
    ) -> None:
        self._assembler = assembler
        self._checker = checker
        self._publish = publish
        self._images = images
        self._engine = engine
        self._limits = limits

    async def finish(
        self,
        result: CompileResult,
        source: Source,
        plan: Plan,
        attempt: Attempt,
    ) -> tuple[BuiltImage, ...]:
        """All images of the build; none is tagged before all have passed their check."""
        progress = attempt.progress
        async with progress.stage(StageName.ASSEMBLE):
            assembled = []
            async for image in self.assembled(result, source, plan):
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
        async with progress.stage(StageName.PUBLISH):
            return tuple(
                [
                    await self._published(image, request, attempt)
                    for image, request in zip(assembled, plan.images, strict=True)
                ]
            )

    async def assembled(self, result: CompileResult, source: Source, plan: Plan) -> AsyncIterator[AssembledImage]:
        """The images of a compile, in the order of the request; blobs, and in no engine."""
        for request in plan.images:
            yield await self._assembler.assemble(
                result.binaries[str(request.binary)],
                request.settings,
                plan.link,
                source.tree,
                plan.toolchain,
                directory=source.request.directory,
            )

    async def publish_again(self, images: Sequence[BuiltImage], plan: Plan, attempt: Attempt) -> tuple[BuiltImage, ...]:
        """Images of an earlier build under the tags of this one; loaded again where the engine has lost them."""
        again = []
        for image, request in zip(images, plan.images, strict=True):
            await attempt.publishing.load(image.image_id, Digest.parse(image.digest))
            tags = await self._tagged(image.image_id, request, attempt)
            again.append(replace(image, tags=tags, reference=_reference(tags, image.image_id)))
        return tuple(again)

    async def _published(self, image: AssembledImage, request: ImageRequest, attempt: Attempt) -> BuiltImage:
        image_id = str(image.image_id)
        await attempt.publishing.load(image_id, image.manifest_digest)
        tags = await self._tagged(image_id, request, attempt)
        for warning in image.warnings:
            attempt.progress.note(warning)
        return BuiltImage(
            binary=image.binary,
            reference=_reference(tags, image_id),
            tags=tags,
            digest=str(image.manifest_digest),
            image_id=image_id,
            size=image.size,
            files=image.file_count,
            contents=str(image.listing),
            symbols=str(image.symbols) if image.symbols else None,
            warnings=image.warnings,
        )

    async def _tagged(self, image_id: str, request: ImageRequest, attempt: Attempt) -> tuple[str, ...]:
        """The tags that are this image's now."""
        elsewhere = await attempt.publishing.tag(image_id, request.tags, attempt.build.sequence)
        for tag in elsewhere:
            attempt.progress.note(stays(tag))
        return tuple(tag for tag in request.tags if tag not in elsewhere)


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
