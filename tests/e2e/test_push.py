"""An image that leaves the machine: pushed by the daemon, pulled by the engine, and the same one."""

from pathlib import Path

import pytest

from tests.e2e.service import Service
from tests.fakes.crates import Files, lock, manifest, printing
from tests.fakes.debian_registry import debian_registry
from tests.fakes.docker import docker, run

pytestmark = pytest.mark.engine

NAME = "bloomery-e2e-push"
SOURCES: Files = {"Cargo.toml": manifest(NAME), "Cargo.lock": lock({NAME: []}), "src/main.rs": printing("pushed")}


def test_what_is_pulled_by_digest_is_what_was_loaded(service: Service, tmp_path: Path):
    with debian_registry(tmp_path) as host:
        tag = f"{host}/team/{NAME}:1"
        service.build(SOURCES)
        built = service.build(SOURCES, tag=tag, push="true")
        (image,) = built["outcome"]["images"]
        assert image["pushed"] == [f"{host}/team/{NAME}@{image['digest']}"]

        docker("rmi", "--force", image["image_id"])
        docker("pull", "--quiet", image["pushed"][0])

        try:
            assert docker("image", "inspect", "--format", "{{.Id}}", image["pushed"][0]) == image["image_id"]
            assert run(image["pushed"][0]) == "pushed"
        finally:
            docker("rmi", "--force", image["image_id"])


def test_a_registry_that_is_not_there_fails_the_build_and_tags_nothing(service: Service):
    tag = "127.0.0.1:9/team/app:1"

    failure = service.ended(service.accept(SOURCES, tag=tag, push="true")["id"])["failure"]

    assert failure["kind"] == "push_failed"
    assert not docker("images", "--quiet", tag)


def test_a_push_to_nowhere_is_refused_at_once(service: Service):
    answer = service.post(SOURCES, tag="app:1", push="true")

    assert (answer.status, answer.json["kind"]) == (422, "not_pushable")
