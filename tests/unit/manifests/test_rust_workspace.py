from collections.abc import Mapping

import pytest

from cache.errors import Blame
from cache.manifests.errors import BadManifest, NoManifest
from cache.manifests.rust.package import Binary, Library, Package
from cache.manifests.rust.workspace import Workspace, read_workspace
from tests.fakes.source_files import InMemoryFiles

PACKAGE = '[package]\nname = "app"\nversion = "1.2.3"\nedition = "2021"\n'
MAIN = {"src/main.rs": "fn main() {}"}


def read(files: Mapping[str, str | bytes], directory: str = "") -> Workspace:
    return read_workspace(InMemoryFiles(files), directory)


def single(manifest: str, *paths: str, edition: str = "2021") -> Package:
    """The package that a manifest and empty files at these paths make."""
    head = f'[package]\nname = "my-app"\nversion = "1.2.3"\nedition = "{edition}"\n'
    return read({"Cargo.toml": head + manifest, **dict.fromkeys(paths, "")}).members[0]


def package(name: str, more: str = "", version: str = "0.1.0") -> str:
    return f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n{more}'


def test_a_package_alone_is_its_own_workspace():
    workspace = read({"Cargo.toml": PACKAGE, **MAIN})
    assert (workspace.name, workspace.root, workspace.lock, workspace.resolver) == ("app", "", None, "2")
    (member,) = workspace.members
    assert (member.name, member.version, member.manifest) == ("app", "1.2.3", "Cargo.toml")
    assert member.binaries == (Binary(name="app", path="src/main.rs", package="app"),)


def test_a_tree_without_a_manifest_says_what_was_looked_for_and_where_others_are():
    with pytest.raises(NoManifest) as caught:
        read({"a/Cargo.toml": PACKAGE, "a/src/main.rs": "", "README.md": ""})
    assert caught.value.blame is Blame.SOURCE
    assert caught.value.evidence == {"looked_for": "Cargo.toml", "found": ["a/Cargo.toml"]}
    with pytest.raises(NoManifest, match="none anywhere"):
        read({"README.md": ""}, "service")
    with pytest.raises(NoManifest):
        read({"Cargo.toml": PACKAGE, **MAIN}, "../elsewhere")


def test_what_is_no_toml_is_named_by_file_and_line():
    with pytest.raises(BadManifest, match=r"Cargo\.toml, line 3.*\n3 \| name =") as caught:
        read({"Cargo.toml": "[package]\nversion = '1.0.0'\nname =\n"})
    assert (caught.value.evidence["file"], caught.value.evidence["line"]) == ("Cargo.toml", 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"", "missing either"),
        (b"[package]\n", "missing field `name`"),
        (b"[package]\nname = 1\n", "invalid type: integer `1`, expected a string.*package.name"),
        (b'[package]\nname = "a/b"\n', "package name"),
        (b'[package]\nname = "a"\nversion = "1"\n', "semantic version"),
        (b'[package]\nname = "a"\nedition.workspace = true\n', "workspace.package.edition"),
        (b'[package]\nname = "a"\n[dependencies]\nx = 1\n', 'a version such as "0.9.8"'),
        (b'[package]\nname = "a"\n[dependencies]\nx = {}\n', "without providing a local path"),
        (b'[package]\nname = "a"\n[dependencies]\nx.workspace = true\n', "workspace.dependencies.x"),
        (b'[package]\nname = "a"\ndefault-run = "b"\n', "default-run target `b` not found"),
        (b'[package]\nname = "a"\nbuild = 3\n', "expected a boolean or a string"),
        (b'dependencies = 3\n[package]\nname = "a"\n', "expected a table"),
        (b'[package]\nname = "a"\n[features]\nf = "x"\n', "expected a list of strings.*features.f"),
        (b'bin = [1]\n[package]\nname = "a"\n', "expected a list of tables"),
        (b'[workspace]\nmembers = ["gone"]\n', "workspace member `gone`"),
        (b'[workspace]\nmembers = ["../gone"]\n', "outside the source tree"),
        (b'[package]\nname = "a"\n[dependencies]\nx = { path = "../x" }\n', "outside the source tree"),
        (b'[package]\nname = "a"\n[dependencies]\nx = { path = "x" }\n[workspace]\n', "there is no x/Cargo.toml"),
        (b'[package]\nname = "a"\n[[bin]]\npath = "src/main.rs"\n', "bin.name is required"),
        (b'[package]\nname = "a"\n[[bin]]\nname = "b"\npath = "../../main.rs"\n', "leaves the source tree"),
        (b'[package]\nname = "a"\n[patch.crates-io]\nx = { path = "../x" }\n', "outside the source tree"),
        (b'[package]\nname = "a"\n[patch.crates-io]\nx = { path = "x" }\n', "there is no x/Cargo.toml"),
        (b'[package]\nname = "a"\nworkspace = "../w"\n', "outside the source tree"),
        (b'[package]\nname = "a"\nworkspace = "w"\n', "no manifest with .workspace"),
    ],
)
def test_a_manifest_that_cargo_would_refuse_is_refused_with_its_field(content: bytes, words: str):
    with pytest.raises(BadManifest, match=words):
        read({"Cargo.toml": content, **MAIN})


