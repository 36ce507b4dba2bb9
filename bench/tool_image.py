"""A toolchain image with one more program of crates.io in it, made once and kept under its version's name."""

from bench.container import trusting
from bench.contestants.contestant import Rules

_SCRIPT = """\
set -eu
export CARGO_HOME=/tmp/tool-cargo CARGO_TARGET_DIR=/tmp/tool-target
cargo install --locked --root /usr/local {flags} {crate}@{version}
rm -rf /tmp/tool-cargo /tmp/tool-target /usr/local/.crates* /ca.pem
"""


def tool_image(rules: Rules, crate: str, version: str, *flags: str) -> str:
    """Its reference. The first time it takes minutes, with few shares of the processors, for others may work here."""
    asked = rules.asked
    engine = asked.engine
    base = engine.docker("image", "inspect", "--format", "{{.Id}}", asked.toolchain).removeprefix("sha256:")[:12]
    reference = f"bloomery-bench/{crate}:{version}-{base}"
    if engine.docker("images", "--quiet", reference):
        return reference
    print(f"making {reference}: compiling {crate} takes some minutes", flush=True)
    # An image keeps the environment of its container: what is particular to this machine stays in the script.
    said = "".join(f"export {name}='{value}'\n" for name, value in trusting().items())
    script = said + _SCRIPT.format(flags=" ".join(flags), crate=crate, version=version)
    flags_too = ["--cpu-shares", "256", "--network", asked.network, "--user", "0"]
    made = engine.docker("create", *flags_too, asked.toolchain, "sh", "-c", script)
    try:
        engine.docker("cp", str(asked.ca_bundle.resolve()), f"{made}:/ca.pem")
        engine.docker("start", "--attach", made)
        engine.docker("commit", "--change", 'CMD ["sh"]', made, reference)
    finally:
        engine.docker("rm", "--force", "--volumes", made)
    return reference
