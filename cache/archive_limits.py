"""The bounds of one upload, whichever door it takes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """Bytes unless said otherwise; names are those that `upload_too_large` and `upload_too_slow` give as `limit`."""

    body: int = 64 << 20
    """The request's body as it comes, compressed or not."""
    expanded: int = 512 << 20
    """What it unpacks to, headers included; the sum of all files of a listing."""
    ratio: int = 20
    """How many times the body's size it may unpack to, once it is past `ratio_from`."""
    ratio_from: int = 32 << 20
    entries: int = 20_000
    """A count."""
    names: int = 4 << 20
    """All paths and link targets together."""
    path: int = 1024
    component: int = 255
    depth: int = 64
    """A count of components."""
    header: int = 64 << 10
    """One extension header (pax, GNU long name), and the `.dockerignore` file."""
    idle: float = 30.0
    """Seconds without a byte."""
    total: float = 300.0
    """Seconds from the first byte that is read."""
    cpu: int = 60
    """Seconds of processor time that reading an archive may take."""
    memory: int = 256 << 20
    """Address space of the process that reads an archive."""
