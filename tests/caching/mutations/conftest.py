"""What a run of the mutations says at its end: each law, how it was broken, and who noticed."""

from collections.abc import Callable

import pytest

_PROPERTY = "mutation"
_NOBODY = "NOBODY"


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Note which law a test breaks, by which mutation, and by whom that is to be caught."""

    def tell(law: int, mutation: Callable[..., object], witness: Callable[..., object]) -> None:
        record_property(_PROPERTY, (law, mutation.__name__.replace("_", " "), witness.__name__.replace("_", " ")))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = set()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == _PROPERTY:
                    law, mutation, witness = value
                    rows.add((law, mutation, witness if outcome == "passed" else _NOBODY))
    if rows:
        terminalreporter.section("each law, broken on purpose, and the scenario that caught it")
        wide = max(len(mutation) for _, mutation, _ in rows)
        for law, mutation, witness in sorted(rows):
            terminalreporter.write_line(f"law {law:2}  {mutation:{wide}}  {witness}")
