"""The lines of a requirements file: continuations joined, comments gone, options told from requirements.

The rules are pip's (its `req_file.py`), but for variables of the environment, which are never put in.
The code of pip itself, as `pip-requirements-parser` has it, wants files on the disk of the machine that reads.

Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from cache.manifests.python.addresses import shown
from cache.manifests.python.errors import BadRequirements, UnsupportedRequirement

_LARGEST = 4 << 20  # bytes; ten thousand requirements with all their hashes
_COMMENT = re.compile(r"(^|\s+)#.*$")
_FIRST_OPTION = re.compile(r"(?<!\S)-")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.MULTILINE)


class Option(StrEnum):
    """The options that are understood, by pip's long names."""

    REQUIREMENT = "--requirement"
    CONSTRAINT = "--constraint"
    INDEX_URL = "--index-url"
    EXTRA_INDEX_URL = "--extra-index-url"
    FIND_LINKS = "--find-links"
    HASH = "--hash"
    REQUIRE_HASHES = "--require-hashes"
    PREFER_BINARY = "--prefer-binary"
    ONLY_BINARY = "--only-binary"


_SHORT = {
    "-r": Option.REQUIREMENT,
    "-c": Option.CONSTRAINT,
    "-i": Option.INDEX_URL,
    "-f": Option.FIND_LINKS,
}
_OTHER_NAMES = {"--pypi-url": Option.INDEX_URL}
_FLAGS = {Option.REQUIRE_HASHES, Option.PREFER_BINARY}
_ADVICE = {
    "-e": "nothing is installed in an editable way, as the source tree itself is the application: leave the line out",
    "--no-binary": "wheels are taken wherever there are some: leave the line out",
    "--no-index": "what is locked has to come from somewhere: leave the line out",
    "--pre": "name the pre-release in the requirement itself, such as `name>=2.0rc1`",
    "--trusted-host": "an index is asked over HTTPS with the daemon's certificates: leave the line out",
}
_ADVICE["--editable"] = _ADVICE["-e"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A logical line: `number` is that of its first one, from 1; `requirement` is empty where it has only options."""

    file: str
    number: int
    text: str
    requirement: str
    options: tuple[tuple[Option, str], ...]

    def bad(self, words: str) -> BadRequirements:
        """The failure that this line cannot be read."""
        return BadRequirements(f"{self.file}, line {self.number}: {words}", file=self.file, line=self.number)

    def unsupported(self, words: str) -> UnsupportedRequirement:
        """The failure that this line asks for what is not offered."""
        text = shown(self.text)
        return UnsupportedRequirement(
            f"{self.file}, line {self.number}: `{text}`: {words}", file=self.file, line=self.number, text=text
        )


def read_lines(file: str, content: bytes) -> Iterator[Line]:
    """The lines that say anything; raises `BadRequirements` and `UnsupportedRequirement`."""
    for number, text in _joined(_decoded(file, content)):
        said = _COMMENT.sub("", text).strip()
        if said:
            yield _line(file, number, said)


def _decoded(file: str, content: bytes) -> str:
    if len(content) > _LARGEST:
        raise BadRequirements(f"{file} has {len(content)} bytes: more than {_LARGEST} are not read", file=file)
    first_lines = b"\n".join(content.split(b"\n", 2)[:2])
    coding = _CODING.search(first_lines)
    if coding and coding[1].lower().replace(b"_", b"-") not in {b"utf-8", b"utf8", b"ascii", b"us-ascii"}:
        raise BadRequirements(f"{file}: write it as UTF-8, not as {coding[1].decode('ascii', 'replace')}", file=file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadRequirements(f"{file}, line {line}: the file is not UTF-8", file=file, line=line) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BadRequirements(f"{file}, line {line}: there is a NUL character", file=file, line=line)
    return text


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first; a comment ends a continuation, as pip has it."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if parts else number
        comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not comment:
            parts.append(line[:-1])
            continue
        parts.append(" " + line if comment else line)
        yield first, "".join(parts)
        parts = []
    if parts:
        yield first, "".join(parts)


def _line(file: str, number: int, text: str) -> Line:
    bare = Line(file=file, number=number, text=text, requirement="", options=())
    if _VARIABLE.search(text):
        raise bare.unsupported("variables of the environment are not put in: write the value itself")
    first = _FIRST_OPTION.search(text)
    start = first.start() if first else len(text)
    try:
        words = shlex.split(text[start:])
    except ValueError:
        raise bare.bad(f"a quotation is not closed in `{shown(text)}`") from None
    options = tuple(_options(bare, words))
    return Line(file=file, number=number, text=text, requirement=text[:start].strip(), options=options)


def _options(line: Line, words: list[str]) -> Iterator[tuple[Option, str]]:
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            name, equals, value = word[:2], word[2:3], word[2:].removeprefix("=")
        option = _SHORT.get(name) or _OTHER_NAMES.get(name) or next((o for o in Option if o == name), None)
        if option is None:
            raise line.unsupported(_ADVICE.get(name, f"the option `{name}` is not understood: leave it out"))
        if option in _FLAGS:
            if equals:
                raise line.bad(f"`{name}` takes no value")
            yield option, ""
            continue
        value = value if equals else next(remaining, "")
        if not value:
            raise line.bad(f"`{name}` lacks its value")
        yield option, value
