"""The Python that an image will run: which wheels fit it and what markers say of it, without running it.

Sources: https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/ and PEP 600 for manylinux,
https://packaging.python.org/en/latest/specifications/dependency-specifiers/ for the environment of markers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.markers import Environment
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.version import Version

from cache.manifests.python.errors import UnfitPython

_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}
"""The oldest glibc 2.x that a manylinux wheel may be for, where that is not 2.17."""
_OLDEST_GLIBC_ELSEWHERE = 17
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A CPython on Linux with glibc: `version` such as `3.11.2`, `glibc` such as `2.36`, `machine` as uname has it."""

    version: str
    glibc: str
    machine: str = "x86_64"

    @property
    def minor(self) -> str:
        """The minor version, such as `3.11`."""
        return ".".join(map(str, self._release))

    @property
    def environment(self) -> Environment:
        """What markers are evaluated against. The kernel's release and version are nobody's to know: they are empty."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.version,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.version,
            "python_version": self.minor,
            "sys_platform": "linux",
        }

    @property
    def tags(self) -> tuple[Tag, ...]:
        """The tags of wheels that it can run, best first."""
        nodot = "".join(map(str, self._release))
        platforms = tuple(self._platforms())
        return (
            *cpython_tags(self._release, [f"cp{nodot}"], platforms),
            *compatible_tags(self._release, f"cp{nodot}", platforms),
        )

    def fits(self, python: SpecifierSet) -> bool:
        """Whether a `requires-python` lets it run the project; pre-releases count as what they precede."""
        return python.contains(self.version, prereleases=True)

    def unfit(self, what: str, wanted: str, file: str = "") -> UnfitPython:
        """The failure that something, in a file of the tree, is for another Python than this."""
        return UnfitPython(
            f"{what} is for Python {wanted}, and the image's would be {self.version}",
            file=file or what,
            python=self.version,
            wanted=wanted,
        )

    @property
    def _release(self) -> tuple[int, int]:
        version = Version(self.version)
        return version.major, version.minor

    def _platforms(self) -> Iterator[str]:
        yield f"linux_{self.machine}"
        major, newest = (int(part) for part in self.glibc.split(".")[:2])
        for minor in range(newest, _OLDEST_GLIBC.get(self.machine, _OLDEST_GLIBC_ELSEWHERE) - 1, -1):
            yield f"manylinux_{major}_{minor}_{self.machine}"
            if minor in _LEGACY:
                yield f"{_LEGACY[minor]}_{self.machine}"
