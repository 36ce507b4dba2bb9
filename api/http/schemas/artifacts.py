"""What a build has made."""

from msgspec import Struct

from api.http.schemas.texts import DigestText, Name
from daemon.builds import ContentEntry


class ImageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which image of a build that made several."""

    binary: Name | None = None


class ContentsAnswer(Struct, frozen=True, kw_only=True):
    """Every file of an image and why it is there, in the order of the image's layer."""

    binary: str
    digest: DigestText
    entries: tuple[ContentEntry, ...]
