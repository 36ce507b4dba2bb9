"""The documents as data: their code, links and headings, and the sessions that they show."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = "<!-- run -->"

_FENCE = re.compile(r"^(?P<mark><!-- run -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+")
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_COMMAND = re.compile(r"(?<![\w./-])(?:\.venv/bin/|/opt/bloomery/bin/)?bloomery (?=[a-zV[-])")
_END = re.compile(r"[`)]|\s#| \| | > | && |; |$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block."""

    language: str
    text: str
    runs: bool
    """Marked to be run as it stands."""


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def fences(self) -> list[Fence]:
        found = _FENCE.finditer(self.text)
        return [Fence(each["language"], each["text"], runs=bool(each["mark"])) for each in found]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def code(self) -> Iterator[str]:
        """Fenced blocks, indented blocks and code within lines."""
        yield from (fence.text for fence in self.fences)
        yield from _INDENTED.findall(self.prose)
        yield from _INLINE.findall(self.prose)

    @property
    def commands(self) -> Iterator[list[str]]:
        """What is shown of the command line, as words without the program's name."""
        for code in self.code:
            joined = code.replace("\\\n", " ")
            for start in _COMMAND.finditer(joined):
                rest = joined[start.end() :]
                end = _END.search(rest)
                yield shlex.split(rest[: end.start()] if end else rest)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """The headings as fragments, by GitHub's rule."""
        plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(self.prose))
        return {heading.replace(" ", "-") for heading in plain}


def tracked(*patterns: str) -> list[Path]:
    """Files of the project that are, or are about to be, under version control."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def pages() -> list[Page]:
    """Every Markdown file of the project."""
    return [Page(path, path.read_text()) for path in tracked("*.md")]


def page(name: str) -> Page:
    return Page(ROOT / name, (ROOT / name).read_text())
