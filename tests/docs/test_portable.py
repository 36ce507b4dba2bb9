"""Nothing that is committed knows the machine it was written on: no path of it, no package registry that it uses."""

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from pip._internal.models.index import PyPI, TestPyPI

from tests.docs.pages import ROOT, tracked

_SOURCES_OF_FORMATS = {"github.com"}
"""Also where the formats and algorithms are written down that comments name."""


def printed(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return ""  # this machine does without the program


def registries() -> set[str]:
    """The hosts that pip, apt and cargo are set up to ask here, and pip's own."""
    hosts = {PyPI.netloc, PyPI.file_storage_domain, TestPyPI.netloc, TestPyPI.file_storage_domain}
    texts = [printed("pip", "config", "list"), printed("apt-get", "indextargets", "--format", "$(REPO_URI)")]
    cargo = Path.home() / ".cargo"
    texts += [path.read_text() for path in (cargo / "config.toml", cargo / "config") if path.is_file()]
    for text in texts:
        hosts |= {urlsplit(url).hostname or "" for url in re.findall(r"https?://[^\s'\"]+", text)}
    if (cargo / "registry/index").is_dir():
        hosts |= {re.sub(r"-[0-9a-f]{16}$", "", path.name) for path in (cargo / "registry/index").iterdir()}
    return {host for host in hosts if "." in host} - _SOURCES_OF_FORMATS


def holding(needles: set[str]) -> list[str]:
    """The files that hold one of these texts; a lock names its registry by cargo's will."""
    found = []
    for path in tracked():
        if path.name != "Cargo.lock":
            content = path.read_bytes()
            found += [f"{path.relative_to(ROOT)}: {needle}" for needle in needles if needle.encode() in content]
    return found


def test_no_registry_is_named():
    hosts = registries()
    assert len(hosts) >= 2
    assert holding(hosts) == []


def test_no_path_of_this_machine_is_named():
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert (
        holding({f"{ROOT}/{name}" for name in top} | {f"{Path.home()}/.{name}" for name in ("cargo", "rustup")}) == []
    )


def test_what_is_named_is_found():
    assert "api/cli.py: Source trees in, runtime images out" in holding({"Source trees in, runtime images out"})
