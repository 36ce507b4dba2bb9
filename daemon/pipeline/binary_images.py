"""Images of binaries, for languages that compile."""

from daemon.builds import ImageRequest
from daemon.ecosystems.planned import Plan, Source
from daemon.image.assembled import AssembledImage
from daemon.pipeline.assemble import Assembler
from daemon.pipeline.compilation import Made
from daemon.pipeline.compile import CompileResult


class BinaryImages:
    """An `ImageMaker` over what a compile has left."""

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler

    async def image(self, made: Made, request: ImageRequest, source: Source, plan: Plan) -> AssembledImage:
        """The binary that is asked for, and exactly what it needs."""
        assert isinstance(made, CompileResult)
        return await self._assembler.assemble(
            made.binaries[str(request.binary)],
            request.settings,
            plan.link,
            source.tree,
            plan.toolchain,
            directory=source.request.directory,
        )
