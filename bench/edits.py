"""What the scenarios do to the text of sources and manifests; every function takes a text and returns another.

A *mark* is a short text of constant length that a program says when an environment variable asks it to, so that
running it tells which edit it was compiled from. `main` gets a line that says its mark and ends the program. That of a
library is said before `main` begins, by a function that the loader calls: no package between them need know of it.
"""

import re

ASKED = "BLOOMERY_BENCH"
"""The variable that makes a marked program say its mark and end."""
SAID, MEMBER_SAID = "bench-mark", "bench-member"
"""What stands before a mark in what a program says: `main`'s, and the library's."""

_MAIN = re.compile(r"^(?:pub )?(?:async )?fn main\s*\(\s*\)[^{;]*\{[^\S\n]*$", re.MULTILINE)
_MARK = re.compile(r"\bmark-\d{6}\b")
_PACKAGE = re.compile(r"^\[package\][^\S\n]*$(?P<body>.*?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
_SHARED = re.compile(r"^\[workspace\.package\][^\S\n]*$(?P<body>.*?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
_VERSION = re.compile(r'^(version\s*=\s*")(\d+)\.(\d+)\.(\d+)([^"]*")', re.MULTILINE)
_NAME = re.compile(r'^(name\s*=\s*")([^"]+)(")', re.MULTILINE)
_SAYS = """

#[allow(unsafe_code)]
#[used]
#[unsafe(link_section = ".init_array")]
static BENCH_MARK: extern "C" fn() = {{
    extern "C" fn say() {{
        if std::env::var_os("{asked}").is_some() {{
            println!("{said} {mark}");
        }}
    }}
    say
}};
"""


class NoPlace(Exception):  # noqa: N818 - reads as what happened
    """A text has no place for this edit."""


def mark_of(number: int) -> str:
    """The mark of an edit; all are of one length, so that an edit need not change a file's size."""
    return f"mark-{number:06}"


def marked_main(text: str, mark: str) -> str:
    """A source with `fn main()`, which says this mark and its package's version when it is asked to."""
    if _MARK.search(text):
        return _MARK.sub(mark, text)
    start = _MAIN.search(text)
    if start is None:
        raise NoPlace("there is no line that starts `fn main() {`")
    says = f'println!("{SAID} {{}} version {{}}", "{mark}", env!("CARGO_PKG_VERSION"));'
    line = f'\n    if std::env::var_os("{ASKED}").is_some() {{ {says} std::process::exit(0); }}'
    return text[: start.end()] + line + text[start.end() :]


def marked_library(text: str, mark: str) -> str:
    """A library's source that says this mark when a program that it is linked into is asked to."""
    if _MARK.search(text):
        return _MARK.sub(mark, text)
    return text.replace("#![forbid(unsafe_code)]\n", "").rstrip() + _SAYS.format(
        said=MEMBER_SAID, mark=mark, asked=ASKED
    )


def bumped(text: str) -> str:
    """A manifest whose own version, or the one that its members inherit, has a higher last number."""
    for section in (_PACKAGE, _SHARED):
        found = section.search(text)
        version = _VERSION.search(found["body"]) if found else None
        if found is not None and version is not None:
            higher = f"{version[1]}{version[2]}.{version[3]}.{int(version[4]) + 1}{version[5]}"
            start = found.start("body")
            return text[: start + version.start()] + higher + text[start + version.end() :]
    raise NoPlace("there is no version with three numbers")


def reformatted(text: str, number: int) -> str:
    """A manifest that says the same in other words: a comment above, and more room between its sections."""
    return f"# Formatted anew, time {number}.\n" + re.sub(r"^\[", "\n[", text, flags=re.MULTILINE).lstrip("\n")


def renamed(text: str, name: str) -> str:
    """A manifest whose package has another name."""
    found = _PACKAGE.search(text)
    said = _NAME.search(found["body"]) if found else None
    if found is None or said is None:
        raise NoPlace("there is no package's name")
    start = found.start("body")
    return f"{text[: start + said.start()]}{said[1]}{name}{said[3]}{text[start + said.end() :]}"


def binary_named(text: str, name: str) -> str:
    """A manifest whose program keeps a name, however the package is called."""
    if re.search(r"^\[\[bin\]\]", text, re.MULTILINE):
        return text
    return f'{text.rstrip()}\n\n[[bin]]\nname = "{name}"\npath = "src/main.rs"\n'


def featured(text: str, feature: str) -> str:
    """A manifest with a feature more, which nothing asks for."""
    line = f"{feature} = []\n"
    if re.search(r"^\[features\][^\S\n]*\n", text, re.MULTILINE):
        return re.sub(r"^(\[features\][^\S\n]*\n)", rf"\1{line}", text, count=1, flags=re.MULTILINE)
    return f"{text.rstrip()}\n\n[features]\n{line}"


def library_named(text: str, name: str) -> str:
    """A manifest whose library keeps a name, however the package is called."""
    if re.search(r"^\[lib\]", text, re.MULTILINE) is None:
        return f'{text.rstrip()}\n\n[lib]\nname = "{name}"\n'
    if re.search(r"^\[lib\][^\[]*^name\s*=", text, re.MULTILINE):
        return text
    return re.sub(r"^\[lib\][^\S\n]*$", f'[lib]\nname = "{name}"', text, count=1, flags=re.MULTILINE)
