import pytest

from cache.errors import Blame
from cache.manifests.rust.errors import AmbiguousBinary, MissingFeature, UnknownBinary, UnknownFeature, UnknownProfile
from cache.manifests.rust.selection import select
from cache.manifests.rust.workspace import Workspace, read_workspace
from tests.fakes.source_files import InMemoryFiles


def package(name: str, more: str = "") -> str:
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n{more}'


FILES = {
    "Cargo.toml": """
[workspace]
members = ["users", "orders", "model"]
resolver = "2"
[profile.lean]
inherits = "release"
""",
    "users/Cargo.toml": package(
        "users",
        '[features]\ndefault = ["web"]\nweb = []\ntls = ["web"]\n[[bin]]\nname = "secure"\npath = "src/secure.rs"\n'
        'required-features = ["tls"]\n[dependencies]\nserde = "1"\n',
    ),
    "users/src/main.rs": "",
    "users/src/bin/tool.rs": "",
    "orders/Cargo.toml": package("orders", "[features]\nfast = []\n"),
    "orders/src/main.rs": "",
    "orders/src/bin/tool.rs": "",
    "model/Cargo.toml": package("model"),
    "model/src/lib.rs": "",
}


def workspace(directory: str = "", **changed: str) -> Workspace:
    return read_workspace(InMemoryFiles({**FILES, **changed}), directory)


def test_a_selection_says_itself_in_cargos_words():
    chosen = select(workspace(), ("users",), ("web", "tls"), default_features=False)
    assert chosen.arguments() == (
        *("-p", "users", "--bin", "users", "--no-default-features", "--features", "tls,web", "--release"),
    )
    assert select(workspace(), ("users",), profile="lean").arguments()[-2:] == ("--profile", "lean")
    assert select(workspace(), ("users",), profile="dev").profile_directory == "debug"


def test_several_binaries_of_several_packages_are_one_selection():
    chosen = select(workspace(), ("users", "orders", "users", "orders/tool"))
    assert chosen.arguments() == (
        *("-p", "users", "-p", "orders", "--bin", "users", "--bin", "orders", "--bin", "tool", "--release"),
    )


def test_an_unknown_binary_is_refused_with_those_there_are():
    with pytest.raises(UnknownBinary, match="no binary `usres`") as caught:
        select(workspace(), ("usres",))
    assert caught.value.blame is Blame.REQUEST
    assert caught.value.evidence["binaries"] == [
        *("orders/orders", "orders/tool", "users/secure", "users/tool", "users/users"),
    ]


def test_a_binary_of_two_packages_is_ambiguous_until_its_package_is_named():
    with pytest.raises(AmbiguousBinary, match="more than one package") as caught:
        select(workspace(), ("tool",))
    assert caught.value.evidence["binaries"] == ["orders/tool", "users/tool"]
    assert select(workspace(), ("orders/tool",)).packages == ("orders",)
    assert select(workspace("users"), ("tool",)).packages == ("users",)


def test_nothing_named_is_the_only_binary_the_default_run_or_an_error_with_the_list():
    with pytest.raises(AmbiguousBinary, match="5 binaries: name one") as caught:
        select(workspace())
    assert len(caught.value.evidence["binaries"]) == 5  # type: ignore[arg-type] - evidence is any JSON
    alone = {"Cargo.toml": package("app"), "src/main.rs": ""}
    assert select(read_workspace(InMemoryFiles(alone))).packages == ("app",)
    two = {"Cargo.toml": package("app", 'default-run = "b"\n'), "src/bin/a.rs": "", "src/bin/b.rs": ""}
    assert select(read_workspace(InMemoryFiles(two))).binaries[0].name == "b"


def test_the_default_members_binary_is_the_one_that_is_meant():
    files = {**FILES, "Cargo.toml": FILES["Cargo.toml"].replace("resolver", 'default-members = ["orders"]\nresolver')}
    files.pop("orders/src/bin/tool.rs")
    assert select(read_workspace(InMemoryFiles(files))).packages == ("orders",)


def test_a_project_without_binaries_has_none_to_choose():
    files = {"Cargo.toml": package("only-lib"), "src/lib.rs": ""}
    for names in ((), ("x",)):
        with pytest.raises(UnknownBinary, match="no binary in this project") as caught:
            select(read_workspace(InMemoryFiles(files)), names)
        assert caught.value.evidence["binaries"] == []


@pytest.mark.parametrize("feature", ["nope", "orders/fast", "users/nope", "fast"])
def test_an_unknown_feature_is_refused_with_those_there_are(feature: str):
    with pytest.raises(UnknownFeature) as caught:
        select(workspace(), ("users",), (feature,))
    assert caught.value.evidence["features"] == ["default", "tls", "web"]


def test_a_feature_of_a_dependency_or_of_one_selected_package_is_taken():
    assert select(workspace(), ("users",), ("serde/derive", "users/tls")).features == ("serde/derive", "users/tls")
    assert select(workspace(), ("users", "orders"), ("fast",)).features == ("fast",)


def test_a_binary_whose_features_are_off_is_refused_and_one_whose_are_on_is_not():
    with pytest.raises(MissingFeature, match="requires the features tls") as caught:
        select(workspace(), ("secure",))
    assert caught.value.evidence["required"] == ["tls"]
    assert select(workspace(), ("secure",), ("users/tls",)).packages == ("users",)


def test_an_unknown_profile_is_refused_with_those_there_are():
    with pytest.raises(UnknownProfile, match="no profile `debug`") as caught:
        select(workspace(), ("users",), profile="debug")
    assert caught.value.evidence["profiles"] == ["bench", "dev", "lean", "release", "test"]


def test_the_old_resolver_is_told_the_package_whose_features_count():
    root = package("app", '[workspace]\nmembers = ["users", "orders"]\nresolver = "1"\n[features]\nbig = []\n')
    old = workspace(**{"Cargo.toml": root, "src/main.rs": ""})
    assert select(old, ("users",), ("tls",)).arguments()[:2] == ("--manifest-path", "users/Cargo.toml")
    assert select(old, ("users",)).manifest is None
    assert select(old, ("app",), ("big",)).manifest is None
    assert select(old, ("users", "app"), ("tls", "big")).features == ("big", "users/tls")
