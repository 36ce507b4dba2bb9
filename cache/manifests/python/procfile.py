"""`Procfile`: a line for each kind of process, `name: command`; a command is run without a shell here.

Source: https://devcenter.heroku.com/articles/procfile
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from cache.manifests.errors import BadManifest
from cache.manifests.python.errors import UnsupportedEntrypoint

PROCFILE = "Procfile"
_LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>.+)")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_INSTEAD = "write the command as a list, `[image] entrypoint` in bloomery.toml"
_VARIABLES = "no shell puts variables in: write the value itself, such as 8000, or let the program read its environment"
_JOINS = (
    "no shell runs several commands or redirects: start one program, or write a script of Python that does the rest"
)
_PATTERNS = "no shell looks for files: name them"
_COMMENT = "nothing leaves a comment out: delete it"
_SPECIAL = {
    **dict.fromkeys("$`", _VARIABLES),
    **dict.fromkeys("|&;<>()", _JOINS),
    **dict.fromkeys("*?~", _PATTERNS),
}
_EVEN_IN_QUOTES = "$`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One line: its number, from 1, and its command as it stands."""

    file: str
    line: int
    name: str
    command: str

    def words(self) -> tuple[str, ...]:
        """The command's words; `UnsupportedEntrypoint` where it takes a shell to know them."""
        for sign, advice in _shell_syntax(self.command):
            raise self._unsupported(f"`{sign}` needs a shell, and images have none; {advice}")
        try:
            words = shlex.split(self.command)
        except ValueError:
            raise self._unsupported("a quotation is not closed") from None
        if words[:1] == ["exec"]:
            words = words[1:]
        if not words or not words[0]:
            raise self._unsupported("it names no program")
        if _ASSIGNMENT.fullmatch(words[0]):
            raise self._unsupported(f"`{words[0]}` needs a shell: set it in bloomery.toml as `[image] environment`")
        return tuple(words)

    def _unsupported(self, words: str) -> UnsupportedEntrypoint:
        shown = f"{self.name}: {self.command}"[:200]
        return UnsupportedEntrypoint(
            f"{self.file}, line {self.line}: `{shown}`: {words}; or {_INSTEAD}",
            file=self.file,
            line=self.line,
            text=shown,
        )


def read_procfile(content: bytes, file: str = PROCFILE) -> Mapping[str, Process]:
    """The processes by name, in order; a line that is none, or is there twice, raises `BadManifest` with its number."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadManifest(f"{file}: the file is not UTF-8", file=file) from None
    found: dict[str, Process] = {}
    for number, line in enumerate(text.splitlines(), 1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        parts = _LINE.fullmatch(said)
        if parts is None:
            raise BadManifest(f"{file}, line {number}: expected `name: command`", file=file, line=number)
        if parts["name"] in found:
            raise BadManifest(f"{file}, line {number}: `{parts['name']}` is there twice", file=file, line=number)
        found[parts["name"]] = Process(file=file, line=number, name=parts["name"], command=parts["command"])
    return found


def _shell_syntax(command: str) -> list[tuple[str, str]]:
    """What of a command only a shell understands, with what to do about it: sh's rules of quoting."""
    found: list[tuple[str, str]] = []
    quote, escaped = "", False
    for before, character in pairwise(" " + command):
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            if character == quote:
                quote = ""
            elif quote == '"' and character in _EVEN_IN_QUOTES:
                found.append((character, _SPECIAL[character]))
        elif character in "'\"":
            quote = character
        elif character in _SPECIAL:
            found.append((character, _SPECIAL[character]))
        elif character == "#" and before.isspace():
            found.append((character, _COMMENT))
    return found
