"""TOML with typed access: each value is asked for by key and type, and a wrong one is named by file, key and type.

The words are cargo's, so that a message here and one of cargo's own about the same manifest read alike.
"""

import datetime as dt
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cache.errors import Failure
from cache.manifests.errors import BadManifest

_LARGEST = 16 << 20  # bytes; the largest public locks are near one MiB
_PLACE = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL)
_SIMPLE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def parse(file: str, content: bytes, cause: type[Failure] = BadManifest) -> "Table":
    """Read a TOML file; what is no TOML raises `cause` with file, line and column."""
    if len(content) > _LARGEST:
        raise cause(f"{file} has {len(content)} bytes: more than {_LARGEST} are not read", file=file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise cause(f"{file}, line {line}: the file is not UTF-8", file=file, line=line) from None
    try:
        return Table(file, (), tomllib.loads(text), cause)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.match(str(error))
        what = place["what"] if place else str(error)
        line = int(place["line"]) if place and place["line"] else text.count("\n") + 1
        column = int(place["column"]) if place and place["column"] else None
        shown = _excerpt(text, line)
        raise cause(f"{file}, line {line}: {what}{shown}", file=file, line=line, column=column) from None
    except ValueError:  # Python reads no integer of more than some thousand digits
        raise cause(f"{file}: an integer has too many digits", file=file) from None
    except RecursionError:
        raise cause(f"{file}: values are nested too deeply", file=file) from None


def _excerpt(text: str, line: int) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and lines[line - 1].strip():
        return f"\n{line} | {lines[line - 1][:200]}"
    return ""


@dataclass(frozen=True, slots=True)
class Table:
    """One TOML table, its file and the keys that lead to it; `values` are as tomllib gives them."""

    file: str
    where: tuple[str, ...]
    values: Mapping[str, Any]
    cause: type[Failure] = BadManifest

    def __contains__(self, key: object) -> bool:
        return key in self.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def path(self, key: str = "") -> str:
        """A key's full name, as one would write it."""
        keys = (*self.where, key) if key else self.where
        return ".".join(part if _SIMPLE_KEY.fullmatch(part) else f'"{part}"' for part in keys)

    def failure(self, words: str, key: str = "") -> Failure:
        """The file's failure about this table, or one key of it."""
        field = self.path(key)
        at = f" (in `{field}`)" if field else ""
        return self.cause(f"{self.file}: {words}{at}", file=self.file, field=field)

    def wrong_type(self, key: str, expected: str) -> Failure:
        """The failure that a value has not the expected type."""
        return self.failure(f"invalid type: {described(self.values[key])}, expected {expected}", key)

    def text(self, key: str) -> str | None:
        """A string, or None where there is none."""
        value = self.values.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong_type(key, "a string")

    def flag(self, key: str) -> bool | None:
        """A boolean, or None where there is none."""
        value = self.values.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong_type(key, "a boolean")

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of strings, or None where there is none."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self.wrong_type(key, "a list of strings")

    def table(self, key: str) -> "Table | None":
        """A table, or None where there is none."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, dict):
            return Table(self.file, (*self.where, key), value, self.cause)
        raise self.wrong_type(key, "a table")

    def tables(self, key: str) -> "tuple[Table, ...] | None":
        """A list of tables, or None where there is none."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return tuple(Table(self.file, (*self.where, key), item, self.cause) for item in value)
        raise self.wrong_type(key, "a list of tables")

    def inherits(self, key: str) -> bool:
        """Whether the value is `{ workspace = true }`."""
        value = self.values.get(key)
        return isinstance(value, dict) and value.get("workspace") is True


def described(value: object) -> str:
    """A TOML value in cargo's words, such as ``integer `1` ``."""
    match value:
        case bool():
            words = f"boolean `{str(value).lower()}`"
        case int():
            words = f"integer `{value}`"
        case float():
            words = f"floating point `{value}`"
        case str():
            words = f'string "{value[:100]}"'
        case list():
            words = "sequence"
        case dict():
            words = "map"
        case dt.datetime() | dt.date() | dt.time():
            words = "datetime"
        case _:
            words = type(value).__name__
    return words
