"""The configuration: the example holds every setting with its default, and what is wrong is refused by name."""

import re
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from cache.archive_limits import ArchiveLimits
from daemon.config import Config, FetchNetwork, LogFormat, NetworkConfig
from daemon.config_file import ConfigError, parse_config, read_config
from daemon.engine.engine import Limits, Network
from daemon.engine.transport import EngineTimeouts
from daemon.network import resolve_network, without_password

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
SETTING = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)


def settings(kind: type, place: str = "") -> set[str]:
    found = set()
    types = get_type_hints(kind)
    for member in fields(kind):
        name = f"{place}.{member.name}".lstrip(".")
        found |= settings(types[member.name], name) if is_dataclass(types[member.name]) else {name}
    return found


def keys(table: dict[str, object], place: str = "") -> set[str]:
    found = set()
    for key, value in table.items():
        name = f"{place}.{key}".lstrip(".")
        found |= keys(value, name) if isinstance(value, dict) and value else {name}
    return found


def test_the_example_as_it_stands_is_the_default():
    assert read_config(EXAMPLE) == Config()


def test_the_example_with_every_setting_taken_in_is_the_default():
    whole = SETTING.sub("", EXAMPLE.read_text())

    assert parse_config(whole, "example") == Config()
    assert keys(tomllib.loads(whole)) == settings(Config)


def test_by_default_a_build_outlasts_a_restart_of_the_engine():
    builds = Config().builds

    assert sum(builds.backoff * 2**attempt for attempt in range(builds.attempts - 1)) > 12


UNITS = {"Bytes": "Size: ", "Seconds": "Duration: ", "Count": "Count: ", "Positive": "Count: "}


@pytest.mark.parametrize("name", sorted(settings(Config)))
def test_each_setting_of_the_example_is_explained_with_its_unit(name: str):
    table, key = name.split(".")
    kind = get_type_hints(get_type_hints(Config)[table])[key]
    text = EXAMPLE.read_text()
    if f"[{name}]" in text:
        before = text.partition(f"[{name}]\n")[0]
    else:
        before = text.partition(f"[{table}]\n")[2].partition(f"#{key} = ")[0]
    explained = re.search(r"((?:^# .*\n)+)\Z", before, re.MULTILINE)

    assert explained
    assert UNITS.get(kind.__name__ if hasattr(kind, "__supertype__") else "", "") in explained[1]


def test_units_and_plain_numbers_say_the_same():
    written = parse_config(
        '[limits]\nmemory = "1.5 GiB"\ntmp = 1048576\ndeadline = "90 min"\nsilence = 2.5', "f"
    ).limits

    assert (written.memory, written.tmp) == (3 << 29, 1 << 20)
    assert (written.deadline, written.silence) == (5400.0, 2.5)


def test_names_are_free_in_tables_of_names():
    config = parse_config(
        '[toolchains.images]\nnightly-2026 = "a/b:c"\n[network.mirrors]\ncrates-io = "sparse+https://m.example/"', "f"
    )

    assert config.toolchains.images == {"nightly-2026": "a/b:c"}
    assert config.network.mirrors == {"crates-io": "sparse+https://m.example/"}


@pytest.mark.parametrize(
    ("text", "key", "value", "expected"),
    [
        ("[server]\nlisten_on = 'x'", "server.listen_on", "'x'", "listen (did you mean it?)"),
        ("[sever]\nlisten = 'x'", "sever", "{'listen': 'x'}", "server (did you mean it?)"),
        ("listen = 'x'", "listen", "'x'", "a known key"),
        ("server = 1", "server", "1", "write [server]"),
        ("[server]\nlisten = 7878", "server.listen", "7878", "a text"),
        ("[builds]\nconcurrent = 0", "builds.concurrent", "0", "a whole number of at least 1"),
        ("[builds]\nqueue = true", "builds.queue", "True", "a whole number of at least 1"),
        ("[builds]\nqueue = 1.5", "builds.queue", "1.5", "a whole number of at least 1"),
        ("[limits]\ncpus = -1", "limits.cpus", "-1", "a number above 0"),
        ("[limits]\ncpus = inf", "limits.cpus", "inf", "a number above 0"),
        ("[limits]\nmemory = '4 gigs'", "limits.memory", "'4 gigs'", 'a unit such as "64 MiB"'),
        ("[limits]\nmemory = 0.5", "limits.memory", "0.5", "a size above 0"),
        ("[limits]\nmemory = '0 B'", "limits.memory", "'0 B'", "a size above 0"),
        ("[limits]\ndeadline = '5 weeks'", "limits.deadline", "'5 weeks'", '"30 s" or "5 min"'),
        ("[limits]\ndeadline = nan", "limits.deadline", "nan", "a duration above 0"),
        ("[log]\nformat = 'xml'", "log.format", "'xml'", 'one of "json", "text"'),
        ("[network]\nmode = 'none'", "network.mode", "'none'", 'one of "bridge", "host"'),
        ("[metrics]\nproject_label = 1", "metrics.project_label", "1", "true or false"),
        ("[toolchains]\nimages = ['a']", "toolchains.images", "['a']", "write [toolchains.images]"),
        ("[toolchains.images]\nstable = ''", "toolchains.images.stable", "''", "not empty"),
    ],
)
def test_what_is_wrong_is_told_with_file_key_value_and_expectation(text: str, key: str, value: str, expected: str):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "/etc/bloomery.toml")

    assert caught.value.detail.startswith(f"/etc/bloomery.toml: {key} = {value}: expected ")
    assert expected in caught.value.detail
    assert caught.value.evidence["key"] == key


