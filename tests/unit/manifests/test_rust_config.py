import tomllib
from typing import Any

import pytest

from cache.errors import Blame
from cache.manifests.errors import UnsupportedSetting
from cache.manifests.rust.config import CargoConfig, read_config
from cache.manifests.rust.layout import Layout
from cache.manifests.rust.toolchain import read_toolchain
from tests.fakes.source_files import InMemoryFiles


def config(text: str, directory: str = "", **more: str) -> CargoConfig:
    files = InMemoryFiles({".cargo/config.toml": text, "Cargo.toml": "", **more})
    return read_config(files, directory, Layout(files.paths()))


def compiled(made: CargoConfig) -> dict[str, Any]:
    return dict(made.values)


def test_without_configuration_nothing_is_written():
    files = InMemoryFiles({"Cargo.toml": ""})
    made = read_config(files, "", Layout(files.paths()))
    assert (made.values, made.text_for_fetch, made.notes, made.rustflags) == ({}, b"", (), ())


def test_what_is_honoured_reaches_the_compile_and_only_sources_reach_the_fetch():
    made = config("""
[build]
rustflags = ["-C", "force-frame-pointers=yes"]
target = "x86_64-unknown-linux-musl"
[target.'cfg(unix)']
rustflags = "--cfg tokio_unstable"
linker = "clang"
[profile.release]
lto = "thin"
[env]
GREETING = "hello"
FORCED = { value = "yes", force = true }
[registries.mine]
index = "sparse+https://registry.example/"
[registry]
default = "mine"
[source.crates-io]
replace-with = "mine"
""")
    assert compiled(made) == {
        "build": {"rustflags": ["-C", "force-frame-pointers=yes"], "target": "x86_64-unknown-linux-musl"},
        "target": {"cfg(unix)": {"rustflags": ["--cfg", "tokio_unstable"], "linker": "clang"}},
        "profile": {"release": {"lto": "thin"}},
        "env": {"GREETING": "hello", "FORCED": {"value": "yes", "force": True}},
        "registries": {"mine": {"index": "sparse+https://registry.example/"}},
        "registry": {"default": "mine"},
        "source": {"crates-io": {"replace-with": "mine"}},
    }
    assert set(tomllib.loads(made.text_for_fetch.decode())) == {"registries", "registry", "source"}
    assert (made.target, made.rustflags) == ("x86_64-unknown-linux-musl", ("-C", "force-frame-pointers=yes"))
    assert made.notes == ()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[build]\nrustc-wrapper = "sccache"\n', "build.rustc-wrapper"),
        ('[build]\nrustc-workspace-wrapper = "./w.sh"\n', "build.rustc-workspace-wrapper"),
        ('[build]\ntarget-dir = "/tmp/t"\n', "build.target-dir"),
        ('[target.x86_64-unknown-linux-gnu]\nlinker = "/usr/bin/clang"\n', "target.x86_64-unknown-linux-gnu.linker"),
        ('[target.x86_64-unknown-linux-gnu]\nlinker = "tools/ld"\n', "target.x86_64-unknown-linux-gnu.linker"),
        ("[target.x86_64-unknown-linux-gnu.z]\nrustc-link-lib = ['z']\n", "target.x86_64-unknown-linux-gnu.z"),
        ('[env]\nLD_PRELOAD = "./evil.so"\n', "env.LD_PRELOAD"),
        ('[env]\nPATH = "bin"\n', "env.PATH"),
        ('[env]\nRUSTC_WRAPPER = "./w"\n', "env.RUSTC_WRAPPER"),
        ('[registries.mine]\ntoken = "secret"\n', "registries.mine.token"),
        ('[registries.mine]\ncredential-provider = "./steal"\n', "registries.mine.credential-provider"),
        ("[unstable]\nbuild-std = ['std']\n", "unstable"),
    ],
)
def test_what_could_run_or_redirect_something_is_left_out_with_a_line(text: str, key: str):
    made = config(text)
    assert made.values == {}
    assert made.text_for_fetch == b""
    assert any(note.startswith(f".cargo/config.toml: {key} is left out: ") for note in made.notes)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('paths = ["x"]\n', "paths"),
        ('include = "more.toml"\n', "include"),
        ('[patch.crates-io]\na = { path = "a" }\n', "patch"),
        ('[build]\nrustc = "./rustc"\n', "build.rustc"),
        ('[build]\ntarget = ["a", "b"]\n', "build.target"),
        ('[build]\ntarget = "gone.json"\n', "build.target"),
        ('[source.v]\ndirectory = "/usr/share"\n', "source.v.directory"),
        ('[source.v]\ndirectory = "../v"\n', "source.v.directory"),
        ('[env]\nA = { value = "../../x", relative = true }\n', "env.A.value"),
        ("[env]\nA = { relative = true }\n", "env.A"),
        ("[build]\nrustflags = 3\n", "build.rustflags"),
        ("[build]\nrustflags = ['-C', 'linker=tools/ld']\n", "build.rustflags"),
        ("[build]\nrustflags = '-Clinker=/bin/sh'\n", "build.rustflags"),
        ("[build]\nrustflags = '--codegen=linker=./ld'\n", "build.rustflags"),
        ("[build]\nrustflags = ['-Zcodegen-backend=./x.so']\n", "build.rustflags"),
    ],
)
def test_what_would_change_the_build_silently_is_refused_by_key(text: str, key: str):
    with pytest.raises(UnsupportedSetting) as caught:
        config(text)
    assert caught.value.blame is Blame.SOURCE
    assert (caught.value.evidence["file"], caught.value.evidence["field"]) == (".cargo/config.toml", key)


