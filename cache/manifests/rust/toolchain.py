"""`rust-toolchain` and `rust-toolchain.toml`: which toolchain a source asks for (rustup's file, The rustup book)."""

from cache.manifests.document import Table, parse
from cache.manifests.errors import UnsupportedSetting
from cache.manifests.paths import above
from cache.manifests.source import SourceFiles

_NAMES = ("rust-toolchain", "rust-toolchain.toml")
_IGNORED = ("components", "targets", "profile")


def read_toolchain(files: SourceFiles, directory: str) -> tuple[str | None, tuple[str, ...]]:
    """The channel that the nearest file at or above a directory names, if any, and what to tell the user."""
    for place in (directory, *above(directory)):
        for name in _NAMES:
            file = f"{place}/{name}" if place else name
            if file in files:
                return _read(file, files.read(file))
    return None, ()


def _read(file: str, content: bytes) -> tuple[str | None, tuple[str, ...]]:
    lines = content.decode("utf-8", errors="replace").strip().splitlines()
    if len(lines) == 1 and "=" not in lines[0] and "[" not in lines[0]:
        return _channel(file, lines[0].strip()), ()
    toolchain = parse(file, content, UnsupportedSetting).table("toolchain")
    if toolchain is None:
        return None, (f"{file} has no [toolchain] and is ignored",)
    if "path" in toolchain:
        raise toolchain.failure("a toolchain from a path of the source is not used: name a channel instead", "path")
    ignored = [key for key in _IGNORED if key in toolchain]
    notes = (f"{file}: {', '.join(ignored)} ignored: the toolchain image has what it has",) if ignored else ()
    channel = toolchain.text("channel")
    return (_channel(file, channel, toolchain) if channel is not None else None), notes


def _channel(file: str, channel: str, table: Table | None = None) -> str:
    if not channel or "/" in channel or any(sign.isspace() for sign in channel):
        words = f"`{channel[:100]}` is no toolchain channel such as `stable`, `1.95` or `nightly`"
        if table is not None:
            raise table.failure(words, "channel")
        raise UnsupportedSetting(f"{file}: {words}", file=file)
    return channel
