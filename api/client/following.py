"""Shows a build's events to a person as they come, in cargo's manner: its lines, its messages, and one live line."""

from api.client.console import Console
from api.client.render import bar, expectation, status
from api.client.sse import ServerSentEvent

_VERBS = {"fetch": ("Fetching", "dependencies"), "cook": ("Cooking", "dependencies from stub sources")}
"""The stages whose beginning is worth a line; the others show in the live line."""
_CARGO_INDENT = 12


class Teller:
    """Tells events; `diagnosed` is whether the compiler's own messages were among them, `notes` which notes were."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = "waiting"
        self._done = 0
        self._total = 0
        self.diagnosed = False
        self.notes: list[str] = []

    def tell(self, event: ServerSentEvent) -> None:
        """Show one event."""
        data = event.data
        match event.kind:
            case "log":
                self._console.line(cargo_line(str(data.get("text", ""))))
            case "diagnostic":
                self.diagnosed = True
                self._console.lines(rendered(data))
            case "note":
                self.notes.append(str(data.get("text", "")))
                self._console.note(self.notes[-1])
            case "stage" if data.get("phase") == "begin":
                self._begin(str(data.get("stage", "")))
            case "forecast" if expected := expectation(data):
                self._console.say("Expecting", expected)
            case "compiled":
                self._done, self._total = int(data.get("done", 0)), int(data.get("total", 0))
            case "state":
                self._state(data)
        if event.final:
            self._console.clear()
        else:
            self._console.bar(bar(self._done, self._total, self._stage, self._console.width))

    def _begin(self, stage: str) -> None:
        self._stage, self._done, self._total = stage, 0, 0
        if stage in _VERBS:
            self._console.say(*_VERBS[stage])

    def _state(self, data: dict[str, object]) -> None:
        attempt = data.get("attempt")
        if data.get("state") == "running" and isinstance(attempt, int) and attempt > 1:
            # why, a note has said; or the daemon was ended in the middle and could not
            self._console.warn(f"the build begins anew: attempt {attempt}")


def rendered(diagnostic: dict[str, object]) -> list[str]:
    """The compiler's own text, as its lines."""
    text = diagnostic.get("rendered") or f"{diagnostic.get('level', 'error')}: {diagnostic.get('message', '')}"
    return [*str(text).rstrip("\n").split("\n"), ""]


def cargo_line(text: str) -> str:
    """A line of cargo's with its verb coloured, where cargo, writing to a pipe, left it plain."""
    verb, blank, rest = text.lstrip(" ").partition(" ")
    if blank and verb[:1].isupper() and text.find(verb) + len(verb) == _CARGO_INDENT:
        return status(verb, rest)
    return text


def log_text(event: ServerSentEvent) -> list[str]:
    """What `bloomery logs` prints of an event: cargo's lines, the compiler's messages, our notes."""
    match event.kind:
        case "log":
            return [str(event.data.get("text", ""))]
        case "diagnostic":
            return rendered(event.data)
        case "note":
            return [f"note: {event.data.get('text', '')}"]
    return []
