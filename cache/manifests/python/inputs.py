"""A file of the tree with its content, as a step that makes a lock is given it."""

from dataclasses import dataclass, field

from cache.manifests.source import SourceFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A file by its path in the tree."""

    path: str
    content: bytes = field(repr=False)


def input_file(files: SourceFiles, path: str) -> InputFile:
    """A file as an input; `KeyError` where there is none."""
    return InputFile(path=path, content=files.read(path))
