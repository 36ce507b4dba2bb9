"""Takes out of a toolchain image, before a build asks, what nearly every Rust binary needs.

The first image of a new state directory comes a second sooner for it.
"""

import posixpath

from daemon.image.architecture import Architecture
from daemon.image.library_source import LibrarySource

_NAMES = ("libc.so.6", "libgcc_s.so.1", "libm.so.6")
_LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")


async def take_usual_libraries(source: LibrarySource, image_id: str, architecture: Architecture) -> None:
    """Ask for them as the loader's search will; what is found, and what is not, is remembered."""
    async with source.open(image_id) as files:
        await files.library_directories()
        for directory in architecture.default_directories:
            for name in _NAMES:
                await files.file(posixpath.join(directory, name))
        for path in _LOADERS:
            await files.file(path)
