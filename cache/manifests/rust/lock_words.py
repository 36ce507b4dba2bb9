"""What a change of lock says in words; on the client's import path, so it imports nothing of the readers."""

from collections.abc import Iterable

_SHOWN = 24


def explain_lock(old_value: str, new_value: str) -> str:
    """Two values of the `Cargo.lock` part in words: `+ itoa 1.0.18; ~ bytes 1.10.0 -> 1.12.1; - slab 0.4.9`."""
    old, new = set(old_value.splitlines()), set(new_value.splitlines())
    gone, come = _by_name(old - new), _by_name(new - old)
    words: list[str] = []
    for name in sorted(gone.keys() | come.keys()):
        words += _change(name, gone.get(name, []), come.get(name, []))
    words.sort(key=lambda word: "+~-".index(word[0]))
    hidden = len(words) - _SHOWN
    return "; ".join(words[:_SHOWN]) + (f"; and {hidden} more" if hidden > 0 else "")


def _by_name(lines: Iterable[str]) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for line in sorted(lines):
        name, *rest = line.split(" ")
        found.setdefault(name, []).append(rest)
    return found


def _change(name: str, gone: list[list[str]], come: list[list[str]]) -> list[str]:
    if len(gone) == len(come) == 1:
        (before, *old_rest), (after, *new_rest) = gone[0], come[0]
        if before != after:
            return [f"~ {name} {before} -> {after}"]
        what = "source" if old_rest[:1] != new_rest[:1] else "checksum"
        return [f"~ {name} {after} (another {what})"]
    return [f"+ {name} {rest[0]}" for rest in come] + [f"- {name} {rest[0]}" for rest in gone]
