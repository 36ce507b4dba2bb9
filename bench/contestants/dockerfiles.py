"""The Dockerfiles that people write, as text: the book chapter's, cargo-chef's, and the one with cache mounts.

All stand on the same toolchain image, get their network and the CA bundle in the same way, and end in `FROM scratch`
with the binary alone: such an image need not run, as ours must, and costs them nothing.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from bench.project import Project

_TRUST = (
    "RUN --mount=type=secret,id=ca,target=/run/ca.pem{mounts} "
    "export SSL_CERT_FILE=/run/ca.pem CARGO_HTTP_CAINFO=/run/ca.pem; {command}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What all three have in common."""

    image: str
    nonce: str
    """Stands in each stage, so that nothing is found in the engine's cache that this walk did not put there."""

    def stage(self, name: str) -> str:
        """The head of a stage in which cargo runs."""
        return f"FROM {self.image} AS {name}\nENV CARGO_HOME=/cargo BENCH_WALK={self.nonce}\nWORKDIR /work\n"


def chapter(project: Project, base: Base) -> str:
    """Copy the manifests, build them with empty sources, remove those, copy the sources, build."""
    copies = [f"COPY {each} {_below(each.parent)}" for each in (PurePosixPath("Cargo.lock"), *project.manifests)]
    written = [
        f"mkdir -p {path.parent} && printf '%s' {json.dumps(text.strip())} > {path}"
        for path, text in project.stubs.items()
    ]
    crates = [package.name.replace("-", "_") for package in project.packages]
    built = [
        pattern for crate in crates for pattern in (f"target/release/deps/{crate}*", f"target/release/deps/lib{crate}*")
    ]
    built += [f"target/release/build/{package.name}-*" for package in project.packages if package.scripts]
    stubs = " && ".join(written)
    removed = " ".join([*(str(path) for path in project.stubs), *built])
    return "\n".join(
        [
            base.stage("build").rstrip(),
            *copies,
            _run(f"{stubs} && {_build(project)} && rm -rf {removed}"),
            "COPY . .",
            _run(_build(project)),
            _shipped(project, f"/work/target/release/{project.binary}"),
        ]
    )


def chef(project: Project, base: Base) -> str:
    """cargo-chef's own: prepare a recipe, cook it, copy the sources, build."""
    package = f"--package {project.package.name}"
    return "\n".join(
        [
            base.stage("plan").rstrip(),
            "COPY . .",
            "RUN cargo chef prepare --recipe-path recipe.json",
            base.stage("build").rstrip(),
            "COPY --from=plan /work/recipe.json recipe.json",
            _run(f"cargo chef cook --release --locked {package} --recipe-path recipe.json"),
            "COPY . .",
            _run(_build(project)),
            _shipped(project, f"/work/target/release/{project.binary}"),
        ]
    )


def mounts(project: Project, base: Base, line: str) -> str:
    """All sources at once, over cache mounts: the registry's is everybody's, the target directory one project's."""
    shared = f" --mount=type=cache,id={base.nonce}-registry,target=/cargo/registry"
    own = f" --mount=type=cache,id={base.nonce}-{line}-target,target=/work/target,sharing=locked"
    taken = f"mkdir -p /out && cp target/release/{project.binary} /out/"
    return "\n".join(
        [
            base.stage("build").rstrip(),
            "COPY . .",
            _run(f"{_build(project)} && {taken}", mounted=(shared, own)),
            _shipped(project, f"/out/{project.binary}"),
        ]
    )


def _build(project: Project) -> str:
    return f"cargo build --release --locked --package {project.package.name} --bin {project.binary}"


def _run(command: str, mounted: Iterable[str] = ()) -> str:
    return _TRUST.format(mounts="".join(mounted), command=command)


def _shipped(project: Project, binary: str) -> str:
    place = f"/app/{project.binary}"
    return f'FROM scratch\nCOPY --from=build {binary} {place}\nENTRYPOINT ["{place}"]\n'


def _below(folder: PurePosixPath) -> str:
    return "./" if folder == PurePosixPath() else f"{folder}/"
