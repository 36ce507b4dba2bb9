"""What is in an image, layer by layer, as the engine saves it; and which of a project's sources are among it."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

SHORTEST = 24
"""Bytes: what is shorter is found in anything."""
_NO_SOURCES = {"target", "__pycache__"}


def files(image: str) -> Iterator[tuple[str, bytes]]:
    """Each file of each layer; one that a later layer hides is there as well."""
    saved = subprocess.run(["docker", "save", image], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        (image_of,) = json.loads(_content(archive, "manifest.json"))
        for layer in image_of["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(_content(archive, layer))) as found:
                for member in found:
                    if member.isfile():
                        yield member.name, _content(found, member)


def sources(directory: Path) -> dict[str, bytes]:
    """Each file of a source tree that is long enough to be known again, by its path."""
    found = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    contents = {name: path.read_bytes() for name, path in found.items() if not _NO_SOURCES & {*path.parts}}
    return {name: content for name, content in contents.items() if len(content) >= SHORTEST}


def within(image: str, wanted: dict[str, bytes]) -> set[str]:
    """Those whose bytes are a file of the image, or stand within one."""
    there = [content for _, content in files(image)]
    return {name for name, content in wanted.items() if any(content in each for each in there)}


def _content(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()
