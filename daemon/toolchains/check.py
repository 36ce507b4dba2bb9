"""Trying a toolchain image: a crate that prints a line is compiled and run as a build would be, without network."""

import secrets
from dataclasses import dataclass

from daemon import tarball
from daemon.engine.engine import Limits, OutputStream, Sandboxes, SandboxSpec
from daemon.toolchains.errors import BadToolchain
from daemon.toolchains.toolchain import Toolchain

_LIMITS = Limits(deadline=300.0, silence=120.0, output=1 << 20)
_GREETING = b"Hello, world!\n"
_FILES = {
    "work/Cargo.toml": b'[package]\nname = "hello"\nversion = "1.0.0"\nedition = "2021"\n',
    "work/Cargo.lock": b'version = 3\n\n[[package]]\nname = "hello"\nversion = "1.0.0"\n',
    "work/build.rs": b'fn main() { println!("cargo:rerun-if-changed=build.rs"); }\n',
    "work/src/main.rs": b'extern "C" { fn getpid() -> i32; }\n'
    b'fn main() { if unsafe { getpid() } > 0 { println!("Hello, world!") } }\n',
}
_COMMAND = "cargo build --quiet --release --locked --offline >&2 && exec /target/release/hello"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A toolchain that works; `seconds` is how long compiling and running took."""

    toolchain: Toolchain
    seconds: float


async def check(sandboxes: Sandboxes, toolchain: Toolchain) -> Trial:
    """Compile and run; `BadToolchain` with the compiler's last words where that does not work."""
    facts = toolchain.facts
    spec = SandboxSpec(
        name=f"bloomery-tc-check-{secrets.token_hex(6)}",
        image=facts.image_id,
        command=("sh", "-c", _COMMAND),
        environment={"CARGO_HOME": "/cargo", "CARGO_TARGET_DIR": "/target"},
        labels={"bloomery.step": "check"},
        limits=_LIMITS,
    )
    out, said = bytearray(), bytearray()
    sandbox = await sandboxes.create(spec)
    try:
        await sandboxes.put(
            sandbox,
            tarball.stream(
                tarball.Member(path=path, mode=0o644, mtime=facts.artefact_mtime, content=content)
                for path, content in _FILES.items()
            ),
        )
        exit_ = await sandboxes.run(
            sandbox, lambda stream, piece: (out if stream is OutputStream.STDOUT else said).extend(piece), _LIMITS
        )
    finally:
        await sandboxes.remove(sandbox)
    if exit_.code or out != _GREETING:
        raise BadToolchain(
            f"a hello-world crate does not work in {toolchain.image_reference} (code {exit_.code}): "
            f"{said[-1500:].decode(errors='replace').strip()}",
            image=toolchain.image_reference,
            lacks=["a build that works"],
        )
    return Trial(toolchain=toolchain, seconds=exit_.seconds)
