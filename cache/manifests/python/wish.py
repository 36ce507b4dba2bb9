"""Which Python a project wants: what `bloomery.toml`, `.python-version` and `requires-python` say of it."""

import posixpath
import re
from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet

from cache.manifests.errors import UnsupportedSetting
from cache.manifests.paths import above
from cache.manifests.python.interpreter import Interpreter
from cache.manifests.settings import SETTINGS, ProjectSettings
from cache.manifests.source import SourceFiles

PYTHON_VERSION = ".python-version"
_VERSION = re.compile(r"(?:(?:cpython|python)[-@]?)?(?P<minor>3\.\d{1,2})(?:\.\d+)?(?:[-+].*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonWish:
    """What a project says of its Python; without a `minor` (such as `3.11`) any does that the specifiers let."""

    minor: str | None = None
    said_in: str = ""
    """The file that names the minor version."""
    requires: SpecifierSet = field(default_factory=SpecifierSet)
    """`requires-python`; empty where nothing is said."""
    required_in: str = ""
    """The file that has the specifiers."""

    def fits(self, interpreter: Interpreter) -> bool:
        """Whether this interpreter is one that is wanted."""
        return self.minor in {None, interpreter.minor} and interpreter.fits(self.requires)

    def require(self, interpreter: Interpreter) -> None:
        """Raise `UnfitPython` where this interpreter is not one that is wanted."""
        if self.minor not in {None, interpreter.minor}:
            raise interpreter.unfit(self.said_in, self.minor or "")
        if not interpreter.fits(self.requires):
            raise interpreter.unfit(self.required_in, str(self.requires))


def read_wish(
    files: SourceFiles, directory: str, settings: ProjectSettings, requires: SpecifierSet | None, required_in: str
) -> PythonWish:
    """`[python] version`, else the nearest `.python-version`; `UnsupportedSetting` where that is no CPython 3."""
    minor, said_in = settings.python.version, SETTINGS
    if minor is None:
        minor, said_in = _python_version(files, directory)
    return PythonWish(
        minor=minor,
        said_in=said_in if minor else "",
        requires=requires if requires is not None else SpecifierSet(),
        required_in=required_in if requires is not None else "",
    )


def _python_version(files: SourceFiles, directory: str) -> tuple[str | None, str]:
    for place in (directory, *above(directory)):
        path = posixpath.join(place, PYTHON_VERSION)
        if path not in files:
            continue
        lines = files.read(path).decode("utf-8", "replace").splitlines()
        said = next((line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
        if not said:
            return None, ""
        found = _VERSION.fullmatch(said)
        if found is None:
            raise UnsupportedSetting(
                f"{path}: `{said[:100]}` is no version of CPython 3, such as `3.11`: mend it, or say it in "
                f"{SETTINGS} as `[python] version`",
                file=path,
                setting=said[:100],
            )
        return found["minor"], path
    return None, ""
