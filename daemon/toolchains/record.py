"""A toolchain image's facts as they are recorded: JSON, believed for the very image that was probed alone."""

import msgspec

from daemon.toolchains.probe import VERSION
from daemon.toolchains.toolchain import ToolchainFacts


def write(facts: ToolchainFacts) -> bytes:
    """The facts as JSON."""
    return msgspec.json.encode(facts)


def read(record: bytes, image_id: str) -> ToolchainFacts | None:
    """The facts of this image; None where the record is damaged, of another image, or of another version's probe."""
    try:
        facts = msgspec.json.decode(record, type=ToolchainFacts)
    except msgspec.DecodeError:
        return None
    return facts if facts.image_id == image_id and facts.probe == VERSION else None