def test_a_configuration_that_is_no_toml_is_refused_with_its_line():
    with pytest.raises(UnsupportedSetting, match=r"\.cargo/config\.toml, line 1"):
        config("[build\n")


def test_settings_that_change_nothing_are_named_in_one_line():
    made = config(
        '[alias]\nb = "build"\n[net]\ngit-fetch-with-cli = true\n[build]\njobs = 2\n[target.x]\nrunner = "qemu"\n'
    )
    assert made.notes == (".cargo/config.toml: ignored: alias, build.jobs, net, target.x.runner",)


def test_nearer_files_go_over_farther_ones_and_lists_are_joined():
    made = config(
        '[build]\nrustflags = ["--cfg", "outer"]\ntarget = "outer"\n[env]\nA = "outer"\nB = "outer"\n',
        "svc",
        **{"svc/.cargo/config.toml": '[build]\nrustflags = ["--cfg", "inner"]\ntarget = "inner"\n[env]\nA = "inner"\n'},
    )
    assert made.rustflags == ("--cfg", "outer", "--cfg", "inner")
    assert made.target == "inner"
    assert compiled(made)["env"] == {"A": "inner", "B": "outer"}


def test_the_old_file_name_is_preferred_as_cargo_does():
    made = config('[build]\ntarget = "new"\n', **{".cargo/config": '[build]\ntarget = "old"\n'})
    assert made.target == "old"


def test_files_that_are_named_count_by_content_and_become_absolute():
    text = """
[build]
rustflags = ["-C", "link-arg=-Tlinker/memory.x", "-Clink-args=map.txt,other"]
target = "targets/mine.json"
[env]
ROOT = { value = "", relative = true }
CRATE = { value = "app/data", relative = true }
LIBS = { value = "libs", relative = true }
ONE = { value = "one.txt", relative = true }
"""
    paths = ("linker/memory.x", "map.txt", "targets/mine.json", "app/Cargo.toml", "app/data/x", "libs/a.so", "one.txt")
    made = config(text, **dict.fromkeys(paths, "content"))
    named = [file.path for file in made.named]
    assert named == ["libs/a.so", "linker/memory.x", "map.txt", "one.txt", "targets/mine.json"]
    assert compiled(made)["env"] == {
        "ROOT": "/work",
        "CRATE": "/work/app/data",
        "LIBS": "/work/libs",
        "ONE": "/work/one.txt",
    }
    assert made.target == "/work/targets/mine.json"


def test_a_vendored_directory_is_a_local_source_at_its_constant_place():
    made = config('[source.vendored]\ndirectory = "third/vendor"\n[source.reg]\nlocal-registry = "reg"\n')
    assert made.local_sources == ("reg", "third/vendor")
    assert compiled(made)["source"] == {
        "vendored": {"directory": "/work/third/vendor"},
        "reg": {"local-registry": "/work/reg"},
    }


# --- the toolchain


def toolchain(directory: str = "", **files: str) -> tuple[str | None, tuple[str, ...]]:
    return read_toolchain(InMemoryFiles({path.replace("__", "/"): text for path, text in files.items()}), directory)


def test_a_toolchain_file_names_a_channel_in_either_form():
    assert toolchain(**{"rust-toolchain": "nightly-2026-01-01\n"}) == ("nightly-2026-01-01", ())
    assert toolchain(**{"rust-toolchain": '[toolchain]\nchannel = "1.95"\n'}) == ("1.95", ())
    assert toolchain(**{"rust-toolchain.toml": '[toolchain]\nchannel = "stable"\n'}) == ("stable", ())
    assert toolchain() == (None, ())
    assert toolchain(**{"rust-toolchain.toml": "[other]\n"})[0] is None


def test_the_nearest_toolchain_file_counts_and_the_old_name_first():
    files = {
        "rust-toolchain.toml": '[toolchain]\nchannel = "1.90"\n',
        "a/rust-toolchain.toml": '[toolchain]\nchannel = "1.95"\n',
    }
    assert toolchain("a/b", **files)[0] == "1.95"
    assert toolchain("", **files)[0] == "1.90"
    assert toolchain("", **files, **{"rust-toolchain": "beta"})[0] == "beta"


def test_components_are_ignored_with_a_note_and_a_path_is_refused():
    text = '[toolchain]\nchannel = "stable"\ncomponents = ["clippy"]\ntargets = ["x"]\n'
    channel, notes = toolchain(**{"rust-toolchain.toml": text})
    assert channel == "stable"
    assert notes == ("rust-toolchain.toml: components, targets ignored: the toolchain image has what it has",)
    for bad in ('[toolchain]\npath = "./tc"\n', '[toolchain]\nchannel = "/opt/tc"\n', "[toolchain\n"):
        with pytest.raises(UnsupportedSetting):
            toolchain(**{"rust-toolchain.toml": bad})
    with pytest.raises(UnsupportedSetting, match="no toolchain channel"):
        toolchain(**{"rust-toolchain": "../tc"})
