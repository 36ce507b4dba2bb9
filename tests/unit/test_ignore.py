"""`.dockerignore` means here what it means to `docker build`, and some things are never part of a tree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.archive_errors import BadIgnoreFile
from cache.digest import Digest
from cache.ignore import CACHE_SIGNATURE, IgnoreRules, is_cache_tag, never_part, prune
from cache.tree import EntryKind, TreeEntry

TAG = CACHE_SIGNATURE + b"\n# made by cargo\n"


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("notes.txt", "notes.txt"),
        ("docs", "docs/deep/page.md"),
        ("docs/", "docs/page.md"),
        ("/docs", "docs/page.md"),
        ("  docs  ", "docs"),
        ("./docs/../docs", "docs"),
        ("*.log", "build.log"),
        ("*", "anything/below"),
        ("a*/b", "axx/b/c"),
        ("file?", "file1"),
        ("a?b", "a☺b"),
        ("[a-c].rs", "b.rs"),
        ("[^a-c].rs", "z.rs"),
        (r"\*.rs", "*.rs"),
        (r"[\-x]", "-"),
        (r"[\]a]", "]"),
        ("**", "src/main.rs"),
        ("**/", "src/main.rs"),
        ("**/*.tmp", "x.tmp"),
        ("**/*.tmp", "a/b/x.tmp"),
        ("**/**/*.tmp", "a/x.tmp"),
        ("**/node_modules", "web/node_modules/x/y.js"),
        ("src/**", "src/a"),
        ("src/**/gen", "src/gen"),
        ("src/**/gen", "src/a/b/gen/x"),
        ("**bak", "a/xbak"),
        ("a**", "ab/c"),
        ("a(b)+$|^{c}.rs", "a(b)+$|^{c}.rs"),
        (".dockerignore", ".dockerignore"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}*", "\N{LATIN SMALL LETTER E WITH ACUTE}tude"),
    ],
)
def test_a_pattern_leaves_a_path_out(pattern: str, path: str):
    assert IgnoreRules.parse(pattern).ignored(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("docs", "docs2/page.md"),
        ("docs", "src/docs"),
        ("*.log", "logs/build.log"),
        ("a?b", "a/b"),
        ("a*b", "a/b"),
        ("src/*.rs", "src/bin/x.rs"),
        ("file?", "file"),
        ("[a-c].rs", "d.rs"),
        ("[c-a].rs", "b.rs"),
        ("[!a].rs", "b.rs"),
        ("*.rs", "mainrrs"),
        ("**/.env", "prod.env"),
        ("**bak*", "xbak"),
        ("src/**", "src"),
        ("# docs", "# docs"),
        (".", "src"),
        ("/", "src"),
        ("../secrets", "secrets"),
        ("docs", "Docs/page.md"),
    ],
)
def test_a_pattern_does_not_reach_a_path(pattern: str, path: str):
    assert not IgnoreRules.parse(pattern).ignored(path)


@pytest.mark.parametrize(
    ("lines", "path", "ignored"),
    [
        (["*", "!src"], "src/main.rs", False),
        (["*", "!src"], "README.md", True),
        (["!src", "*"], "src/main.rs", True),
        (["docs", "!docs/README.md"], "docs/README.md", False),
        (["docs", "!docs/README.md"], "docs/other.md", True),
        (["docs/*", "! docs/README.md"], "docs/README.md", False),
        (["**", "!src", "src/gen"], "src/gen/x.rs", True),
        (["**", "!src", "src/gen"], "src/x.rs", False),
        (["*.md", "!README.md", "*.md"], "README.md", True),
        (["\ufeff*.md", "", "   ", "#*"], "x.md", True),
        (["a\r", "b\r"], "a", True),
    ],
)
def test_the_last_line_that_matches_decides(lines: list[str], path: str, *, ignored: bool):
    assert IgnoreRules.parse("\n".join(lines)).ignored(path) is ignored


@pytest.mark.parametrize("pattern", ["!", "[", "a[", "[^", "[]a]", "[-x]", "[x-]", "[a-b-c]", "[a", "tail\\", "ok[\\"])
def test_a_malformed_line_is_named(pattern: str):
    with pytest.raises(BadIgnoreFile, match="line 2 ") as refusal:
        IgnoreRules.parse(f"fine\n{pattern}\n")
    assert refusal.value.evidence == {"line": 2, "pattern": pattern}


@pytest.mark.parametrize(
    ("lines", "directory", "prunable"),
    [
        (["docs"], "docs", True),
        (["docs"], "docs/deep", True),
        (["docs"], "src", False),
        (["docs", "!docs/README.md"], "docs", False),
        (["docs", "!docs/README.md"], "docs/deep", True),
        (["docs", "!**/*.md"], "docs/deep", False),
        (["docs", "!src/*.md"], "docs", True),
        (["docs", "!docs/a*/b"], "docs/abc", False),
        (["!docs/README.md", "docs"], "docs", True),
        (["*", "!src"], "src", False),
        (["*", "!src"], "web", True),
        (["docs/*"], "docs", False),
    ],
)
def test_a_directory_is_entered_only_when_something_below_may_stay(lines: list[str], directory: str, *, prunable: bool):
    assert IgnoreRules.parse("\n".join(lines)).prunable(directory) is prunable


_PIECES = st.sampled_from(["a", "b", "ab", "*", "**", "?", "a*", "**b", "[ab]", r"\a"])
_LINES = st.lists(st.tuples(st.sampled_from(["", "!"]), st.lists(_PIECES, min_size=1, max_size=3)), max_size=5)
_PATHS = st.lists(st.sampled_from(["a", "b", "ab", "abc"]), min_size=1, max_size=3)


@given(lines=_LINES, directory=_PATHS, below=_PATHS)
def test_whatever_is_below_a_prunable_directory_is_ignored(
    lines: list[tuple[str, list[str]]], directory: list[str], below: list[str]
):
    rules = IgnoreRules.parse("\n".join(sign + "/".join(parts) for sign, parts in lines))
    path = "/".join(directory)
    if rules.prunable(path):
        assert rules.ignored(path)
        assert rules.ignored(path + "/" + "/".join(below))


@given(lines=_LINES, path=_PATHS)
def test_lines_together_say_what_they_say_one_by_one(lines: list[tuple[str, list[str]]], path: list[str]):
    text = ["/".join(parts) for _, parts in lines]
    expected = False
    for (sign, _), line in zip(lines, text, strict=True):
        if IgnoreRules.parse(line).ignored("/".join(path)):
            expected = not sign
    rules = IgnoreRules.parse("\n".join(sign + line for (sign, _), line in zip(lines, text, strict=True)))
    assert rules.ignored("/".join(path)) is expected


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str):
    try:
        rules = IgnoreRules.parse(text)
    except BadIgnoreFile:
        return
    assert rules.ignored("some/path") in {True, False}


@pytest.mark.parametrize(
    ("path", "kind", "never"),
    [
        (".git", EntryKind.DIRECTORY, True),
        (".git", EntryKind.FILE, True),
        ("vendor/x/.git/config", EntryKind.FILE, True),
        (".gitignore", EntryKind.FILE, False),
        ("target", EntryKind.DIRECTORY, True),
        ("target", EntryKind.SYMLINK, True),
        ("target", EntryKind.FILE, False),
        ("target/release/app", EntryKind.FILE, True),
        ("src/target", EntryKind.DIRECTORY, False),
        ("src/target/mod.rs", EntryKind.FILE, False),
        ("targets/x", EntryKind.FILE, False),
    ],
)
def test_git_and_the_roots_target_are_never_part(path: str, kind: EntryKind, *, never: bool):
    assert never_part(path, kind) is never


def _file(path: str, content: bytes = b"x") -> TreeEntry:
    return TreeEntry(path, EntryKind.FILE, size=len(content), digest=Digest.of(content))


def test_a_directory_that_is_tagged_as_a_cache_is_left_out():
    contents = {"out/CACHEDIR.TAG": TAG, "web/CACHEDIR.TAG": b"not the signature", "CACHEDIR.TAG": TAG}
    paths = ["Cargo.toml", *contents, "out/debug/app", "outer/x.rs", "web/index.html"]
    entries = [_file(path, contents.get(path, b"x")) for path in paths] + [TreeEntry("out", EntryKind.DIRECTORY)]
    left = prune(entries, IgnoreRules(), lambda entry: contents[entry.path])
    assert [entry.path for entry in left] == [
        "Cargo.toml",
        "web/CACHEDIR.TAG",
        "CACHEDIR.TAG",
        "outer/x.rs",
        "web/index.html",
    ]


def test_a_line_cannot_bring_back_what_is_never_part():
    entries = [_file(".git/HEAD"), _file("target/x"), _file("src/lib.rs")]
    rules = IgnoreRules.parse("!.git\n!target\n")
    assert [entry.path for entry in prune(entries, rules, lambda _: b"")] == ["src/lib.rs"]


def test_a_cache_tag_needs_the_whole_signature():
    assert is_cache_tag(TAG)
    assert not is_cache_tag(CACHE_SIGNATURE[:-1])


def test_the_client_can_import_it_cheaply():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import cache.ignore; print(*sorted(sys.modules))"
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-I", "-c", code, root]
    seen = subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout
    loaded = set(re.findall(r"\S+", seen))
    assert not loaded & {"msgspec", "aiohttp", "asyncio", "zstandard", "sqlite3", "tarfile", "unicodedata"}
