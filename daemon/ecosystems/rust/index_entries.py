"""What cargo keeps of a registry's index: for each crate one file, with a line of JSON for each of its versions.

The format is that of cargo's `sources/registry/index/cache.rs`: a byte with the cache's version (3) and four with the
schema's (2, little-endian); the index file's own version; then pairs of a crate's version and its JSON. Each of these
ends with a zero byte. The registry wrote what is in it, so an entry that is in any way odd has no versions.
"""

import re
from collections.abc import Collection, Mapping

import msgspec

_HEADER = bytes((3,)) + (2).to_bytes(4, "little")
_NEWEST_SCHEMA = 2
_VERSION = re.compile(rb"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_SHORT = 3


class _Line(msgspec.Struct):
    name: str
    vers: str
    cksum: str
    v: int | None = None


_line = msgspec.json.Decoder(_Line).decode


def entry_path(name: str) -> str:
    """Where a crate's entry is, below a registry's own directory."""
    lower = name.lower()
    match len(lower):
        case 1 | 2:
            place = f"{len(lower)}"
        case 3:
            place = f"{_SHORT}/{lower[0]}"
        case _:
            place = f"{lower[:2]}/{lower[2:4]}"
    return f".cache/{place}/{lower}"


def checksums(entry: bytes, name: str, versions: Collection[str]) -> Mapping[str, str]:
    """Of these versions of a crate those that its entry has, each with the checksum of its archive."""
    if not entry.startswith(_HEADER):
        return {}
    _, *pairs = entry[len(_HEADER) :].split(b"\0")
    listed, lines = pairs[:-1:2], pairs[1::2]
    if len(pairs) % 2 == 0 or pairs[-1] or not all(map(_VERSION.fullmatch, listed)):
        return {}
    wanted = {version.encode(): version for version in versions}
    found: dict[str, str] = {}
    for number, each in enumerate(listed):
        version = wanted.get(each)
        if version is None:
            continue
        line = _read(lines[number])
        if version in found or line is None or (line.name, line.vers) != (name, version):
            return {}
        found[version] = line.cksum
    return found


def _read(line: bytes) -> _Line | None:
    try:
        read = _line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return read if (read.v or 1) <= _NEWEST_SCHEMA else None
