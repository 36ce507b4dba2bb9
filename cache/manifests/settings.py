"""`bloomery.toml`: what a project says about how it is built and what its images hold, read strictly.

The daemon merges a request over it. Nothing here names the daemon's own types, which stand a ring above.
"""

import posixpath
import re
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec

from cache.manifests.document import Table, described, parse
from cache.manifests.errors import BadSettings
from cache.manifests.paths import above
from cache.manifests.source import SourceFiles

SETTINGS = "bloomery.toml"
_REFUSED = re.compile(r"CARGO(_.*)?|RUSTC.*|RUSTDOC.*|RUSTFLAGS|RUSTUP_.*|PATH|HOME|LD_.*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORT = re.compile(r"\d{1,5}(/(tcp|udp|sctp))?")
_LARGEST_PORT = 65535
_FIELD = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`")
_KIND = re.compile(r"\b(str|int|bool|array|object)\b")
_WORDS = {"str": "a string", "int": "an integer", "bool": "true or false", "array": "a list", "object": "a table"}


class LinkSetting(StrEnum):
    """How binaries are linked."""

    DYNAMIC = "dynamic"
    STATIC = "static"


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A table of the file: its keys are the fields, with hyphens."""


_Text = Annotated[str, msgspec.Meta(min_length=1)]


_S = TypeVar("_S", bound=_Strict)


class Project(_Strict, frozen=True, kw_only=True):
    """`[project]`."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] | None = None


class BuildSettings(_Strict, frozen=True, kw_only=True):
    """`[build]`; None or empty means: not said."""

    binary: _Text | None = None
    binaries: tuple[_Text, ...] = ()
    """Several images from one compile; `binary` is short for one."""
    features: tuple[_Text, ...] | None = None
    default_features: bool | None = None
    profile: _Text | None = None
    toolchain: _Text | None = None
    link: LinkSetting | None = None
    revision: bool = False
    """Whether the compile's environment and the image's labels get commit, branch and dirty."""
    environment: dict[str, str] = {}
    """Added to the environment of the compile, not of the cook."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """The binaries that are named, in either way."""
        return (self.binary,) if self.binary is not None else self.binaries


class ImageTable(_Strict, frozen=True, kw_only=True):
    """`[image]`, or `[images.NAME]` for one binary; None or empty means: not said."""

    include: tuple[_Text, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    arguments: tuple[str, ...] | None = None
    ports: tuple[str | int, ...] | None = None
    environment: dict[str, str] = {}
    labels: dict[str, str] = {}
    stop_signal: _Text | None = None
    user: _Text | None = None
    working_directory: Annotated[str, msgspec.Meta(pattern="^/")] | None = None


class CheckSettings(_Strict, frozen=True, kw_only=True):
    """`[check]`."""

    command: tuple[_Text, ...] | None = None


class PythonSettings(_Strict, frozen=True, kw_only=True):
    """`[python]`; None or empty means: not said."""

    version: Annotated[str, msgspec.Meta(pattern=r"^3\.\d{1,2}$")] | None = None
    """The interpreter's minor version, such as `3.11`."""
    requirements: _Text | None = None
    """The file that is resolved instead of `requirements.txt` or `pyproject.toml`."""
    extras: tuple[_Text, ...] = ()
    """Of the project's own optional dependencies."""
    groups: tuple[_Text, ...] = ()
    """Dependency groups of `pyproject.toml`."""
    application: tuple[_Text, ...] | None = None
    """The files and directories that are the application, instead of what is found."""


class ProjectSettings(_Strict, frozen=True, kw_only=True):
    """The whole file; without one, everything is unsaid."""

    project: Project = Project()
    build: BuildSettings = BuildSettings()
    python: PythonSettings = PythonSettings()
    image: ImageTable = ImageTable()
    images: dict[str, ImageTable] = {}
    check: CheckSettings = CheckSettings()

    def image_of(self, binary: str) -> ImageTable:
        """The settings of one binary's image: its own over `[image]`; environment and labels are merged by name."""
        own = self.images.get(binary)
        if own is None:
            return self.image
        fields = {name: getattr(own, name) for name in own.__struct_fields__ if getattr(own, name) is not None}
        fields["environment"] = self.image.environment | own.environment
        fields["labels"] = self.image.labels | own.labels
        return msgspec.structs.replace(self.image, **fields)


def read_settings(files: SourceFiles, directory: str = "") -> ProjectSettings:
    """The nearest `bloomery.toml` at or above a directory of the tree, or the defaults; raises `BadSettings`."""
    for place in (directory, *above(directory)):
        path = posixpath.join(place, SETTINGS)
        if path in files:
            return _read(parse(path, files.read(path), BadSettings))
    return ProjectSettings()


def _read(table: Table) -> ProjectSettings:
    whole = {key: value for key, value in table.values.items() if key != "images"}
    settings = _convert(table, (), whole, ProjectSettings)
    tables = table.table("images")
    images = {
        name: _convert(table, ("images", name), tables.values[name], ImageTable) for name in tables or () if tables
    }
    settings = msgspec.structs.replace(settings, images=images)
    _check(table, settings)
    return settings


def _convert(table: Table, prefix: tuple[str, ...], value: object, kind: type[_S]) -> _S:
    """Read one struct, and turn msgspec's words, `Expected …, got … - at `$.build.link``, into ours."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message = str(error)
    field = _FIELD.search(message)
    keys = [*prefix, *(key for key in re.split(r"[.\[\]]+", field["path"] if field else "") if key)]
    if field and field["path"].endswith("[...]"):
        keys.append(_no_text(_at(table.values, keys)))
    what = _FIELD.sub("", message)
    unknown = _UNKNOWN.fullmatch(what)
    if unknown:
        known = ", ".join(_known_keys(keys))
        raise _bad(table, [*keys, unknown["key"]], f"unknown key: expected one of {known}", expected=known)
    expected = _expected(keys, what)
    raise _bad(table, keys, f"expected {expected}", expected=expected)


def _no_text(values: object) -> str:
    """The first key of a table of texts whose value is none: msgspec does not say which."""
    entries = values.items() if isinstance(values, dict) else ()
    return next((str(key) for key, value in entries if not isinstance(value, str)), "…")


def _expected(keys: list[str], what: str) -> str:
    if keys[-1:] == ["link"]:
        return " or ".join(f"`{link}`" for link in LinkSetting)
    if keys == ["project", "name"]:
        return "a name of letters, digits, `.`, `_` and `-`"
    if keys == ["python", "version"]:
        return "a minor version such as `3.11`"
    if keys[-1:] == ["working-directory"]:
        return "an absolute path"
    kinds = _KIND.findall(what.partition(", got")[0])
    words = " or ".join(_WORDS[kind] for kind in kinds if kind in _WORDS) or what
    return f"{words} that is not empty" if "length >= 1" in what else words


def _bad(table: Table, keys: list[str], words: str, *, expected: str) -> BadSettings:
    value = _at(table.values, keys)
    key = ".".join(keys)
    shown = described(value) if value is not None else "nothing"
    return BadSettings(
        f"{table.file}: `{key}` is {shown}: {words}", file=table.file, key=key, value=shown, expected=expected
    )


def _at(values: Any, keys: list[str]) -> object:
    for key in keys:
        if isinstance(values, dict) and key in values:
            values = values[key]
        elif isinstance(values, list) and key.isdigit() and int(key) < len(values):
            values = values[int(key)]
        else:
            return values
    return values


def _known_keys(keys: list[str]) -> list[str]:
    tables: dict[str, type[_Strict]] = {
        "project": Project,
        "build": BuildSettings,
        "python": PythonSettings,
        "image": ImageTable,
        "images": ImageTable,
        "check": CheckSettings,
    }
    struct = tables[keys[0]] if keys else ProjectSettings
    return sorted(field.encode_name for field in msgspec.structs.fields(struct))


def _check(table: Table, settings: ProjectSettings) -> None:
    """What types alone do not say."""
    build = settings.build
    if build.binary is not None and build.binaries:
        raise _bad(
            table, ["build", "binary"], "`build.binaries` is set too: use one of them", expected="one of the two"
        )
    for name in build.environment:
        if not _NAME.fullmatch(name):
            raise _bad(
                table, ["build", "environment", name], "this is no name of a variable", expected="letters, digits, _"
            )
        if _REFUSED.fullmatch(name):
            words = "the daemon sets CARGO_*, RUSTC*, PATH, HOME, LD_* and the like itself"
            raise _bad(table, ["build", "environment", name], words, expected="another variable")
    for keys, image in [(["image"], settings.image), *((["images", n], i) for n, i in settings.images.items())]:
        for port in image.ports or ():
            text = str(port)
            if not _PORT.fullmatch(text) or not 1 <= int(text.partition("/")[0]) <= _LARGEST_PORT:
                expected = "a port from 1 to 65535, such as 3000 or `53/udp`"
                raise _bad(table, [*keys, "ports"], f"`{text}` is no port: expected {expected}", expected=expected)