def test_a_byte_order_mark_and_windows_line_ends_are_read():
    text = "\ufeff" + PACKAGE.replace("\n", "\r\n")
    assert read({"Cargo.toml": text, **MAIN}).name == "app"


def test_a_package_without_targets_is_refused_and_tests_alone_are_enough():
    with pytest.raises(BadManifest, match="no targets specified"):
        read({"Cargo.toml": PACKAGE, "src/other.rs": ""})
    with pytest.raises(BadManifest, match="no targets specified"):
        read({"Cargo.toml": PACKAGE + "autotests = false\n", "tests/all.rs": ""})
    assert read({"Cargo.toml": PACKAGE, "tests/all.rs": ""}).members[0].binaries == ()


# --- targets


def names(member: Package) -> dict[str, str]:
    return {binary.name: binary.path for binary in member.binaries}


def test_binaries_are_found_where_cargo_finds_them():
    declared = ("src/main.rs", "src/bin/a.rs", "src/bin/b/main.rs")
    found = single("", *declared, "src/bin/.c.rs", "src/bin/d/lib.rs", "src/bin/e.txt")
    assert names(found) == {"my-app": "src/main.rs", "a": "src/bin/a.rs", "b": "src/bin/b/main.rs"}


def test_a_declared_binary_takes_its_file_from_those_found():
    manifest = """
[features]
net = []
[[bin]]
name = "server"
path = "src/main.rs"
required-features = ["net"]
[[bin]]
name = "a"
"""
    member = single(manifest, "src/main.rs", "src/bin/a.rs", "src/bin/b.rs")
    assert names(member) == {"server": "src/main.rs", "a": "src/bin/a.rs", "b": "src/bin/b.rs"}
    assert member.binaries[2].required_features == ("net",)


def test_autobins_false_leaves_what_is_declared():
    manifest = 'autobins = false\n[[bin]]\nname = "x"\npath = "x.rs"\n'
    assert names(single(manifest, "src/main.rs", "x.rs")) == {"x": "x.rs"}
    assert names(single("autobins = false\n", "src/main.rs", "src/lib.rs")) == {}


def test_edition_2015_finds_nothing_beside_what_is_declared_and_knows_old_places():
    manifest = '[[bin]]\nname = "tool"\n'
    assert names(single(manifest, "src/tool.rs", "src/bin/other.rs", edition="2015")) == {"tool": "src/tool.rs"}
    with pytest.raises(BadManifest, match="can't find `tool` bin"):
        single(manifest, "src/tool.rs", "src/lib.rs", edition="2018")


def test_a_binary_with_two_possible_files_is_refused():
    with pytest.raises(BadManifest, match="multiple target files"):
        single('[[bin]]\nname = "a"\n', "src/bin/a.rs", "src/bin/a/main.rs")
    with pytest.raises(BadManifest, match="duplicate binary name a"):
        single("", "src/bin/a.rs", "src/bin/a/main.rs")


def test_the_library_takes_its_name_from_the_package_and_its_kind_from_the_manifest():
    assert single("", "src/lib.rs").library == Library(name="my_app", path="src/lib.rs")
    given = single('[lib]\nname = "other"\npath = "lib/other.rs"\ncrate-type = ["cdylib", "rlib"]\n', "lib/other.rs")
    assert given.library == Library(name="other", path="lib/other.rs", crate_types=("cdylib", "rlib"))
    macro = Library(name="my_app", path="src/lib.rs", proc_macro=True)
    assert single("[lib]\nproc-macro = true\n", "src/lib.rs").library == macro
    assert single('[lib]\ncrate_type = ["proc-macro"]\n', "src/lib.rs").library == macro
    assert not single("", "src/main.rs").has_library


