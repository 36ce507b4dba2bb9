"""What was fetched, as a whole for one lock, and package by package for every other lock that names the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cache.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """One file that a step brought: where it goes, and its blob."""

    path: str
    digest: str
    size: int
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """All that cooking and compiling offline needs; kept as JSON under the project's fetch key."""

    files: tuple[FetchedFile, ...] = ()
    archives: tuple[str, ...] = ()
    """Blobs that are tars, unpacked at `/`."""
    lock: str | None = None
    """The lock that was made because the source has none."""

    @property
    def blobs(self) -> tuple[str, ...]:
        """All that it is made of."""
        return (*(file.digest for file in self.files), *self.archives)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPackage:
    """What is kept of one package, as it was fetched or as it was installed; JSON under its name."""

    fetched: Fetched
    unwanted_by: tuple[str, ...] = ()
    """The dependents that a fetch did not bring it for, because they need it on other platforms alone."""
    seconds: float = 0.0
    """What installing it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a lock needs from outside, package by package."""

    place: Digest
    """Names all that decides how a package is fetched; under another nothing may be used."""
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What could be put together from what is kept; `missing` and `kept` count packages."""

    fetched: Fetched
    missing: int
    kept: int


class Keeping(Protocol):
    """The side of a planned project that knows the packages of its lock one by one."""

    def wanted(self) -> Wanted:
        """What to look for."""
        ...

    def gathered(self, kept: Mapping[str, KeptPackage]) -> Gathered:
        """All that the lock needs, where nothing is missing; else what a fetch step is spared. Blocks.

        It may be less than a step needs: then that fails for want of it, and all is fetched.
        """
        ...

    def packages(self, fetched: Fetched, before: Mapping[str, KeptPackage]) -> Mapping[str, KeptPackage]:
        """What to keep of a fetch, by package; `before` is what was kept. Blocks."""
        ...
