"""Reads a configuration file (TOML) into `Config`, and refuses what it does not know.

The dataclasses of `daemon.config` are the schema: a member's name is the key, its type says what is expected.
"""

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from cache.errors import Failure
from daemon.config import Bytes, Config, Count, Positive, Seconds, Share

_UNITS: Mapping[Any, Mapping[str, float]] = {
    Bytes: {
        "B": 1,
        "KiB": 1 << 10,
        "MiB": 1 << 20,
        "GiB": 1 << 30,
        "TiB": 1 << 40,
        "kB": 10**3,
        "MB": 10**6,
        "GB": 10**9,
    },
    Seconds: {"ms": 0.001, "s": 1, "min": 60, "h": 3600},
}
_SHOWN = 200
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")


class ConfigError(Failure):
    """The configuration cannot be used as it stands; `evidence` has file, key, value and what was expected."""

    kind = "bad_configuration"
    title = "The configuration is not valid"


class _Unexpected(Exception):  # noqa: N818 - reads as the cause it names
    """A value is not what it should be; the argument says what that is."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in which file."""

    file: str
    key: str = ""

    def under(self, key: str) -> "_Place":
        return _Place(self.file, f"{self.key}.{key}" if self.key else key)

    def refuse(self, value: object, expected: str) -> ConfigError:
        shown = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}…"
        return ConfigError(
            f"{self.file}: {self.key} = {shown}: expected {expected}",
            file=self.file,
            key=self.key,
            value=shown,
            expected=expected,
        )


def read_config(file: Path) -> Config:
    """The file's settings over the defaults; `ConfigError` for a file that cannot be read, or a key or value in it."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{file} cannot be read: {reason}", file=str(file)) from error
    return parse_config(text, str(file))


def parse_config(text: str, file: str) -> Config:
    """The same for a text; `file` is its name in errors."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}", file=file) from error
    config: Config = _table(Config, document, _Place(file))
    return config


def _table(kind: type[Any], values: object, place: _Place) -> Any:
    if not isinstance(values, dict):
        raise place.refuse(values, f"a table: write [{place.key}]")
    types = get_type_hints(kind)
    known = [member.name for member in fields(kind)]
    for key, value in values.items():
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"{near[0]} (did you mean it?), or another of " if near else "one of "
            raise place.under(key).refuse(value, f"a known key: {hint}{', '.join(known)}")
    return kind(**{key: _value(types[key], value, place.under(key)) for key, value in values.items()})


def _value(kind: Any, value: object, place: _Place) -> Any:
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return _table(kind, value, place)
    if get_origin(kind) is Mapping:
        return _names(value, place)
    if get_origin(kind) is tuple:
        return _texts(value, place)
    try:
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return _word(kind, value)
        return _READERS[kind](value)
    except _Unexpected as unexpected:
        raise place.refuse(value, str(unexpected)) from None


def _names(values: object, place: _Place) -> dict[str, str]:
    if not isinstance(values, dict):
        raise place.refuse(values, f"a table of names and texts: write [{place.key}]")
    for name, value in values.items():
        if not isinstance(value, str) or not value:
            raise place.under(name).refuse(value, "a text that is not empty")
    return values


def _texts(values: object, place: _Place) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise place.refuse(values, 'a list of texts, such as ["…", "…"]')
    return tuple(values)


def _word(kind: type[StrEnum], value: object) -> StrEnum:
    words = [str(word) for word in kind]
    if not isinstance(value, str) or value not in words:
        raise _Unexpected("one of " + ", ".join(f'"{word}"' for word in words))
    return kind(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Unexpected('a text, such as "…"')
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Unexpected("true or false")
    return value


def _count(value: object) -> Count:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _Unexpected("a whole number of at least 1")
    return Count(value)


def _positive(value: object) -> Positive:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise _Unexpected("a number above 0")
    return Positive(float(value))


def _share(value: object) -> Share:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _Unexpected("a number from 0 to 1")
    return Share(float(value))


def _bytes(value: object) -> Bytes:
    expected = 'a size above 0: a number of bytes, or a text with a unit such as "64 MiB"'
    number = _quantity(Bytes, value, expected)
    if number != int(number):
        raise _Unexpected(expected)
    return Bytes(int(number))


def _seconds(value: object) -> Seconds:
    return Seconds(
        float(
            _quantity(Seconds, value, 'a duration above 0: a number of seconds, or a text such as "30 s" or "5 min"')
        ),
    )


def _quantity(kind: Any, value: object, expected: str) -> float:
    number: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and (match := _QUANTITY.fullmatch(value)) and (unit := _UNITS[kind].get(match[2])):
        number = (float(match[1]) if "." in match[1] else int(match[1])) * unit
    if number is None or not 0 < number < math.inf:
        raise _Unexpected(expected)
    return number


_READERS: Mapping[Any, Callable[[object], Any]] = {
    str: _text,
    bool: _switch,
    Count: _count,
    Positive: _positive,
    Share: _share,
    Bytes: _bytes,
    Seconds: _seconds,
}