def test_a_library_that_is_not_there_or_has_a_hyphen_is_refused():
    with pytest.raises(BadManifest, match="can't find library `my_app`"):
        single("[lib]\n", "src/main.rs")
    with pytest.raises(BadManifest, match="cannot contain hyphens"):
        single('[lib]\nname = "my-lib"\n', "src/lib.rs")
    old = single("[lib]\n", "src/my_app.rs", edition="2015")
    assert old.library == Library(name="my_app", path="src/my_app.rs")


@pytest.mark.parametrize(
    ("manifest", "paths", "script"),
    [
        ("", ("build.rs",), "build.rs"),
        ("", (), None),
        ("build = false\n", ("build.rs",), None),
        ('build = "tools/make.rs"\n', (), "tools/make.rs"),
        ("build = true\n", (), "build.rs"),
        ('build = ["a.rs", "b.rs"]\n', (), "a.rs"),
    ],
)
def test_the_build_script_is_where_the_manifest_says_or_build_rs(
    manifest: str, paths: tuple[str, ...], script: str | None
):
    assert single(manifest, "src/main.rs", *paths).build_script == script


def test_features_include_optional_dependencies_unless_one_is_named_with_dep():
    manifest = """
[features]
net = ["dep:tcp"]
[dependencies]
tcp = { version = "1", optional = true }
udp = { version = "1", optional = true }
"""
    assert single(manifest, "src/main.rs").features == ("net", "udp")


# --- membership


WORKSPACE = {
    "Cargo.toml": """
[workspace]
members = ["crates/*"]
exclude = ["crates/old"]
default-members = ["crates/users"]
[workspace.package]
version = "2.0.0"
edition = "2024"
[workspace.dependencies]
shared = { path = "libs/shared", version = "1" }
""",
    "crates/users/Cargo.toml": (
        '[package]\nname = "users"\nversion.workspace = true\nedition = { workspace = true }\n'
        "[dependencies]\nshared = { workspace = true, optional = true }\n"
    ),
    "crates/users/src/main.rs": "",
    "crates/orders/Cargo.toml": package("orders"),
    "crates/orders/src/main.rs": "",
    "crates/old/Cargo.toml": "this is no manifest",
    "crates/notes.md": "",
    "libs/shared/Cargo.toml": package("shared"),
    "libs/shared/src/lib.rs": "",
}


def test_members_come_from_patterns_and_from_path_dependencies_below_the_root():
    workspace = read(WORKSPACE)
    assert [member.name for member in workspace.members] == ["orders", "users", "shared"]
    assert [member.name for member in workspace.default_members] == ["users"]
    assert workspace.path_packages == ()
    users = workspace.members[1]
    assert (users.version, users.edition, users.features) == ("2.0.0", "2024", ("shared",))
    assert (workspace.name, workspace.virtual) == ("users", True)


def test_an_excluded_directory_needs_no_manifest_and_any_other_does():
    gone = {path: content for path, content in WORKSPACE.items() if path != "crates/old/Cargo.toml"}
    workspace = read({**gone, "crates/old/README.md": "moved"})
    assert [member.name for member in workspace.members] == ["orders", "users", "shared"]
    with pytest.raises(BadManifest, match="failed to load manifest for workspace member `crates/empty`"):
        read({**WORKSPACE, "crates/empty/README.md": "moved"})


def test_a_members_directory_leads_to_its_root():
    workspace = read(WORKSPACE, "crates/orders")
    assert (workspace.root, workspace.directory) == ("", "crates/orders")
    assert [member.name for member in workspace.default_members] == ["orders"]


def test_a_pointer_leads_to_a_root_that_does_not_lie_above():
    files = {
        "root/Cargo.toml": package("app", '[workspace]\nmembers = ["../member"]\n'),
        "root/src/main.rs": "",
        "member/Cargo.toml": package("member", 'workspace = "../root"\n'),
        "member/src/lib.rs": "",
    }
    workspace = read(files, "member")
    assert (workspace.root, workspace.name) == ("root", "app")
    assert {member.directory for member in workspace.members} == {"root", "member"}


