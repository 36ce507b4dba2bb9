"""What makes images of what a language's builds come to, each in its own way."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.composition.means import Means
from daemon.behind import Behind
from daemon.ecosystems.planned import Grain
from daemon.image.architecture import AMD64
from daemon.image.elf import ElfReader
from daemon.image.library_source import LibrarySource
from daemon.pipeline.application_images import ApplicationImages
from daemon.pipeline.assemble import Assembler
from daemon.pipeline.binary_images import BinaryImages
from daemon.pipeline.finish import ImageMaker
from daemon.pipeline.interpreters import Interpreters
from daemon.pipeline.kept_layers import KeptLayers


@dataclass(frozen=True, slots=True, kw_only=True)
class Imaging:
    """The makers by grain, and what they share."""

    makers: Mapping[Grain, ImageMaker]
    reader: ElfReader
    libraries: LibrarySource
    interpreters: Interpreters


def imaging(means: Means, behind: Behind) -> Imaging:
    """Put it together."""
    store, blobs, reader = means.store, means.store.blobs, ElfReader()
    libraries = LibrarySource(means.engine.sandboxes, blobs, store, means.labels)
    interpreters = Interpreters(blobs=blobs, source=libraries, reader=reader, architecture=AMD64, behind=behind)
    binaries = BinaryImages(Assembler(blobs, libraries, reader, AMD64))
    applications = ApplicationImages(
        blobs=blobs,
        source=libraries,
        reader=reader,
        architecture=AMD64,
        interpreters=interpreters,
        kept=KeptLayers(store, blobs),
    )
    makers: dict[Grain, ImageMaker] = {
        Grain.UNITS: binaries,
        Grain.LAYERS: binaries,
        Grain.PACKAGES: applications,
    }
    return Imaging(makers=makers, reader=reader, libraries=libraries, interpreters=interpreters)
