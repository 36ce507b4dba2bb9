"""A requirements file with every file that it reaches, read as pip would, without asking anybody for anything.

Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from cache.manifests.paths import join
from cache.manifests.python.addresses import FETCHED, ONLY_FILES, shown
from cache.manifests.python.errors import BadRequirements
from cache.manifests.python.inputs import InputFile, input_file
from cache.manifests.python.requirement_lines import Line, Option, read_lines
from cache.manifests.source import SourceFiles

_MOST_FILES = 100
_HASH = re.compile(r"sha256:(?P<hex>[0-9a-fA-F]{64})")
_OTHER_HASH = re.compile(r"(sha384:[0-9a-fA-F]{96}|sha512:[0-9a-fA-F]{128})")
_PATH = re.compile(r"\.{1,2}(/.*)?|[^\s;@\[]*/.*|[^\s;@]*\.(whl|tar\.gz|zip|tar\.bz2|tgz)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PINNING = {"==", "==="}


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """Where the files say that packages come from, as they say it; addresses may hold a password."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredPackage:
    """One requirement, where it stands, and the sha256 that its file may have (hex, lower case; none: any)."""

    file: str
    line: int
    requirement: Requirement
    hashes: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The normalized name."""
        return canonicalize_name(self.requirement.name)

    @property
    def pinned(self) -> bool:
        """Whether it names one version with `==`."""
        specifiers = list(self.requirement.specifier)
        return len(specifiers) == 1 and specifiers[0].operator in _PINNING and not specifiers[0].version.endswith(".*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a requirements file asks for, with all that it reaches by `-r` and `-c`."""

    files: tuple[InputFile, ...]
    """The file itself, then the others in the order in which they are met."""
    packages: tuple[RequiredPackage, ...] = ()
    constraints: tuple[RequiredPackage, ...] = ()
    indexes: Indexes = field(default_factory=Indexes)
    require_hashes: bool = False

    @property
    def file(self) -> str:
        """The path of the file itself."""
        return self.files[0].path

    @property
    def hashes(self) -> Mapping[str, frozenset[str]]:
        """The sha256 (hex) that are allowed, by normalized name; names that have none are left out."""
        found: dict[str, frozenset[str]] = {}
        for package in (*self.packages, *self.constraints):
            if package.hashes:
                found[package.name] = found.get(package.name, frozenset()) | package.hashes
        return found

    @property
    def pinned(self) -> bool:
        """Whether each requirement names one version and has a hash."""
        hashes = self.hashes
        return all(package.pinned and package.name in hashes for package in self.packages)


def read_requirements(files: SourceFiles, path: str) -> Requirements:
    """Read a requirements file; raises `BadRequirements` and `UnsupportedRequirement`, with file and line."""
    reading = _Reading(files)
    reading.read(path, (), constraining=False)
    if reading.require_hashes:
        _require_hashes(reading)
    return Requirements(
        files=tuple(reading.inputs.values()),
        packages=tuple(reading.packages),
        constraints=tuple(reading.constraints),
        indexes=Indexes(
            index_url=reading.index_url,
            extra_index_urls=tuple(dict.fromkeys(reading.extra_index_urls)),
            find_links=tuple(dict.fromkeys(reading.find_links)),
        ),
        require_hashes=reading.require_hashes,
    )


def _require_hashes(reading: "_Reading") -> None:
    for package in reading.packages:
        if not package.hashes or not package.pinned:
            lacks = "a hash" if package.pinned else "a version (`==`)"
            where = f"{package.file}, line {package.line}"
            raise BadRequirements(
                f"{where}: `--require-hashes` wants {lacks}, and `{package.requirement}` has none",
                file=package.file,
                line=package.line,
            )


