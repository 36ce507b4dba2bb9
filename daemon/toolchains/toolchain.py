"""A toolchain as the daemon offers it: its name, its image, and what a probe of the image found."""

from dataclasses import dataclass

UV = "/usr/local/bin/uv"
"""Where uv lies in a toolchain image."""
NO_LAYOUT = "none"
CANARY = 1
"""What facts are marked with whose layout was tried; a canary that tries more, or another layout, has the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonFacts:
    """The Python of a toolchain image, and the uv that puts environments together for it."""

    version: str
    """Such as `3.11.2`, or `3.14.0rc1` before a release."""
    executable: str
    """The interpreter's own file, no link to it: an absolute path in the image."""
    library: str
    """The directory of the standard library, an absolute path; its bytecode is `unchecked-hash` (PEP 552)."""
    uv: str
    """uv's version, such as `0.13.9`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolchainFacts:
    """What is true of one toolchain image for as long as it exists; kept by image id, as JSON."""

    image_id: str
    """`sha256:<hex>`; part of every key."""
    rustc_version_verbose: str
    """All of `rustc -vV`; part of the unit key."""
    release: str
    """Such as `1.95.0` or `1.97.0-nightly`."""
    commit_date: str
    """The day of rustc's newest commit, `YYYY-MM-DD`, or empty where rustc does not say."""
    channel_date: str
    """The day that rustup names the toolchain after (`nightly-2026-05-20`), or empty where that is unknown."""
    host: str
    """The host triple."""
    cargo_version: str
    """The line that `cargo -V` prints."""
    sysroot: str
    """An absolute path in the image."""
    libc: str
    """Such as `glibc 2.36`."""
    artefact_mtime: int
    """The mtime of every artefact (law 1): Unix seconds, one second after the image's newest file."""
    sysroot_digests: tuple[str, ...]
    """SHA-256 (hex) of every file of 4 KiB and more in the sysroot's `bin` and `lib`, and of the C compiler's own
    programs, sorted: what must not be in a runtime image. Smaller files are texts that anything may hold by chance."""
    python: PythonFacts | None = None
    """What Python projects are built with; None where the image cannot serve them."""
    python_lacks: tuple[str, ...] = ()
    """Why there is no `python`: what the image lacks for it."""
    layout: str = "v1"
    """How this cargo lays out units, `none` where no known way holds; until it is tried, what its version implies."""
    canary: int = 0
    """The version of the trial that found the layout; 0: there was none."""
    probe: int = 0
    """The version of the probe that found all this: facts of another one are not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """One that is offered."""

    name: str
    """As configuration or the image's label names it."""
    image_reference: str
    facts: ToolchainFacts
