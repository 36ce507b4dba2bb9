"""What the units of a compile read of the source tree, told by what cargo and the compiler left in `/target` (law 5).

Two kinds of files tell it; which ones they are is the layout's (`daemon.ecosystems.rust.marks`):

- The compiler's dep-info: every file that it opened. What is relative stands below the workspace's root, where cargo
  runs the compiler for packages of the tree.
- What a build script printed: its `rerun-if-changed` lines. What is relative stands below the package's directory, and
  a directory means all that is in it. A script without such a line depends on its whole package, which needs no entry
  here: a change in a package's own directory makes it dirty anyway.

`# env-dep:` lines are cargo's business: it keeps the values in its own dep-info and compares them. The dep-info beside
a final artefact (`release/app.d`) is left out: it is the sum of those above over all that the artefact is made of.
"""

import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from cache.manifests.paths import within
from daemon.ecosystems.rust.environment import WORK
from daemon.ecosystems.rust.marks import Marks, Tells, Told

_RERUN = re.compile(r"cargo::?rerun-if-changed=(?P<path>.*)")
_MOST_LINKS = 40
_LARGEST = 256 << 20


class UnreadableInputs(Exception):  # noqa: N818 - reads as the cause it names
    """What a compile left about its inputs is damaged, or larger than anything honest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What one package's units and build script read, as sorted paths of the tree; links on the way are among them."""

    files: tuple[str, ...] = ()
    """What the compiler opened."""
    watched: tuple[str, ...] = ()
    """What the build script names; each stands for all below it."""


def unpacked(archive: BinaryIO) -> dict[str, str]:
    """The texts of the archive that `inputs_lines` makes, by name; a directory has none. Raises `UnreadableInputs`."""
    found: dict[str, str] = {}
    size = 0
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for entry in tar:
                size += entry.size
                if size > _LARGEST:
                    raise UnreadableInputs(f"more than {_LARGEST} bytes of dep-info")
                content = tar.extractfile(entry) if entry.isreg() else None
                found[entry.name] = content.read().decode(errors="replace") if content else ""
    except (tarfile.TarError, OSError) as error:
        raise UnreadableInputs(str(error)) from error
    return found


def read_inputs(
    left: Mapping[str, str],
    members: Mapping[str, str],
    marks: Marks,
    *,
    workspace: str = "",
    links: Mapping[str, str] | None = None,
    work: str = WORK,
) -> dict[str, Inputs]:
    """Each package's inputs within the tree.

    Args:
        left: texts by file name below `/target`; those of directories are empty.
        members: directories in the tree by package name.
        marks: says what the files are.
        workspace: the directory of the workspace's root in the tree.
        links: targets of the symbolic links in the tree, by path.
        work: where the tree stands.

    Returns:
        An entry for every member. Another package has one if its build script names something in the tree.
    """
    reading = _Reading(members, _Tree(links or {}, work), posixpath.join(work, workspace))
    for name, told in marks.told(left).items():
        reading.read(told, left[name])
    return reading.inputs()


class _Tree:
    """Finds what opening a path opens in the tree."""

    def __init__(self, links: Mapping[str, str], work: str) -> None:
        self._links = links
        self._above = [part for part in work.split("/") if part]

    def opened(self, path: str) -> Iterator[str]:
        """The links of the tree on an absolute path's way and where it ends, as the kernel would walk it."""
        waiting, place, followed = path.split("/")[::-1], list[str](), 0
        while waiting:
            part = waiting.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                del place[-1:]
                continue
            place.append(part)
            here = self._inside(place)
            if here and here in self._links and followed < _MOST_LINKS:
                followed += 1
                yield here
                target = self._links[here]
                del place[0 if target.startswith("/") else -1 :]
                waiting += target.split("/")[::-1]
        end = self._inside(place)
        if end is not None:
            yield end

    def led_to(self, watched: Iterable[str]) -> set[str]:
        """What watched directories hold through links in them, and theirs in turn."""
        found, waiting = set[str](), list(watched)
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                below = (link for link in self._links if within(link, place))
                waiting += [path for link in below for path in self.opened(self.absolute(link))]
        return found

    def absolute(self, *path: str) -> str:
        return posixpath.join("/", *self._above, *path)

    def _inside(self, place: list[str]) -> str | None:
        above = len(self._above)
        return "/".join(place[above:]) if place[:above] == self._above else None


class _Reading:
    """Collects the inputs of packages."""

    def __init__(self, members: Mapping[str, str], tree: _Tree, base: str) -> None:
        self._members = members
        self._tree = tree
        self._base = base
        self._files: dict[str, set[str]] = {name: set() for name in members}
        self._watched: dict[str, set[str]] = {name: set() for name in members}

    def read(self, told: Told, text: str) -> None:
        packages = [told.package] if told.package is not None else self._members
        match told.by:
            case Tells.COMPILER:
                self._dep_info(packages, text)
            case Tells.SCRIPT:
                for package in packages:
                    self._script(package, text)

    def inputs(self) -> dict[str, Inputs]:
        found: dict[str, Inputs] = {}
        for name in sorted({*self._files, *self._watched}):
            files, watched = self._files.get(name, set()), self._tree.led_to(self._watched.get(name, ()))
            if files or watched or name in self._members:
                found[name] = Inputs(files=tuple(sorted(files)), watched=tuple(sorted(watched)))
        return found

    def _dep_info(self, packages: Iterable[str], text: str) -> None:
        paths = {opened for path in dep_info(text) for opened in self._tree.opened(posixpath.join(self._base, path))}
        for package in packages:
            self._files.setdefault(package, set()).update(paths)

    def _script(self, package: str, text: str) -> None:
        directory = self._members.get(package)
        watched = self._watched.setdefault(package, set())
        for path in rerun_if_changed(text):
            if path.startswith("/"):
                watched.update(self._tree.opened(path))
            elif directory is not None:
                watched.update(self._tree.opened(self._tree.absolute(directory, path)))


def dep_info(text: str) -> Iterator[str]:
    """The paths of the first rule in a make-style `.d` file; a space in a path has a backslash before it."""
    for line in text.split("\n"):
        target, colon, rest = line.partition(": ")
        if line.startswith("#") or not colon or not target:
            continue
        held = ""
        for word in filter(None, rest.split(" ")):
            if word.endswith("\\"):
                held += word[:-1] + " "
            else:
                yield held + word
                held = ""
        return


def rerun_if_changed(text: str) -> Iterator[str]:
    """The paths that a build script's output says to watch, as written."""
    for line in text.split("\n"):
        found = _RERUN.fullmatch(line.strip())
        if found:
            yield found["path"]
