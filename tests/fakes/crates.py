"""Small crates for tests that compile: their files as texts, locks written out, archives with any times."""

import io
import tarfile
from collections.abc import Iterable, Mapping

from tests.fakes import rust_projects

Files = Mapping[str, str]

_SOURCE = "registry+https://github.com/rust-lang/crates.io-index"
CHECKSUMS = {
    "itoa 1.0.18": "8f42a60cbdf9a97f5d2305f08a87dc4e09308d1276d28c869c684d7777685682",
    "cfg-if 1.0.5": "4e7648175b45a9a48536d676f68d918270699102aa8dab5496df06904c914600",
    "paste 1.0.15": "57c0d7b74b563b49d38dae00a0c37d4d6de9b432382b2892f0574ddcae73fd0a",
    "proc-macro2 1.0.107": "985e7ec9bb745e6ce6535b544d84d6cd6f7ad8bd711c398938ae983b91a766d9",
    "quote 1.0.47": "1fbf4db142a473a8d80c26bbf18454ed458bf8d26c8219c331daecfdbd079001",
    "unicode-ident 1.0.18": "5a5f39404a5da50712a4c1eecf25e90dd62b613502b7e925fd4e4d19b5c96512",
    "unicode-ident 1.0.27": "a2c754d6c33795a1c324727428e5a7dedb5b06195f9890bdbcba760d3e246563",
}
"""Of the crates that tests depend on, as a lock has them: the same wherever they come from."""
DEPENDENCIES = {"proc-macro2": ("unicode-ident",), "quote": ("proc-macro2",)}
"""Between those, by name."""


FEATURED = "\n[features]\nits-own = []\n"
"""In a manifest: a feature that nothing asks for, and with which no layer of the same packages fits."""


def manifest(name: str, more: str = "", *, version: str = "0.1.0", package: str = "") -> str:
    """A package's manifest."""
    return f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n{package}\n{more}'


def printing(text: str) -> str:
    """A program that prints one line."""
    return f'fn main() {{ println!("{text}"); }}\n'


def lock(local: Mapping[str, Iterable[str]], *external: str, versions: Mapping[str, str] | None = None) -> str:
    """A lock: packages of the tree with what they depend on, and packages from outside as `name version`."""
    own = {name: (versions or {}).get(name, "0.1.0") for name in local}
    found = {name: _locked(name, own[name], "", dependencies) for name, dependencies in local.items()}
    for package in external:
        name, version = package.split(" ")
        more = f'source = "{_SOURCE}"\nchecksum = "{CHECKSUMS[package]}"\n'
        found[name] = _locked(name, version, more, DEPENDENCIES.get(name, ()))
    return "version = 4\n" + "".join(found[name] for name in sorted(found))


def _locked(name: str, version: str, more: str, dependencies: Iterable[str]) -> str:
    listed = "".join(f' "{one}",\n' for one in sorted(dependencies))
    tail = f"dependencies = [\n{listed}]\n" if listed else ""
    return f'\n[[package]]\nname = "{name}"\nversion = "{version}"\n{more}{tail}'


def archive(files: rust_projects.Files, mtime: float = 0, mode: int = 0o644) -> bytes:
    """A gzip-compressed tar, every file with this time, and with this mode where it says nothing else."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for path, found in files.items():
            member = tarfile.TarInfo(path)
            member.mtime, member.mode = mtime, mode
            if isinstance(found, rust_projects.Link):
                member.type, member.linkname = tarfile.SYMTYPE, found.target
                tar.addfile(member)
                continue
            executable = isinstance(found, rust_projects.Executable)
            text = found.content if isinstance(found, rust_projects.Executable) else found
            content = text.encode() if isinstance(text, str) else text
            member.size, member.mode = len(content), 0o755 if executable else mode
            tar.addfile(member, io.BytesIO(content))
    return held.getvalue()
