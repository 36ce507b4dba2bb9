"""Texts with bounds, as several resources have them."""

from typing import Annotated

from msgspec import Meta

PRINTABLE = r"^[^\x00-\x1f\x7f]*(?!\n)$"  # a bare $ would let a last newline pass

Text = Annotated[str, Meta(max_length=1024, pattern=PRINTABLE)]
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=PRINTABLE)]
DigestText = Annotated[
    str, Meta(pattern=r"^sha256:[0-9a-f]{64}(?!\n)$", description="`sha256:` and 64 hexadecimal digits")
]
