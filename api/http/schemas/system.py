"""The daemon itself: its toolchains, and whether it is ready."""

from typing import Annotated

from msgspec import Meta, Struct


class PythonAnswer(Struct, frozen=True, kw_only=True):
    """What a toolchain builds Python projects with."""

    version: Annotated[str, Meta(description="Python's, such as `3.11.2`")]
    uv: Annotated[str, Meta(description="uv's version")]


class ToolchainAnswer(Struct, frozen=True, kw_only=True):
    """A toolchain that is offered."""

    name: str
    image: Annotated[str, Meta(description="The image's reference")]
    image_id: str
    release: Annotated[str, Meta(description="rustc's, such as `1.95.0`")]
    commit_date: Annotated[str, Meta(description="The day of rustc's newest commit, or empty")]
    host: Annotated[str, Meta(description="The host triple")]
    cargo: str
    libc: str
    python: Annotated[PythonAnswer | None, Meta(description="null: it builds no Python projects")]


class ToolchainsAnswer(Struct, frozen=True, kw_only=True):
    """The toolchains that are offered, by name."""

    toolchains: tuple[ToolchainAnswer, ...]


class CheckAnswer(Struct, frozen=True, kw_only=True):
    """One thing that readiness depends on."""

    name: str
    ready: bool
    detail: str = ""


class ReadyAnswer(Struct, frozen=True, kw_only=True):
    """Whether builds would run now, and each check."""

    ready: bool
    checks: tuple[CheckAnswer, ...]


class HealthAnswer(Struct, frozen=True, kw_only=True):
    """The loop turns."""

    alive: bool = True
