"""What an image's configuration says follows from the settings alone; what no engine would take is refused by name."""

import json

import pytest

from cache.digest import Digest
from cache.errors import Blame
from daemon.builds import ImageSettings
from daemon.image import manifest
from daemon.image.architecture import AMD64
from daemon.image.errors import BadImageSettings
from daemon.image.layer import Blob

LAYER = Blob(Digest.of(b"layer"), 10240)


def config(settings: ImageSettings, extra: dict[str, str] | None = None) -> dict:
    return json.loads(manifest.config(manifest.plan("users", settings), extra or {}, (LAYER,), AMD64))


def test_an_image_without_settings():
    found = config(ImageSettings())
    assert found["config"] == {
        "User": "65532:65532",
        "Env": [
            "PATH=/app:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/home/nonroot",
        ],
        "Entrypoint": ["/app/users"],
        "WorkingDir": "/app",
        "Labels": {"org.opencontainers.image.title": "users"},
    }
    assert found["created"] == "2001-01-01T00:00:00Z"
    assert found["rootfs"] == {"type": "layers", "diff_ids": [str(LAYER.digest)]}
    assert (found["architecture"], found["os"]) == ("amd64", "linux")


def test_every_setting_arrives():
    settings = ImageSettings(
        entrypoint=("users", "--serve"),
        arguments=("--port", "3000"),
        ports=("3000", "53/udp", "3000/tcp"),
        environment={"RUST_LOG": "info", "HOME": "/data", "SSL_CERT_FILE": "/own.pem"},
        labels={"org.opencontainers.image.title": "Users", "team": "a"},
        stop_signal="int",
        user="1000:50",
        working_directory="/srv/users/",
    )
    found = config(settings, {"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"})["config"]
    assert found["Entrypoint"] == ["users", "--serve"]
    assert found["Cmd"] == ["--port", "3000"]
    assert found["ExposedPorts"] == {"3000/tcp": {}, "53/udp": {}}
    environment = dict(line.split("=", 1) for line in found["Env"])
    assert environment["RUST_LOG"] == "info"
    assert environment["HOME"] == "/data"
    assert environment["SSL_CERT_FILE"] == "/own.pem"
    assert found["Labels"] == {"org.opencontainers.image.title": "Users", "team": "a"}
    assert found["StopSignal"] == "SIGINT"
    assert found["User"] == "1000:50"
    assert found["WorkingDir"] == "/srv/users"


@pytest.mark.parametrize(
    ("user", "written", "home"),
    [
        ("nonroot", "65532:65532", "/home/nonroot"),
        ("root", "0:0", "/root"),
        ("0", "0:0", "/root"),
        ("7", "7:7", "/home/app"),
    ],
)
def test_users(user: str, written: str, home: str):
    found = config(ImageSettings(user=user))["config"]
    assert found["User"] == written
    assert f"HOME={home}" in found["Env"]


@pytest.mark.parametrize("signal", ["SIGTERM", "term", "15", "SIGRTMIN+3"])
def test_stop_signals(signal: str):
    assert config(ImageSettings(stop_signal=signal))["config"]["StopSignal"] in {"SIGTERM", "15", "SIGRTMIN+3"}


@pytest.mark.parametrize(
    ("setting", "settings"),
    [
        ("ports", ImageSettings(ports=("0",))),
        ("ports", ImageSettings(ports=("65536",))),
        ("ports", ImageSettings(ports=("http",))),
        ("ports", ImageSettings(ports=("80/icmp",))),
        ("ports", ImageSettings(ports=("80:80",))),
        ("environment", ImageSettings(environment={"A=B": "x"})),
        ("environment", ImageSettings(environment={"": "x"})),
        ("environment", ImageSettings(environment={"1A": "x"})),
        ("environment", ImageSettings(environment={"A": "x\0y"})),
        ("labels", ImageSettings(labels={"": "x"})),
        ("stop_signal", ImageSettings(stop_signal="SIGNOTHING")),
        ("stop_signal", ImageSettings(stop_signal="0")),
        ("stop_signal", ImageSettings(stop_signal="65")),
        ("stop_signal", ImageSettings(stop_signal="")),
        ("user", ImageSettings(user="postgres")),
        ("user", ImageSettings(user="1000:staff")),
        ("user", ImageSettings(user="4294967296")),
        ("user", ImageSettings(user="")),
        ("entrypoint", ImageSettings(entrypoint=("",))),
        ("entrypoint", ImageSettings(entrypoint=("a\0b",))),
        ("arguments", ImageSettings(arguments=("a\0b",))),
        ("working_directory", ImageSettings(working_directory="app")),
        ("working_directory", ImageSettings(working_directory="/")),
        ("working_directory", ImageSettings(working_directory="/app/../etc")),
        ("working_directory", ImageSettings(working_directory="")),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(setting: str, settings: ImageSettings):
    with pytest.raises(BadImageSettings) as refused:
        manifest.plan("users", settings)
    assert refused.value.evidence["setting"] == setting
    assert refused.value.detail.startswith(f"{setting}: ")
    assert refused.value.blame is Blame.REQUEST
    assert refused.value.kind == "bad_image_settings"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_a_binary_is_a_file_name(name: str):
    with pytest.raises(BadImageSettings):
        manifest.plan(name, ImageSettings())


def test_the_order_in_which_settings_are_written_plays_no_part():
    one = ImageSettings(environment={"A": "1", "B": "2"}, labels={"x": "1", "y": "2"})
    other = ImageSettings(environment={"B": "2", "A": "1"}, labels={"y": "2", "x": "1"})
    assert config(one) == config(other)
    assert manifest.config(manifest.plan("u", one), {}, (LAYER,), AMD64) == manifest.config(
        manifest.plan("u", other), {}, (LAYER,), AMD64
    )


def test_the_manifest_names_configuration_and_layer():
    found = json.loads(manifest.manifest(Blob(Digest.of(b"config"), 3), (LAYER,)))
    assert found["config"] == {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": str(Digest.of(b"config")),
        "size": 3,
    }
    (layer,) = found["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    assert layer["digest"] == str(LAYER.digest)
