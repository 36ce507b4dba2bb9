"""What keeps the builds on this host apart from it and from each other: the start-up report.

It says what the engine offers, and does not flatter: containers share the host's kernel, and on plain runc a hole in it
is a hole in the sandbox.
"""

from dataclasses import dataclass
from enum import StrEnum

from daemon.engine.engine import EngineInfo

_KERNELS = ("runsc", "gvisor", "kata")


class Boundary(StrEnum):
    """What foreign code would have to break to reach the host, from weak to strong."""

    SHARED_KERNEL = "shared kernel"
    """Namespaces, cgroups and filters of one kernel; root in the container would be root on the host."""
    SHARED_KERNEL_MAPPED = "shared kernel, mapped users"
    """The same, and root in the container is an ordinary user of the host."""
    OWN_KERNEL = "a kernel of its own"
    """gVisor or a virtual machine between the sandbox and the host's kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What this host supports; `lines` says it in words, `warnings` is the part that an operator should act on."""

    boundary: Boundary
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def isolation(engine: EngineInfo, runtime: str | None) -> Isolation:
    """Judge an engine; `runtime` is the configured one, None for the engine's own default."""
    offered = {option.partition(",")[0].removeprefix("name=") for option in engine.security}
    rootless, mapped = "rootless" in offered, "userns" in offered
    boundary = _boundary(runtime, mapped=rootless or mapped)
    lines = (
        f"engine: {engine.name} {engine.version}, API {engine.api}, storage {engine.driver} at {engine.root}",
        f"host: {engine.host_cpus} CPUs, {engine.host_memory >> 20} MiB of memory, cgroup v{engine.cgroup or '?'}",
        f"runtime: {runtime or 'default'}, of {', '.join(engine.runtimes) or 'those it does not list'}",
        f"seccomp: {_yes('seccomp' in offered)}; apparmor: {_yes('apparmor' in offered)}",
        f"rootless: {_yes(rootless)}; user namespaces: {_yes(mapped)}",
        f"boundary: {boundary}",
    )
    return Isolation(
        boundary=boundary,
        lines=lines,
        warnings=tuple(_warnings(engine, runtime, offered, boundary)),
    )


def _boundary(runtime: str | None, *, mapped: bool) -> Boundary:
    if runtime is not None and any(kernel in runtime.lower() for kernel in _KERNELS):
        return Boundary.OWN_KERNEL
    return Boundary.SHARED_KERNEL_MAPPED if mapped else Boundary.SHARED_KERNEL


def _warnings(engine: EngineInfo, runtime: str | None, offered: set[str], boundary: Boundary) -> list[str]:
    warnings = []
    if runtime is not None and engine.runtimes and runtime not in engine.runtimes:
        warnings.append(
            f"The engine has no runtime {runtime!r}, so no build can start: install it, or name one of "
            f"{', '.join(engine.runtimes)}."
        )
    if "seccomp" not in offered:
        warnings.append(
            "The engine does not filter system calls (no seccomp): builds reach the whole kernel interface."
        )
    if boundary is not Boundary.OWN_KERNEL:
        warnings.append(
            "Builds share the host's kernel, which is no boundary between hostile tenants: build only for people who "
            "trust each other, or set a runtime with a kernel of its own (runsc, kata)."
        )
    return warnings


def _yes(value: bool) -> str:  # noqa: FBT001 - it says a boolean
    return "yes" if value else "no"
