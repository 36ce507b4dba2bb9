import pytest

from cache.blobs import BlobStore
from cache.manifests.rust.errors import AmbiguousBinary, UnknownBinary
from daemon.builds import ImageRequest, ImageSettings
from daemon.errors import BadTag
from tests.fakes.rust_projects import SIMPLE, crate, lock, locked, planned

TWO = {
    "Cargo.toml": '[workspace]\nmembers = ["a", "b"]\nresolver = "2"\n',
    "Cargo.lock": lock(locked("a", "0.1.0", source=""), locked("b", "0.1.0", source="")),
    "a/Cargo.toml": crate("a", "0.1.0", '[[bin]]\nname = "server"\npath = "src/main.rs"\n'),
    "a/src/main.rs": "fn main() {}\n",
    "b/Cargo.toml": crate("b", "0.1.0"),
    "b/src/main.rs": "fn main() {}\n",
}


def images(
    blobs: BlobStore, *asked: ImageRequest, toml: str = "", files: dict[str, str] = TWO
) -> list[tuple[str, ...]]:
    project = planned(blobs, {**files, "bloomery.toml": toml}, images=asked)
    return [(str(image.binary), *image.tags) for image in project.plan.images]


def test_the_only_binary_needs_no_name(blobs: BlobStore):
    assert images(blobs, ImageRequest(tags=("users",)), files=SIMPLE) == [("app", "users:latest")]


def test_each_image_gets_the_binary_it_names_whatever_the_order(blobs: BlobStore):
    asked = (ImageRequest(binary="b", tags=("b:1",)), ImageRequest(binary="a/server", tags=("s:1", "s:2")))

    assert images(blobs, *asked) == [("b", "b:1"), ("server", "s:1", "s:2")]


def test_one_binary_can_become_two_images(blobs: BlobStore):
    asked = (
        ImageRequest(binary="b", tags=("one",)),
        ImageRequest(binary="b", tags=("two",), settings=ImageSettings(arguments=("--two",))),
    )

    assert images(blobs, *asked) == [("b", "one:latest"), ("b", "two:latest")]


def test_a_request_without_names_makes_what_the_project_names_and_tags_the_first(blobs: BlobStore):
    toml = '[build]\nbinaries = ["server", "b"]\n'

    assert images(blobs, ImageRequest(tags=("x:1",)), toml=toml) == [("server", "x:1"), ("b",)]
    assert images(blobs, toml=toml) == [("server",), ("b",)]


@pytest.mark.parametrize(
    "asked",
    [
        (ImageRequest(), ImageRequest(binary="b")),
        (ImageRequest(binary="b"), ImageRequest(tags=("x",))),
    ],
)
def test_of_several_images_each_has_to_name_its_binary(blobs: BlobStore, asked: tuple[ImageRequest, ...]):
    with pytest.raises(AmbiguousBinary, match="has to name its binary"):
        images(blobs, *asked)


def test_more_images_than_binaries_are_refused(blobs: BlobStore):
    with pytest.raises(AmbiguousBinary):
        images(blobs, ImageRequest(), ImageRequest(), files=SIMPLE)


def test_binaries_of_one_name_in_two_packages_cannot_come_from_one_compile(blobs: BlobStore):
    """Cargo would put both at one path, and the second would be shipped as the first."""
    files = {**TWO, "b/Cargo.toml": crate("b", "0.1.0", '[[bin]]\nname = "server"\npath = "src/main.rs"\n')}

    with pytest.raises(AmbiguousBinary, match="one path"):
        images(blobs, ImageRequest(binary="a/server"), ImageRequest(binary="b/server"), files=files)
    assert images(blobs, ImageRequest(binary="b/server"), files=files) == [("server",)]


def test_a_binary_that_is_not_there_is_refused_with_those_that_are(blobs: BlobStore):
    with pytest.raises(UnknownBinary) as caught:
        images(blobs, ImageRequest(binary="c"))

    assert caught.value.evidence["binaries"] == ["a/server", "b/b"]


@pytest.mark.parametrize(
    ("tag", "whole"),
    [
        ("users", "users:latest"),
        ("users:1.2", "users:1.2"),
        ("registry.example.org:5000/team/users", "registry.example.org:5000/team/users:latest"),
        ("localhost:5000/users:x", "localhost:5000/users:x"),
        ("a__b/c-d.e:_1", "a__b/c-d.e:_1"),
    ],
)
def test_a_tag_is_made_whole(blobs: BlobStore, tag: str, whole: str):
    assert images(blobs, ImageRequest(tags=(tag,)), files=SIMPLE) == [("app", whole)]


@pytest.mark.parametrize(
    "tag", ["", "Users", "users:", "users: 1", "-users", "users@sha256:00", "a" * 300, "a//b", "ü"]
)
def test_a_tag_that_no_engine_would_take_is_refused(blobs: BlobStore, tag: str):
    with pytest.raises(BadTag):
        images(blobs, ImageRequest(tags=(tag,)), files=SIMPLE)


def test_a_tag_is_asked_for_once_even_if_it_is_written_twice(blobs: BlobStore):
    assert images(blobs, ImageRequest(tags=("x", "x:latest")), files=SIMPLE) == [("app", "x:latest")]


def test_a_tag_for_two_images_is_refused(blobs: BlobStore):
    with pytest.raises(BadTag, match="x:latest"):
        images(blobs, ImageRequest(binary="server", tags=("x",)), ImageRequest(binary="b", tags=("x:latest",)))


def test_the_requests_settings_go_over_the_projects_field_by_field(blobs: BlobStore):
    toml = """
[image]
ports = [3000]
user = "1000"
environment = { A = "project", B = "project" }
labels = { one = "1" }
[images.app]
arguments = ["serve"]
"""
    asked = ImageSettings(environment={"B": "request"}, user="2000", labels={"two": "2"})

    plan = planned(blobs, {**SIMPLE, "bloomery.toml": toml}, images=(ImageRequest(settings=asked),)).plan

    assert plan.images[0].settings == ImageSettings(
        arguments=("serve",),
        ports=("3000",),
        user="2000",
        environment={"A": "project", "B": "request"},
        labels={"one": "1", "two": "2"},
    )
