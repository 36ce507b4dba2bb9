"""Several builds at once, each on a line of its own: a live block in a terminal, a line for each stage elsewhere."""

import threading
from collections.abc import Sequence

from api.client.console import Console, Style
from api.client.render import status, without_ansi

_UP = "\x1b[{}A"
_CLEAR_LINE = "\r\x1b[K"
_COLOURS = len(status("", "")) - len(without_ansi(status("", "")))
"""Characters of a line that take no place."""


class Board:
    """One line for each name, changed from any thread."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._width = max((len(name) for name in names), default=0)
        self._lines = dict.fromkeys(names, "")
        self._lock = threading.Lock()
        self._drawn = 0

    def show(self, name: str, verb: str, text: str, *, fleeting: bool = False) -> None:
        """What a build is about; what is `fleeting` is left out where lines stay."""
        line = status(verb, f"{name:<{self._width}}  {text}")
        with self._lock:
            if line == self._lines[name]:
                return
            self._lines[name] = line
            if self._console.style is Style.PLAIN:
                if not fleeting:
                    self._console.line(line)
                return
            self._draw()

    def above(self, lines: Sequence[str]) -> None:
        """Lines that stay, over the block."""
        with self._lock:
            self._take_away()
            self._console.lines(lines)
            if self._console.style is not Style.PLAIN:
                self._draw()

    def end(self) -> None:
        """Leave the block as it is; what is written next comes below it."""
        with self._lock:
            self._drawn = 0

    def _take_away(self) -> None:
        if self._drawn:
            self._console.raw(_UP.format(self._drawn) + "\r\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        up = _UP.format(self._drawn) if self._drawn else ""
        shown = [line[: self._console.width + _COLOURS] for line in self._lines.values() if line]
        self._console.raw(up + "".join(f"{_CLEAR_LINE}{line}\n" for line in shown))
        self._drawn = len(shown)
