"""How two values of one part of a key are compared, each by its subject: the evidence of `cache.differences`."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cache.differences import (
    ConfigurationChanged,
    Difference,
    EntryChange,
    EnvironmentChanged,
    FileChange,
    FilesChanged,
    ManifestChanged,
    Other,
    PackageChange,
    PackagesChanged,
    Presence,
    SettingChanged,
    Subject,
    ToolchainChanged,
    WithheldChanged,
)

MOST_FILES = 50
_IDENTITY_WORDS = 2
_SHOWN_CONFIGURATION = ("build", "target", "profile")
"""Tables of cargo's configuration whose values are told; variables and registries' addresses may hold secrets."""


def difference(subject: Subject, label: str, old: str | None, new: str | None) -> Difference:
    """Read two values of one part, whatever they are; None: the key lacks it."""
    return _READERS[subject](label, old, new)


def files_changed(label: str, old: Mapping[str, object], new: Mapping[str, object]) -> FilesChanged:
    """Two sets of files by path, each with what identifies it."""
    found = [
        FileChange(path=path, presence=_presence(path in old, path in new))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
    return FilesChanged(label=label, files=tuple(found[:MOST_FILES]), more=max(0, len(found) - MOST_FILES))


def _setting(label: str, old: str | None, new: str | None) -> Difference:
    return SettingChanged(label=label, old=old, new=new)


def _environment(label: str, old: str | None, new: str | None) -> Difference:
    return EnvironmentChanged(label=label, old=old, new=new)


def _toolchain(label: str, old: str | None, new: str | None) -> Difference:
    first = [value if value is None else value.partition("\n")[0] for value in (old, new)]
    if first[0] != first[1]:
        old, new = first
    return ToolchainChanged(label=label, old=old, new=new)


def _packages(label: str, old: str | None, new: str | None) -> Difference:
    before, after = set((old or "").splitlines()), set((new or "").splitlines())
    gone, come = _by_name(before - after), _by_name(after - before)
    changes = [
        change
        for name in sorted(gone.keys() | come.keys())
        for change in _of_name(name, gone.get(name), come.get(name))
    ]
    return PackagesChanged(label=label, packages=tuple(changes))


def _by_name(lines: Iterable[str]) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for line in sorted(lines):
        name, *rest = line.split(" ")
        found.setdefault(name, []).append([*rest, "", ""])
    return found


def _of_name(name: str, gone: list[list[str]] | None, come: list[list[str]] | None) -> Iterator[PackageChange]:
    gone, come = gone or [], come or []
    if len(gone) == len(come) == 1:
        (before, old_source, *_), (after, new_source, *_) = gone[0], come[0]
        other = None if before != after else Other.SOURCE if old_source != new_source else Other.CHECKSUM
        yield PackageChange(name=name, old=before, new=after, other=other)
        return
    for version, *_ in come:
        yield PackageChange(name=name, old=None, new=version)
    for version, *_ in gone:
        yield PackageChange(name=name, old=version, new=None)


def _manifest(label: str, old: str | None, new: str | None) -> Difference:
    presence = _presence(old is not None, new is not None)
    entries = tuple(_entries(_table(old), _table(new))) if presence is Presence.CHANGED else ()
    return ManifestChanged(label=label, path=label.partition(" ")[2], presence=presence, entries=entries)


def _configuration(label: str, old: str | None, new: str | None) -> Difference:
    return ConfigurationChanged(
        label=label,
        entries=tuple(
            entry
            if entry.name.partition(".")[0] in _SHOWN_CONFIGURATION
            else EntryChange(name=entry.name, old=None, new=None, withheld=True)
            for entry in _entries(_table(old), _table(new))
        ),
    )


def _files(label: str, old: str | None, new: str | None) -> Difference:
    return files_changed(label, _identities(old), _identities(new))


def _identities(value: str | None) -> Mapping[str, str]:
    parted = [line.rsplit(" ", _IDENTITY_WORDS) for line in (value or "").splitlines()]
    return {path: " ".join(identity) for path, *identity in parted if len(identity) == _IDENTITY_WORDS}


def _withheld(label: str, old: str | None, new: str | None) -> Difference:
    entries = _entries(_table(old), _table(new))
    return WithheldChanged(label=label, names=tuple(dict.fromkeys(entry.name for entry in entries)))


def _table(value: str | None) -> Mapping[str, Any]:
    """The tables of a part; empty for what was written when parts had other values."""
    try:
        read = json.loads(value or "{}")
    except ValueError:
        return {}
    while isinstance(read, list):
        read = read[0] if len(read) == 1 else {}
    return read if isinstance(read, dict) else {}


def _entries(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[EntryChange]:
    """Down to where a side has a value, or lacks a whole entry; a table that is missing is an empty one."""
    for key in sorted(old.keys() | new.keys()):
        before, after, name = old.get(key), new.get(key), f"{prefix}{key}"
        if before == after:
            continue
        if _goes_in(before, after) or (not prefix and _goes_in(before or {}, after or {})):
            yield from _entries(before or {}, after or {}, f"{name}.")
        else:
            yield EntryChange(name=name, old=_told(before), new=_told(after))


def _goes_in(old: object, new: object) -> bool:
    """Whether to look into two values; into one that came or went only where all that it holds are tables."""
    if old is None or new is None:
        table = new if old is None else old
        return isinstance(table, dict) and bool(table) and all(isinstance(item, dict) for item in table.values())
    return isinstance(old, dict) and isinstance(new, dict)


def _told(value: object) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _presence(before: bool, after: bool) -> Presence:  # noqa: FBT001 - two sides of one question
    return Presence.CHANGED if before and after else Presence.REMOVED if before else Presence.ADDED


_READERS: Mapping[Subject, Callable[[str, str | None, str | None], Difference]] = {
    Subject.SETTING: _setting,
    Subject.TOOLCHAIN: _toolchain,
    Subject.ENVIRONMENT: _environment,
    Subject.PACKAGES: _packages,
    Subject.MANIFEST: _manifest,
    Subject.CONFIGURATION: _configuration,
    Subject.FILES: _files,
    Subject.WITHHELD: _withheld,
}
