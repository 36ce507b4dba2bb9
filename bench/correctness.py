"""Did a build ship the right binary? Judged from what the program says when it is asked."""

import re
from dataclasses import dataclass

from bench.edits import MEMBER_SAID, SAID

_LINE = re.compile(rf"^(?:{SAID}|{MEMBER_SAID}) .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a program of certain sources says."""

    mark: str
    version: str
    member_mark: str = ""
    """Of the member deep below; empty where there is none."""

    @property
    def said(self) -> set[str]:
        """Its lines."""
        member = {f"{MEMBER_SAID} {self.member_mark}"} if self.member_mark else set()
        return {f"{SAID} {self.mark} version {self.version}"} | member


def fault(expected: Expected, output: str) -> str:
    """What is wrong with a program that says this; empty if it is the right one."""
    found = set(_LINE.findall(output))
    if found == expected.said:
        return ""
    if not found:
        return f"the program did not say its mark: {output.strip()[:200]!r}"
    return f"it says {', '.join(sorted(found))}; its sources {', '.join(sorted(expected.said))}"
