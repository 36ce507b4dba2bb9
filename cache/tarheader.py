"""One tar header at a time: what each of the formats says of an entry, and where two of them say two things.

Formats: POSIX.1-1988 ustar and POSIX.1-2001 pax (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html),
GNU's long names (https://www.gnu.org/software/tar/manual/html_node/Standard.html), and the headers of Unix version 7.
"""

from dataclasses import dataclass

from cache.archive_errors import BadArchive, Rule, unsafe

BLOCK = 512
ZEROS = bytes(BLOCK)
FILE, OLD_FILE, HARD_LINK, SYMLINK, DIRECTORY = b"0", b"\0", b"1", b"2", b"5"
PAX, PAX_GLOBAL, LONG_NAME, LONG_TARGET = b"x", b"g", b"L", b"K"
SPARSE = b"S"
EXTENSIONS = frozenset({PAX, PAX_GLOBAL, LONG_NAME, LONG_TARGET})
"""What says something of the entry that comes next."""
OWNER_EXECUTES = 0o100
_LONGEST_NUMBER = 20


@dataclass(frozen=True, slots=True)
class TarHeader:
    """One entry as its header has it: `kind` is the type flag, `name` and `target` are bytes as they came."""

    kind: bytes
    name: bytes
    target: bytes
    size: int
    mode: int


def parsed(block: bytes) -> TarHeader:
    """A header block; raises `BadArchive`. Owners, times and device numbers are never looked at."""
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _number(block[148:156]) != checksum:
        raise BadArchive("this is no tar archive, or it is damaged: a header's checksum is wrong; send it again")
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    return TarHeader(
        kind=block[156:157],
        name=name,
        target=block[157:257].partition(b"\0")[0],
        size=_number(block[124:136]),
        mode=_number(block[100:108]),
    )


def extend(said: dict[str, bytes], header: TarHeader, data: bytes) -> None:
    """Take what an extension header says about the next entry; `data` is its content."""
    if header.kind in {LONG_NAME, LONG_TARGET}:
        value, _, padding = data.partition(b"\0")
        if padding.strip(b"\0"):
            raise BadArchive("a long name has something after its end; make the archive again")
        records = {"path" if header.kind == LONG_NAME else "linkpath": value}
    else:
        records = _pax(data)
    if header.kind == PAX_GLOBAL:
        if records:
            raise BadArchive(f"a global header sets {', '.join(records)} for all entries; make the archive again")
        return
    if twice := said.keys() & records.keys():
        raise BadArchive(f"two headers give one entry's {', '.join(sorted(twice))}; make the archive again")
    said.update(records)


def _number(field: bytes) -> int:
    """Octal digits between spaces and NULs, or GNU's base 256 for what is positive."""
    if field[0] == 0x80:  # noqa: PLR2004 - the mark of base 256
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit() or digits.strip(b"01234567"):
        raise BadArchive("a number in a header is not octal; make the archive again")
    return int(digits, 8)


def _pax(data: bytes) -> dict[str, bytes]:
    """The records that change what an entry is: path, linkpath and size; of others only the form is looked at."""
    records: dict[str, bytes] = {}
    while data:
        length, space, _ = data[: _LONGEST_NUMBER + 1].partition(b" ")
        if not space or not length.isdigit() or not len(length) + 3 <= int(length) <= len(data):
            raise BadArchive("a pax header is malformed; make the archive again")
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        key, equals, value = record[:-1].partition(b"=")
        if record[-1:] != b"\n" or not equals or not key:
            raise BadArchive("a pax header is malformed; make the archive again")
        if key.startswith(b"GNU.sparse."):
            raise unsafe(Rule.SPARSE, records.get("path", b"an entry"), "make the archive without --sparse")
        if key in {b"path", b"linkpath", b"size"}:
            if key.decode() in records:
                raise BadArchive(f"a pax header gives {key.decode()} twice; make the archive again")
            records[key.decode()] = value
    return records


def overridden(header: TarHeader, said: dict[str, bytes]) -> TarHeader:
    """A header with what was said of it before; raises `BadArchive`."""
    if (size := said.get("size")) is not None and (
        not size.isdigit() or len(size) > _LONGEST_NUMBER or int(size) != header.size
    ):
        raise BadArchive("an entry's header and its pax header give two sizes; make the archive again")
    return TarHeader(
        kind=header.kind,
        name=said.get("path", header.name),
        target=said.get("linkpath", header.target),
        size=header.size,
        mode=header.mode,
    )


def text_of(name: bytes, entry: bytes | str) -> str:
    """A name as text; raises `UnsafeEntry` for one that is not UTF-8."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise unsafe(Rule.NOT_UTF8, entry) from None
