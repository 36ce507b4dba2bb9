import pytest

from cache.errors import Blame
from cache.manifests.errors import BadSettings
from cache.manifests.settings import LinkSetting, ProjectSettings, read_settings
from tests.fakes.source_files import InMemoryFiles


def read(text: str) -> ProjectSettings:
    return read_settings(InMemoryFiles({"bloomery.toml": text}))


WHOLE = """
[project]
name = "shop"
[build]
binaries = ["users", "orders"]
features = ["tls"]
default-features = false
profile = "lean"
toolchain = "1.95"
link = "static"
revision = true
environment = { SQLX_OFFLINE = "true" }
[image]
include = ["templates/", "ca"]
entrypoint = ["/app/users"]
arguments = ["--port", "3000"]
ports = [3000, "53/udp"]
environment = { A = "1", B = "1" }
labels = { x = "y" }
stop-signal = "SIGINT"
user = "nonroot"
working-directory = "/srv"
[images.orders]
ports = [4000]
environment = { B = "2" }
[check]
command = ["--version"]
"""


def test_every_setting_is_read():
    settings = read(WHOLE)
    assert settings.project.name == "shop"
    assert settings.build.wanted == ("users", "orders")
    assert (settings.build.link, settings.build.revision) == (LinkSetting.STATIC, True)
    assert (settings.build.features, settings.build.default_features) == (("tls",), False)
    assert settings.build.environment == {"SQLX_OFFLINE": "true"}
    assert settings.image.include == ("templates/", "ca")
    assert settings.image.ports == (3000, "53/udp")
    assert settings.check.command == ("--version",)


def test_a_binarys_own_table_goes_over_the_image_table():
    settings = read(WHOLE)
    assert settings.image_of("users") == settings.image
    orders = settings.image_of("orders")
    assert (orders.ports, orders.environment) == ((4000,), {"A": "1", "B": "2"})
    assert (orders.user, orders.labels) == ("nonroot", {"x": "y"})


def test_without_a_file_nothing_is_said():
    settings = read_settings(InMemoryFiles({"Cargo.toml": ""}), "a/b")
    assert settings == ProjectSettings()
    assert settings.build.wanted == ()


def test_the_nearest_file_at_or_above_the_directory_counts():
    files = InMemoryFiles({"bloomery.toml": '[project]\nname = "all"\n', "a/bloomery.toml": '[project]\nname = "a"\n'})
    assert read_settings(files, "a/b").project.name == "a"
    assert read_settings(files, "c").project.name == "all"


@pytest.mark.parametrize(
    ("text", "key", "value", "expected"),
    [
        ('[build]\nbinry = "x"\n', "build.binry", 'string "x"', "binary"),
        ("tests = 1\n", "tests", "integer `1`", "images"),
        ("[images.users]\nport = 1\n", "images.users.port", "integer `1`", "ports"),
        ("build = 3\n", "build", "integer `3`", "a table"),
        ('[build]\nlink = "shared"\n', "build.link", 'string "shared"', "`dynamic` or `static`"),
        ('[build]\nrevision = "yes"\n', "build.revision", 'string "yes"', "true or false"),
        ('[build]\nfeatures = "a"\n', "build.features", 'string "a"', "a list"),
        ('[image]\ninclude = ["a", ""]\n', "image.include.1", 'string ""', "a string that is not empty"),
        ("[image]\nenvironment = { A = 1 }\n", "image.environment.A", "integer `1`", "a string"),
        ("[images.users]\nlabels = { A = true }\n", "images.users.labels.A", "boolean `true`", "a string"),
        ("[image]\nports = [70000]\n", "image.ports", "sequence", "65535"),
        ('[image]\nports = ["http"]\n', "image.ports", "sequence", "65535"),
        ('[image]\nworking-directory = "srv"\n', "image.working-directory", 'string "srv"', "an absolute path"),
        ('[project]\nname = "a b"\n', "project.name", 'string "a b"', "letters, digits"),
        ('[build]\nbinary = "a"\nbinaries = ["b"]\n', "build.binary", 'string "a"', "one of the two"),
        ('[build]\nenvironment = { "A-B" = "1" }\n', "build.environment.A-B", 'string "1"', "letters, digits"),
    ],
)
def test_what_is_wrong_is_named_by_file_key_value_and_what_was_expected(text: str, key: str, value: str, expected: str):
    with pytest.raises(BadSettings) as caught:
        read(text)
    assert caught.value.blame is Blame.SOURCE
    evidence = caught.value.evidence
    assert evidence["file"] == "bloomery.toml"
    assert (evidence["key"], evidence["value"]) == (key, value)
    assert expected in str(evidence["expected"])
    assert f"`{key}` is {value}" in caught.value.detail


def test_images_that_is_no_table_is_refused():
    with pytest.raises(BadSettings, match="integer `3`, expected a table"):
        read("images = 3\n")


@pytest.mark.parametrize(
    "name", ["CARGO_HOME", "CARGO", "RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS", "PATH", "HOME", "LD_PRELOAD"]
)
def test_variables_that_the_daemon_sets_are_refused(name: str):
    with pytest.raises(BadSettings, match="the daemon sets"):
        read(f'[build]\nenvironment = {{ {name} = "x" }}\n')


def test_a_file_that_is_no_toml_is_named_with_its_line():
    with pytest.raises(BadSettings, match=r"bloomery\.toml, line 2"):
        read("[build]\nbinary =\n")
