"""A git repository of one commit, made here from texts: its revision is known before anything reads it.

A bare repository with loose objects, as `git help repository-layout` describes it; nothing varies, neither people nor
times, so the same files always have the same revision.
"""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

_WHO = "canary <canary@localhost> 978307200 +0000"
_BRANCH = "refs/heads/master"
_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


@dataclass(frozen=True, slots=True)
class GitRepository:
    """Contents by path below the repository's directory, and the commit that it holds."""

    revision: str
    files: Mapping[str, bytes]


@dataclass(slots=True)
class _Objects:
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, kind: str, content: bytes) -> str:
        whole = f"{kind} {len(content)}\0".encode() + content
        name = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        self.files[f"objects/{name[:2]}/{name[2:]}"] = zlib.compress(whole)
        return name

    def tree(self, files: Mapping[str, bytes]) -> str:
        """A directory's object, and those of all that is in it."""
        below: dict[str, dict[str, bytes]] = {}
        entries: dict[bytes, tuple[bytes, str]] = {}
        for path, content in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                below.setdefault(name, {})[rest] = content
            else:
                entries[name.encode()] = b"100644 " + name.encode(), self.add("blob", content)
        for name, inner in below.items():
            # Git sorts a directory as if its name ended with a slash.
            entries[f"{name}/".encode()] = b"40000 " + name.encode(), self.tree(inner)
        listed = (entry + b"\0" + bytes.fromhex(found) for _, (entry, found) in sorted(entries.items()))
        return self.add("tree", b"".join(listed))


def git_repository(files: Mapping[str, bytes]) -> GitRepository:
    """The repository whose only commit has these files, by path."""
    objects = _Objects()
    tree = objects.tree(files)
    revision = objects.add("commit", f"tree {tree}\nauthor {_WHO}\ncommitter {_WHO}\n\ncanary\n".encode())
    made = {"HEAD": f"ref: {_BRANCH}\n".encode(), _BRANCH: f"{revision}\n".encode(), "config": _CONFIG}
    return GitRepository(revision=revision, files={**made, **objects.files})