def test_an_excluded_package_is_alone():
    files = {**WORKSPACE, "crates/old/Cargo.toml": package("old"), "crates/old/src/main.rs": ""}
    workspace = read(files, "crates/old")
    assert (workspace.root, workspace.name) == ("crates/old", "old")


def test_a_package_in_a_workspace_that_does_not_know_it_is_refused_in_cargos_words():
    files = {**WORKSPACE, "tool/Cargo.toml": package("tool"), "tool/src/main.rs": ""}
    with pytest.raises(BadManifest, match="believes it's in a workspace when it's not: add `tool`"):
        read(files, "tool")


def test_two_members_of_one_name_and_two_roots_are_refused():
    twin = {**WORKSPACE, "crates/twin/Cargo.toml": package("users"), "crates/twin/src/main.rs": ""}
    with pytest.raises(BadManifest, match="two packages named `users`"):
        read(twin)
    nested = {**WORKSPACE, "crates/twin/Cargo.toml": package("twin", "[workspace]\n"), "crates/twin/src/main.rs": ""}
    with pytest.raises(BadManifest, match="multiple workspace roots"):
        read(nested)


def test_a_member_outside_the_root_must_point_back():
    files = {
        "root/Cargo.toml": '[workspace]\nmembers = ["../member"]\n',
        "member/Cargo.toml": package("member"),
        "member/src/lib.rs": "",
    }
    with pytest.raises(BadManifest, match=r"wrong workspace: expected root/Cargo\.toml, found none"):
        read(files, "root")


def test_a_path_dependency_beside_the_root_is_no_member_and_brings_its_own():
    files = {
        "app/Cargo.toml": package("app", '[dependencies]\nshared = { path = "../shared" }\n'),
        "app/src/main.rs": "",
        "shared/Cargo.toml": package(
            "shared",
            '[target."cfg(unix)".dependencies]\ndeep = { path = "../deep" }\n'
            '[dev-dependencies]\nnowhere = { path = "../../nowhere" }\n',
        ),
        "shared/src/lib.rs": "",
        "deep/Cargo.toml": package("deep"),
        "deep/src/lib.rs": "",
    }
    workspace = read(files, "app")
    assert [member.name for member in workspace.members] == ["app"]
    assert [package.name for package in workspace.path_packages] == ["deep", "shared"]


def test_a_path_package_inherits_from_the_root_above_it():
    files = {
        "app/Cargo.toml": package("app", '[dependencies]\nshared = { path = "../libs/shared" }\n'),
        "app/src/main.rs": "",
        "libs/Cargo.toml": '[workspace]\nmembers = ["shared"]\n[workspace.package]\nversion = "5.0.0"\n',
        "libs/shared/Cargo.toml": '[package]\nname = "shared"\nversion.workspace = true\n',
        "libs/shared/src/lib.rs": "",
    }
    workspace = read(files, "app")
    assert [(package.name, package.version) for package in workspace.path_packages] == [("shared", "5.0.0")]
    assert [root.file for root in workspace.other_roots] == ["libs/Cargo.toml"]


@pytest.mark.parametrize(
    ("manifest", "resolver"),
    [
        ('[package]\nname = "a"\n', "1"),
        ('[package]\nname = "a"\nedition = "2018"\n', "1"),
        ('[package]\nname = "a"\nedition = "2021"\n', "2"),
        ('[package]\nname = "a"\nedition = "2024"\n', "3"),
        ('[package]\nname = "a"\nedition = "2024"\nresolver = "1"\n', "1"),
        ('[workspace]\nresolver = "2"\n[package]\nname = "a"\n', "2"),
    ],
)
def test_the_resolver_is_said_or_follows_from_the_edition(manifest: str, resolver: str):
    assert read({"Cargo.toml": manifest, **MAIN}).resolver == resolver


def test_a_virtual_workspace_below_the_trees_root_is_named_after_its_directory():
    files = {f"services/{path}": text for path, text in WORKSPACE.items()}
    assert read(files, "services").name == "services"


def test_the_old_name_of_the_package_table_is_read():
    assert read({"Cargo.toml": '[project]\nname = "old"\nversion = "0.1.0"\n', **MAIN}).name == "old"