def test_a_long_value_is_shown_in_part():
    with pytest.raises(ConfigError) as caught:
        parse_config(f"[limits]\nmemory = '{'x' * 5000}'", "f")

    assert len(caught.value.detail) < 400


def test_a_file_that_is_not_toml_says_where(tmp_path: Path):
    file = tmp_path / "c.toml"
    file.write_text("[server]\nlisten = \n")

    with pytest.raises(ConfigError, match=r"c\.toml is not TOML: .*line 2"):
        read_config(file)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path / "missing.toml")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_config(tmp_path / "latin")


def test_defaults_are_those_of_what_they_configure():
    assert Config().limits.sandbox() == Limits()
    assert Config().upload.archive() == ArchiveLimits()
    assert Config().engine.timeouts() == EngineTimeouts()


def test_settings_reach_what_they_configure():
    config = parse_config("[limits]\ntmp = 5\n[upload]\nbody = 6\n[engine]\ncommit = 7\n[log]\nformat = 'text'", "f")

    assert config.limits.sandbox() == Limits(tmp_size=5)
    assert config.upload.archive() == ArchiveLimits(body=6)
    assert config.engine.timeouts() == EngineTimeouts(commit=7.0)
    assert config.log.format is LogFormat.TEXT


# --- [network] and the environment

BUNDLE = Path("/system/ca.crt")


def resolve(config: NetworkConfig, environ: dict[str, str], *files: str):
    present = {Path(file) for file in files}
    return resolve_network(config, environ, system_bundles=[BUNDLE], is_file=lambda path: path in present)


def test_an_empty_environment_gives_the_system_bundle_and_no_proxy():
    settings = resolve(NetworkConfig(), {}, str(BUNDLE))

    assert settings.ca_bundle == BUNDLE
    assert settings.environment == {}
    assert settings.sources == {"ca_bundle": "system"}


def test_no_bundle_anywhere_is_none():
    assert resolve(NetworkConfig(), {"SSL_CERT_FILE": "/gone.pem"}).ca_bundle is None


def test_the_environment_goes_over_the_system():
    environ = {"SSL_CERT_FILE": "/env.pem", "HTTPS_PROXY": "http://proxy:3128", "no_proxy": "localhost"}
    settings = resolve(NetworkConfig(), environ, "/env.pem", str(BUNDLE))

    assert settings.ca_bundle == Path("/env.pem")
    assert settings.environment == {"https_proxy": "http://proxy:3128", "no_proxy": "localhost"}
    assert settings.sources == {"ca_bundle": "SSL_CERT_FILE", "https_proxy": "HTTPS_PROXY", "no_proxy": "no_proxy"}


def test_a_bundle_of_the_environment_that_is_gone_is_passed_over():
    settings = resolve(NetworkConfig(), {"SSL_CERT_FILE": "/gone.pem", "CURL_CA_BUNDLE": "/here.pem"}, "/here.pem")

    assert settings.ca_bundle == Path("/here.pem")


def test_the_configuration_goes_over_the_environment():
    config = NetworkConfig(
        mode=FetchNetwork.HOST, ca_bundle="/mine.pem", https_proxy="http://mine", mirrors={"crates-io": "https://m"}
    )
    settings = resolve(config, {"SSL_CERT_FILE": "/env.pem", "https_proxy": "http://env"}, "/env.pem")

    assert (settings.mode, settings.ca_bundle) == (Network.HOST, Path("/mine.pem"))
    assert settings.environment == {"https_proxy": "http://mine"}
    assert settings.mirrors == {"crates-io": "https://m"}


def test_none_turns_off_what_the_environment_would_give():
    config = NetworkConfig(ca_bundle="none", https_proxy="none", no_proxy="none")
    settings = resolve(config, {"SSL_CERT_FILE": "/env.pem", "https_proxy": "http://env", "no_proxy": "x"}, "/env.pem")

    assert settings.ca_bundle is None
    assert settings.environment == {}


def test_the_description_names_sources_and_hides_passwords():
    settings = resolve(NetworkConfig(mirrors={"crates-io": "https://me:pw@m/"}), {"https_proxy": "http://u:secret@p:1"})

    assert settings.described() == {
        "mode": "bridge",
        "ca_bundle": "none",
        "https_proxy": "http://…@p:1 (https_proxy)",
        "http_proxy": "none",
        "no_proxy": "none",
        "mirrors.crates-io": "https://…@m/",
    }
    assert without_password("user:secret@proxy:3128") == "…@proxy:3128"
    assert without_password("proxy:3128") == "proxy:3128"
