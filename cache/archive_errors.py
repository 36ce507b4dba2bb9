"""Why an upload was not taken: one class per cause, and the closed set of rules that an entry can break."""

from enum import StrEnum

from cache.errors import Blame, Failure


class BadArchive(Failure):
    """The body is no tar archive, or it is cut off, damaged, or says two things at once."""

    kind = "bad_archive"
    title = "The upload is not a tar archive that can be read"
    blame = Blame.REQUEST


class UnsafeEntry(Failure):
    """An entry is not one that a source tree may hold; `evidence` has its name as `entry` and the `rule` it broke."""

    kind = "unsafe_entry"
    title = "The upload holds an entry that is not accepted"
    blame = Blame.REQUEST


class UploadTooLarge(Failure):
    """A bound on size, number or length was met; `evidence` has `limit` (its name), `allowed` and `found`."""

    kind = "upload_too_large"
    title = "The upload is larger than it may be"
    blame = Blame.LIMIT


class UploadTooSlow(Failure):
    """The body came too slowly, or reading it took too long; `evidence` has the `limit` and its `allowed` seconds."""

    kind = "upload_too_slow"
    title = "The upload took too long"
    blame = Blame.LIMIT


class BadListing(Failure):
    """An entry of a listing lacks what its kind needs, or has what it cannot have; `evidence` names the `entry`."""

    kind = "bad_listing"
    title = "The listing has an entry that makes no sense"
    blame = Blame.REQUEST


class BadIgnoreFile(Failure):
    """A line of `.dockerignore` is no pattern; `evidence` has its number as `line` and its text as `pattern`."""

    kind = "bad_ignore_file"
    title = "The .dockerignore file cannot be read"
    blame = Blame.SOURCE


class Rule(StrEnum):
    """What an entry of a source tree must not be."""

    HARD_LINK = "hard_link"
    DEVICE = "device"
    FIFO = "fifo"
    SPARSE = "sparse"
    UNKNOWN_TYPE = "unknown_type"
    EMPTY_NAME = "empty_name"
    ABSOLUTE = "absolute"
    PARENT = "parent"
    """A `..` in its path."""
    CONTROL_CHARACTER = "control_character"
    NOT_UTF8 = "not_utf8"
    DUPLICATE = "duplicate"
    COLLISION = "collision"
    """Another entry's name differs only in case or in Unicode normal form."""
    BELOW_A_FILE = "below_a_file"
    BELOW_A_LINK = "below_a_link"
    LINK_OUTSIDE = "link_outside"
    LINK_LOOP = "link_loop"
    WRONG_SIZE = "wrong_size"


MEANING = {
    Rule.HARD_LINK: "is a hard link",
    Rule.DEVICE: "is a device",
    Rule.FIFO: "is a named pipe",
    Rule.SPARSE: "is a sparse file",
    Rule.UNKNOWN_TYPE: "is of an unknown type",
    Rule.EMPTY_NAME: "has no name",
    Rule.ABSOLUTE: "has an absolute path",
    Rule.PARENT: "has `..` in its path",
    Rule.CONTROL_CHARACTER: "has a control character in its name",
    Rule.NOT_UTF8: "has a name that is not UTF-8",
    Rule.DUPLICATE: "is there twice",
    Rule.COLLISION: "differs from another entry only in letter case or Unicode form",
    Rule.BELOW_A_FILE: "lies below a file",
    Rule.BELOW_A_LINK: "lies below a symbolic link",
    Rule.LINK_OUTSIDE: "is a symbolic link that leads out of the tree",
    Rule.LINK_LOOP: "is a symbolic link that leads round in circles",
    Rule.WRONG_SIZE: "has another size than its content",
}

_SHOWN = 200


def shown(name: str | bytes) -> str:
    """A hostile name as a short printable text."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    text = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def unsafe(rule: Rule, name: str | bytes, advice: str = "") -> UnsafeEntry:
    """The failure for an entry that breaks a rule."""
    entry = shown(name)
    detail = f"`{entry}` {MEANING[rule]}; leave it out, or list it in .dockerignore"
    return UnsafeEntry(f"{detail}{'; ' if advice else ''}{advice}", entry=entry, rule=str(rule))


def too_large(limit: str, what: str, allowed: int, found: int | None = None) -> UploadTooLarge:
    """The failure for a bound that was met; `found` is None where reading ended at the bound."""
    detail = f"{what} (limit `{limit}`: {allowed:,}); leave target/, .git and other made files out, or raise the limit"
    return UploadTooLarge(detail, limit=limit, allowed=allowed, found=found)
