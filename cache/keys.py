"""Keys: may this be reused? Each key is a list of labelled parts, so that a difference can be named, not only seen.

"The keys" in ARCHITECTURE.md says what belongs to which. Keys nest: a hard key starts from the unit key's parts, an
exact key from the hard key's, a result key from the exact key's.
"""

import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cache.comparing import difference
from cache.differences import Difference, Subject
from cache.digest import Digest


class KeyKind(StrEnum):
    """What a key decides."""

    UNIT = "unit"
    """May a compiled unit be reused at all?"""
    HARD = "hard"
    """The same profile, features and package selection, too."""
    EXACT = "exact"
    """The same external packages and manifests, too: the dependency layer fits."""
    RESULT = "result"
    """The same sources, request and image settings, too: the image fits."""


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One labelled input of a key, such as `profile`; values are texts, or digests of what is long."""

    label: str
    value: str
    subject: Subject = Subject.SETTING
    """How a difference in it is told; it plays no part in the key's name."""

    @classmethod
    def of_json(cls, label: str, value: object, subject: Subject = Subject.SETTING) -> "KeyPart":
        """A part whose value is structured: its canonical JSON."""
        return cls(label, json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False), subject)


@dataclass(frozen=True, slots=True)
class Key:
    """A kind and its parts; equal parts in equal order make an equal digest."""

    kind: KeyKind
    parts: tuple[KeyPart, ...]

    @property
    def digest(self) -> Digest:
        """The key as a name."""
        text = json.dumps([str(self.kind), [[part.label, part.value] for part in self.parts]], ensure_ascii=False)
        return Digest(hashlib.sha256(text.encode()).hexdigest())

    def extended(self, kind: KeyKind, parts: Iterable[KeyPart]) -> "Key":
        """The next key up: these parts after mine."""
        return Key(kind, (*self.parts, *parts))

    def only(self, labels: Container[str]) -> "Key":
        """The parts with these labels."""
        return Key(self.kind, tuple(part for part in self.parts if part.label in labels))

    def values(self) -> Mapping[str, str]:
        """The parts by label."""
        return {part.label: part.value for part in self.parts}

    def differences(self, newer: "Key") -> tuple[Difference, ...]:
        """Which parts changed from this key to a newer one, in the newer one's order, then the parts that went."""
        old, new = self.values(), newer.values()
        subjects = {part.label: part.subject for part in (*self.parts, *newer.parts)}
        labels = [*new, *(label for label in old if label not in new)]
        return tuple(
            difference(subjects[label], label, old.get(label), new.get(label))
            for label in labels
            if old.get(label) != new.get(label)
        )
