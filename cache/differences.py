"""What changed between two keys, as evidence: each type says of one part what a person would ask next.

A closed set. They are structs, not dataclasses, because JSON has to tell them apart: by `about`, which is also what a
metric's label says of a changed key. Values that may be somebody's secret are withheld; what is told is their name.
"""

from enum import StrEnum

from msgspec import Struct


class Subject(StrEnum):
    """What a part of a key is about, and so how its value is read."""

    SETTING = "setting"
    """A text that anybody may see as it stands."""
    TOOLCHAIN = "toolchain"
    """An image's id, or what the compiler says of itself."""
    ENVIRONMENT = "environment"
    """A variable that the daemon itself has set."""
    PACKAGES = "packages"
    """Lines of `name version source checksum`."""
    MANIFEST = "manifest"
    """A manifest's tables as JSON; the label ends with its path."""
    CONFIGURATION = "configuration"
    """The same of cargo's configuration."""
    FILES = "files"
    """Lines of a path and an identity of two words, or one digest of all."""
    WITHHELD = "withheld"
    """JSON, lines or a text whose values are not told."""


class Presence(StrEnum):
    """What became of something that has a name."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class Other(StrEnum):
    """What another package of the same name and version differs in."""

    SOURCE = "source"
    CHECKSUM = "checksum"


class _Told(Struct, frozen=True, kw_only=True, tag_field="about"):
    """A part that two keys do not share."""

    label: str


class SettingChanged(_Told, frozen=True, kw_only=True, tag=str(Subject.SETTING)):
    """A setting; a side that lacks it has None."""

    old: str | None
    new: str | None


class ToolchainChanged(_Told, frozen=True, kw_only=True, tag=str(Subject.TOOLCHAIN)):
    """Another compiler, by its first line, or another image."""

    old: str | None
    new: str | None


class EnvironmentChanged(_Told, frozen=True, kw_only=True, tag=str(Subject.ENVIRONMENT)):
    """A variable that the daemon sets; `label` is its name."""

    old: str | None
    new: str | None


class PackageChange(Struct, frozen=True, kw_only=True):
    """A package of the lock: added without `old`, removed without `new`; `other` where both versions are the same."""

    name: str
    old: str | None
    new: str | None
    other: Other | None = None


class PackagesChanged(_Told, frozen=True, kw_only=True, tag=str(Subject.PACKAGES)):
    """Packages that the lock brings in from outside."""

    packages: tuple[PackageChange, ...]


class EntryChange(Struct, frozen=True, kw_only=True):
    """An entry by its dotted name, such as `dependencies.serde`; values are JSON, None where it is not there."""

    name: str
    old: str | None
    new: str | None
    withheld: bool = False
    """Its values are not told."""


class ManifestChanged(_Told, frozen=True, kw_only=True, tag=str(Subject.MANIFEST)):
    """What of a manifest can change a dependency; no entries where the whole of it came or went."""

    path: str
    presence: Presence
    entries: tuple[EntryChange, ...]


class ConfigurationChanged(_Told, frozen=True, kw_only=True, tag=str(Subject.CONFIGURATION)):
    """What of the project's cargo configuration is honoured."""

    entries: tuple[EntryChange, ...]


class FileChange(Struct, frozen=True, kw_only=True):
    """A file of the source tree."""

    path: str
    presence: Presence


class FilesChanged(_Told, frozen=True, kw_only=True, tag=str(Subject.FILES)):
    """Files that differ; none where it is not known which."""

    files: tuple[FileChange, ...] = ()
    more: int = 0
    """Files beyond those that are listed."""


class WithheldChanged(_Told, frozen=True, kw_only=True, tag=str(Subject.WITHHELD)):
    """Something whose values are not told: the names of what differs in it, as far as it has names."""

    names: tuple[str, ...]


Difference = (
    SettingChanged
    | ToolchainChanged
    | EnvironmentChanged
    | PackagesChanged
    | ManifestChanged
    | ConfigurationChanged
    | FilesChanged
    | WithheldChanged
)


def subject_of(difference: Difference) -> Subject:
    """The label of a difference."""
    return Subject(str(difference.__struct_config__.tag))
