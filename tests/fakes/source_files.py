"""Source files in memory, from a directory, and on their way to one."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from cache.digest import Digest
from cache.manifests.source import identity


class InMemoryFiles:
    """`SourceFiles` from a mapping; text is encoded."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self._files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}

    @classmethod
    def of(cls, directory: Path) -> "InMemoryFiles":
        """All regular files below a directory."""
        found = (path for path in directory.rglob("*") if path.is_file())
        return cls({path.relative_to(directory).as_posix(): path.read_bytes() for path in found})

    def paths(self) -> Iterable[str]:
        return sorted(self._files)

    def read(self, path: str) -> bytes:
        return self._files[path]

    def identity(self, path: str) -> str:
        return identity(Digest.of(self._files[path]))

    def __contains__(self, path: object) -> bool:
        return path in self._files

    def write(self, directory: Path) -> None:
        """Put the files into a directory."""
        for path, content in self._files.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
