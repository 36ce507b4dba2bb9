"""The other side of the unchanged build: BuildKit with the Dockerfile that people write, everything cached."""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.engine import CommandFailed, Engine
from bench.options import Options

_DOCKERFILE = """\
FROM {toolchain} AS build
WORKDIR /work
COPY . .
RUN --mount=type=secret,id=ca,target=/run/ca.pem \\
    SSL_CERT_FILE=/run/ca.pem CARGO_HTTP_CAINFO=/run/ca.pem CARGO_HOME=/cargo cargo build --release --locked
FROM scratch
COPY --from=build /work/target/release/{binary} /app/{binary}
ENTRYPOINT ["/app/{binary}"]
"""


@dataclass(frozen=True, slots=True)
class BuildKit:
    """Builds of one directory; the Dockerfile lies outside of it, as ours need none."""

    engine: Engine
    program: str
    """The docker program whose `docker build` has BuildKit."""
    dockerfile: Path
    ca_bundle: Path
    network: str

    def build(self, source: Path, tag: str) -> float:
        """Seconds of the whole `docker build` process."""
        secret = f"id=ca,src={self.ca_bundle}"
        arguments = ["build", "--file", str(self.dockerfile), "--secret", secret, "--network", self.network]
        began = time.perf_counter()
        self.engine.docker(*arguments, "--tag", tag, str(source), program=self.program, more={"DOCKER_BUILDKIT": "1"})
        return time.perf_counter() - began


def buildkit(asked: Options, program: str, folder: Path, binary: str) -> BuildKit:
    """Write the Dockerfile into a folder; raises `CommandFailed` where this docker program has no BuildKit."""
    helped = asked.engine.docker("build", "--help", program=program, more={"DOCKER_BUILDKIT": "1"})
    if "--secret" not in helped:
        raise CommandFailed(f"{program} builds without BuildKit; name another with --buildkit")
    dockerfile = folder / f"Dockerfile.{binary}"
    dockerfile.write_text(_DOCKERFILE.format(toolchain=asked.toolchain, binary=binary), encoding="utf-8")
    network = "default" if asked.network == "bridge" else asked.network
    return BuildKit(asked.engine, program, dockerfile, asked.ca_bundle, network)
