"""From binaries to published images: assemble, check, publish, in that order, for each image that was asked for."""

from collections.abc import Sequence
from dataclasses import replace

from cache.digest import Digest
from daemon.builds import BuiltImage, ImageRequest, StageName
from daemon.ecosystems.ecosystem import Plan, Source
from daemon.engine.engine import Images, Limits, Sandboxes
from daemon.pipeline.assemble import AssembledImage, Assembler
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.check import Checker, run_check
from daemon.pipeline.compile import CompileResult
from daemon.pipeline.publish import PublishStage


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
            assembled = [
                await self._assembler.assemble(
                    result.binaries[str(request.binary)],
                    request.settings,
                    plan.link,
                    source.tree,
                    plan.toolchain,
                    directory=source.request.directory,
                )
                for request in plan.images
            ]
        async with progress.stage(StageName.CHECK):
            for image in assembled:
                await self._checker.check(image, source.tree, plan.toolchain.facts.sysroot_digests)
            if plan.check is not None:
                for image in assembled:
                    await self._publish.load(str(image.image_id), image.manifest_digest)
                    await run_check(
                        self._images, self._engine, image, plan.check, self._limits, labels=attempt.sandboxes.labels
                    )
        async with progress.stage(StageName.PUBLISH):
            return tuple(
                [
                    await self._published(image, request, attempt)
                    for image, request in zip(assembled, plan.images, strict=True)
                ]
            )

    async def publish_again(self, images: Sequence[BuiltImage], plan: Plan, attempt: Attempt) -> tuple[BuiltImage, ...]:
        """Images of an earlier build under the tags of this one; loaded again where the engine has lost them."""
        again = []
        for image, request in zip(images, plan.images, strict=True):
            await self._publish.load(image.image_id, Digest.parse(image.digest))
            await self._tag(image.image_id, request, attempt)
            again.append(replace(image, tags=request.tags, reference=_reference(request, image.image_id)))
        return tuple(again)

    async def _published(self, image: AssembledImage, request: ImageRequest, attempt: Attempt) -> BuiltImage:
        image_id = str(image.image_id)
        await self._publish.load(image_id, image.manifest_digest)
        await self._tag(image_id, request, attempt)
        for warning in image.warnings:
            attempt.progress.note(warning)
        return BuiltImage(
            binary=image.binary,
            reference=_reference(request, image_id),
            tags=request.tags,
            digest=str(image.manifest_digest),
            image_id=image_id,
            size=image.size,
            files=image.file_count,
            contents=str(image.listing),
            symbols=str(image.symbols) if image.symbols else None,
            warnings=image.warnings,
        )

    async def _tag(self, image_id: str, request: ImageRequest, attempt: Attempt) -> None:
        for tag in await self._publish.tag(image_id, request.tags, attempt.build.sequence):
            attempt.progress.note(f"{tag} stays with the image of a newer build.")


def _reference(request: ImageRequest, image_id: str) -> str:
    return request.tags[0] if request.tags else image_id