class _Reading:
    """What is found so far."""

    def __init__(self, files: SourceFiles) -> None:
        self._files = files
        self._read: set[tuple[str, bool]] = set()
        self.inputs: dict[str, InputFile] = {}
        self.packages: list[RequiredPackage] = []
        self.constraints: list[RequiredPackage] = []
        self.index_url: str | None = None
        self.extra_index_urls: list[str] = []
        self.find_links: list[str] = []
        self.require_hashes = False

    def read(self, path: str, through: tuple[str, ...], *, constraining: bool) -> None:
        """One file and what it reaches; `through` are the files that led to it."""
        if (path, constraining) in self._read:
            return
        self._read.add((path, constraining))
        if path not in self._files:
            raise BadRequirements(f"{path} is not in the source tree", file=path)
        self.inputs.setdefault(path, input_file(self._files, path))
        if len(self.inputs) > _MOST_FILES:
            raise BadRequirements(f"{path}: more than {_MOST_FILES} requirements files are not read", file=path)
        for line in read_lines(path, self.inputs[path].content):
            if line.requirement:
                package = _package(line)
                (self.constraints if constraining else self.packages).append(package)
            else:
                self._follow(line, (*through, path), constraining=constraining)

    def _follow(self, line: Line, through: tuple[str, ...], *, constraining: bool) -> None:
        for option, value in line.options:
            match option:
                case Option.REQUIREMENT:
                    self.read(self._reached(line, value, through), through, constraining=constraining)
                case Option.CONSTRAINT:
                    self.read(self._reached(line, value, through), through, constraining=True)
                case Option.INDEX_URL:
                    self.index_url = _url(line, option, value)
                case Option.EXTRA_INDEX_URL:
                    self.extra_index_urls.append(_url(line, option, value))
                case Option.FIND_LINKS:
                    self.find_links.append(_url(line, option, value))
                case Option.REQUIRE_HASHES:
                    self.require_hashes = True
                case Option.HASH:
                    raise line.bad("`--hash` stands on a line without a requirement")
                case Option.PREFER_BINARY | Option.ONLY_BINARY:
                    pass  # wheels are taken first in any case

    def _reached(self, line: Line, value: str, through: tuple[str, ...]) -> str:
        if _SCHEME.match(value):
            raise line.unsupported("a file of the source tree is expected, not a URL: put it into the tree")
        path = join(posixpath.dirname(line.file), value)
        if path is None:
            raise line.bad(f"`{value}` is not within the source tree")
        if path in through:
            circle = " -> ".join((*through[through.index(path) :], path))
            raise line.bad(f"the files name each other in a circle: {circle}")
        if path not in self._files:
            raise line.bad(f"`{path}` is not in the source tree")
        return path


def _package(line: Line) -> RequiredPackage:
    requirement = _requirement(line)
    for option, _ in line.options:
        if option is not Option.HASH:
            raise line.unsupported(f"`{option}` goes on a line of its own")
    hashes = frozenset(_hashes(line))
    if line.options and not hashes:
        raise line.unsupported("files are compared by sha256: give each requirement a `--hash=sha256:…`")
    return RequiredPackage(file=line.file, line=line.number, requirement=requirement, hashes=hashes)


def _requirement(line: Line) -> Requirement:
    text = line.requirement
    if text.startswith(FETCHED):
        raise line.unsupported("a URL needs the package's name: write `name @ URL`, or `name==version`")
    if _SCHEME.match(text):
        raise line.unsupported(ONLY_FILES)
    if _PATH.fullmatch(text):
        raise line.unsupported(
            "a path in the source tree is not installed: name a released version, such as `name==1.0`"
        )
    try:
        requirement = Requirement(text)
    except (InvalidRequirement, RecursionError) as error:
        reason = str(error).partition("\n")[0] if isinstance(error, InvalidRequirement) else "it is nested too deeply"
        raise line.bad(f"`{shown(text)}` is no requirement: {reason}") from None
    if requirement.url is not None and not requirement.url.startswith(FETCHED):
        raise line.unsupported(ONLY_FILES)
    return requirement


def _hashes(line: Line) -> Iterator[str]:
    for _, value in line.options:
        if found := _HASH.fullmatch(value):
            yield found["hex"].lower()
        elif not _OTHER_HASH.fullmatch(value):
            raise line.bad(f"`{shown(value)}` is no hash: expected `sha256:` and 64 hexadecimal digits")


def _url(line: Line, option: Option, value: str) -> str:
    if not value.startswith(FETCHED):
        raise line.unsupported(f"`{option}` takes a URL here: a path is not read")
    return value
