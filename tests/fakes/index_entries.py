"""A crate's index entry as cargo keeps it."""

import json
from collections.abc import Mapping


def entry(name: str, versions: Mapping[str, str], *, index_version: str = 'etag: "1"', **more: object) -> bytes:
    """By version the checksum of its archive; `more` goes into each line."""
    content = b"\x03\x02\0\0\0" + index_version.encode() + b"\0"
    for version, checksum in versions.items():
        line = {"name": name, "vers": version, "deps": [], "cksum": checksum, "features": {}, "yanked": False, **more}
        content += version.encode() + b"\0" + json.dumps(line).encode() + b"\0"
    return content
