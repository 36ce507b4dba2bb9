"""Projects to measure, and a cargo that changes locks without a network."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bench.edits import NoPlace
from bench.project import Package

LOCK = (
    'version = 4\n\n[[package]]\nname = "app"\nversion = "0.1.0"\n\n[[package]]\nname = "bytes"\nversion = "1.11.0"\n'
)


class PaperCargo:
    """Fulfils `bench.checkout.Resolver` as far as a text can."""

    def follow(self, folder: Path) -> None:
        assert (folder / "Cargo.lock").is_file()

    def add(self, folder: Path, package: Package, dependency: str) -> None:
        name, version = dependency.split("@=")
        manifest = folder / package.place / "Cargo.toml"
        manifest.write_text(f'{manifest.read_text()}{name} = "={version}"\n')
        lock = folder / "Cargo.lock"
        assert f'name = "{name}"' not in lock.read_text()
        lock.write_text(f'{lock.read_text()}\n[[package]]\nname = "{name}"\nversion = "{version}"\n')

    def move(self, folder: Path, candidates: Mapping[str, str]) -> str:
        lock = folder / "Cargo.lock"
        text = lock.read_text()
        if 'name = "bytes"' not in text or "bytes" not in candidates:
            raise NoPlace("bytes is not in the lock")
        lock.write_text(text.replace('"1.11.0"', f'"{candidates["bytes"]}"'))
        return "bytes"


@pytest.fixture
def cargo() -> PaperCargo:
    return PaperCargo()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(**files: str) -> Path:
        root = tmp_path / "app"
        for name, text in files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return root

    return written


@pytest.fixture
def crate(write: Callable[..., Path]) -> Path:
    """A crate alone."""
    return write(
        **{
            "Cargo.toml": '[package]\nname = "app"\nversion = "0.1.0"\n\n[dependencies]\n',
            "Cargo.lock": LOCK,
            "src/main.rs": "fn main() {\n    serve();\n}\n\nfn serve() {}\n",
        }
    )


@pytest.fixture
def workspace(write: Callable[..., Path]) -> Path:
    """A binary over three libraries in a chain; one version for all."""
    inherits = "version.workspace = true\n"
    return write(
        **{
            "Cargo.toml": (
                '[workspace]\nmembers = ["app", "libs/*"]\nexclude = ["libs/old"]\n\n'
                '[workspace.package]\nversion = "0.1.0"\n\n'
                '[workspace.dependencies]\nmiddle = { path = "libs/middle" }\n'
            ),
            "Cargo.lock": LOCK,
            "app/Cargo.toml": f'[package]\nname = "app"\n{inherits}\n[dependencies]\nmiddle.workspace = true\n',
            "app/src/main.rs": "fn main() {\n}\n",
            "libs/middle/Cargo.toml": (
                f'[package]\nname = "middle"\n{inherits}\n[dependencies]\nfar = {{ path = "../far" }}\n'
            ),
            "libs/middle/src/lib.rs": "",
            "libs/middle/build.rs": "fn main() {\n}\n",
            "libs/far/Cargo.toml": f'[package]\nname = "far"\n{inherits}',
            "libs/far/src/lib.rs": "#![forbid(unsafe_code)]\npub fn far() {}\n",
            "libs/old/Cargo.toml": f'[package]\nname = "old"\n{inherits}',
            "libs/README": "no member",
        }
    )
