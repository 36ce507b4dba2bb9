"""No law is without a mutation that somebody notices."""

import re

from tests.caching.mutations import test_mutations, test_workspaces
from tests.docs.pages import ROOT

_SECTION = re.compile(r"^## The laws that hold$(.*?)^## ", re.MULTILINE | re.DOTALL)


def test_every_law_that_holds_is_broken_by_a_mutation():
    section = _SECTION.search((ROOT / "ARCHITECTURE.md").read_text())
    assert section is not None
    laws = {int(number) for number in re.findall(r"^(\d+)\. \*\*", section[1], re.MULTILINE)}
    broken = {mutation.law for mutation in (*test_mutations.MUTATIONS, *test_workspaces.MUTATIONS)}
    assert laws == broken == set(range(1, 14))
