"""Source trees to build: projects of one's own making, and edits that are sure to be new."""

import subprocess
from pathlib import Path

_MANIFEST = '[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n'
_LOCK = 'version = 4\n\n[[package]]\nname = "{name}"\nversion = "0.1.0"\n'
_IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")


def made_up(root: Path, name: str, modules: int) -> Path:
    """A crate without dependencies that has so many modules, each in a file, ten to a directory."""
    sources = root / "src"
    sources.mkdir(parents=True)
    (root / "Cargo.toml").write_text(_MANIFEST.format(name=name), encoding="utf-8")
    (root / "Cargo.lock").write_text(_LOCK.format(name=name), encoding="utf-8")
    (root / ".dockerignore").write_text("target\n.git\n", encoding="utf-8")
    lines, calls = [], []
    for number in range(modules):
        group = sources / f"group_{number // 10}"
        group.mkdir(exist_ok=True)
        text = f"//! Part {number}.\n" + "// It says nothing much, at some length.\n" * 40
        (group / f"part_{number}.rs").write_text(f"{text}pub fn value() -> u64 {{ {number} }}\n", encoding="utf-8")
        lines.append(f'#[path = "group_{number // 10}/part_{number}.rs"] mod part_{number};')
        calls.append(f"part_{number}::value()")
    total = " + ".join(calls) or "0"
    (sources / "main.rs").write_text("\n".join([*lines, f'fn main() {{ println!("{{}}", {total}); }}', ""]), "utf-8")
    return root


def under_git(root: Path) -> Path:
    """Make a directory a repository with one commit, as what people build is one."""
    for arguments in (["init", "--quiet"], ["add", "--all"], [*_IDENTITY, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", "-C", str(root), *arguments], check=True)
    return root


def edit(file: Path, number: int) -> None:
    """Change what a Rust source compiles to."""
    text = file.read_text(encoding="utf-8").partition("\n#[used]")[0].rstrip("\n")
    file.write_text(f"{text}\n#[used]\npub static BENCH_EDIT: u64 = {number};\n", encoding="utf-8")
