"""Which processor this is, for sources that are compiled for `target-cpu=native`."""

import hashlib
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_LINES = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU part")


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The model's name and a digest of all that a compiler reads of it; `unknown` where Linux does not tell."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return "unknown"
    first = dict(_pair(line) for line in text.split("\n\n", 1)[0].splitlines())
    facts = "\n".join(f"{name}: {first[name]}" for name in _LINES if name in first)
    return f"{first.get('model name', 'unknown')} {hashlib.sha256(facts.encode()).hexdigest()[:16]}"


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
