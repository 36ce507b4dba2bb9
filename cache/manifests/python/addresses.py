"""Addresses as people write them into requirements: which are fetched, and how they are shown."""

import re

FETCHED = ("https://", "http://")
"""How an address begins that is a file to fetch."""
ONLY_FILES = "only files over HTTPS are fetched, no repositories and no paths: name a released version"
_USER = re.compile(r"(?<=://)[^/@\s]*(?=@)")


def shown(text: str) -> str:
    """A text for a message: of bounded length, without the users and passwords of addresses in it."""
    return _USER.sub("…", text)[:200]
