"""Where a command writes: results on stdout, progress on stderr, and what it may assume of the terminal behind them.

The one place in the client that looks at the process's streams and environment; every command is handed a `Console`.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from io import TextIOWrapper
from typing import Self, TextIO

from api.client.render import only_colours, status, without_ansi

_CLEAR = "\r\x1b[K"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Style(Enum):
    """What stderr can show."""

    PLAIN = "plain"
    """No colours and no live line: a file, a pipe, a CI log."""
    MONOCHROME = "monochrome"
    """A live line, no colours: a terminal under NO_COLOR."""
    FULL = "full"
    """Both."""


class Console:
    """The streams of one run of the command line; `environment` is all it may read of the process's own."""

    def __init__(self, out: TextIO, err: TextIO, environment: Mapping[str, str], style: Style, width: int = 80) -> None:
        self.out = out
        self.err = err
        self.environment = environment
        self.style = style
        self.width = width
        self._bar = ""

    @classmethod
    def of_process(cls) -> Self:
        """The console of this process: https://no-color.org, `CLICOLOR_FORCE`, and `TERM=dumb` are heeded."""
        environment = dict(os.environ)
        terminal = sys.stderr.isatty() and environment.get("TERM") != "dumb"
        if environment.get("CLICOLOR_FORCE", "0") != "0":
            style = Style.FULL
        elif not terminal:
            style = Style.PLAIN
        else:
            style = Style.MONOCHROME if environment.get("NO_COLOR") else Style.FULL
        width = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 80
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a log is worth more than its odd letters
        return cls(sys.stdout, sys.stderr, environment, style, width or 80)

    def result(self, text: str) -> None:
        """One line of what the command is for, on stdout."""
        self.clear()
        self.out.write(without_ansi(text) + "\n")
        self.out.flush()

    def line(self, text: str) -> None:
        """One line of progress on stderr, above the live line; its colours stay where they can be shown."""
        self.lines((text,))

    def lines(self, texts: Iterable[str]) -> None:
        """Several lines of progress, with nothing between them."""
        bar, self._bar = self._bar, ""
        shown = "".join(text + "\n" for text in texts)
        self.err.write((_CLEAR if bar else "") + (self._shown(shown)))
        self.bar(bar)
        self.err.flush()

    def say(self, verb: str, text: str) -> None:
        """A line as cargo writes it: a bold green verb, right-aligned to column 12, and what it is about."""
        self.line(status(verb, text))

    def note(self, text: str) -> None:
        """A line that starts with a bold `note:`."""
        self.line(f"\x1b[1mnote:\x1b[0m {text}")

    def warn(self, text: str) -> None:
        """A line that starts with a yellow `warning:`."""
        self.line(f"\x1b[1m\x1b[33mwarning\x1b[0m\x1b[1m:\x1b[0m {text}")

    def error(self, text: str) -> None:
        """A line that starts with a red `error:`."""
        self.line(f"\x1b[1m\x1b[31merror\x1b[0m\x1b[1m:\x1b[0m {text}")

    def bar(self, text: str) -> None:
        """Replace the live line; nothing where there is no terminal."""
        if self.style is Style.PLAIN or text == self._bar:
            return
        self._bar = text
        self.err.write(f"{_CLEAR}{self._shown(text)}")
        self.err.flush()

    def raw(self, text: str) -> None:
        """What moves the cursor on purpose, for a block of live lines; nothing where there is no terminal."""
        if self.style is not Style.PLAIN:
            self.err.write(text if self.style is Style.FULL else _COLOUR.sub("", text))
            self.err.flush()

    def clear(self) -> None:
        """Take the live line away."""
        if self._bar:
            self._bar = ""
            self.err.write(_CLEAR)
            self.err.flush()

    def _shown(self, text: str) -> str:
        return only_colours(text) if self.style is Style.FULL else without_ansi(text)
