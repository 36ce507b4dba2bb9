"""Packages as cargo names them in its messages."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

STUB_MARK = "bloomery.stub"
"""In the version of every stub and of no real package."""
_OUTSIDE = ("registry+", "sparse+", "git+")
_OLD_FORM = re.compile(r"(?P<name>[^ ]+) (?P<version>[^ ]+) \((?P<source>.+)\)")


@dataclass(frozen=True, slots=True)
class PackageId:
    """A package: a source URL, a name and a version.

    The forms are those of https://doc.rust-lang.org/cargo/reference/pkgid-spec.html: `path+file:///work/a#0.1.0`,
    `path+file:///work/a#other-name@0.1.0`, `registry+https://…#name@1.0.0`; before cargo 1.77 it was
    `name 0.1.0 (path+file:///work/a)`.
    """

    source: str
    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> "PackageId":
        """Read one; the name defaults to the last component of the source's path. Other texts have no source."""
        old = _OLD_FORM.fullmatch(text)
        if old:
            return cls(old["source"].partition("#")[0], old["name"], old["version"])
        source, mark, fragment = text.partition("#")
        if not mark:
            return cls("", text, "")
        name, at, version = fragment.rpartition("@")
        if not at:
            name = PurePosixPath(source.partition("?")[0]).name
        return cls(source, name, version)

    @property
    def is_outside(self) -> bool:
        """Whether it comes from a registry or from git; all others are first-party, or patched in."""
        return self.source.startswith(_OUTSIDE)

    @property
    def is_stub(self) -> bool:
        """Whether its version is one that only the skeleton's stubs have."""
        return STUB_MARK in self.version

    @property
    def words(self) -> str:
        """`name version`, as cargo's own lines have it."""
        return f"{self.name} {self.version}"
