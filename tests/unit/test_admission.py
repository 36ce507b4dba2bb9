"""Whether a build is pushed: what it asks, what its tags name, and what the daemon does by itself."""

import pytest

from daemon.admission import Pushes, with_push
from daemon.builds import BuildRequest, ImageRequest
from daemon.errors import NotPushable

REMOTE = "registry.example/team/users:1"


def request(*tags: str, push: bool | None = None) -> BuildRequest:
    return BuildRequest(tree="sha256:…", images=(ImageRequest(tags=tags),), push=push)


@pytest.mark.parametrize(
    ("asked", "default", "pushed"),
    [
        (True, Pushes.NOTHING, True),
        (None, Pushes.TAGS_OF_REGISTRIES, True),
        (None, Pushes.NOTHING, False),
        (False, Pushes.TAGS_OF_REGISTRIES, False),
    ],
)
def test_the_request_goes_over_the_daemon_s_default(asked: bool | None, default: Pushes, pushed: bool):  # noqa: FBT001 - a table
    assert with_push(request("users", REMOTE, push=asked), default).push is pushed


def test_a_daemon_that_pushes_leaves_alone_what_has_no_registry():
    assert with_push(request("users"), Pushes.TAGS_OF_REGISTRIES).push is False


@pytest.mark.parametrize("tags", [(), ("users",), ("team/users:1",)])
def test_what_asks_for_a_push_has_to_say_where(tags: tuple[str, ...]):
    with pytest.raises(NotPushable, match=r"registry\.example/"):
        with_push(request(*tags, push=True), Pushes.NOTHING)


def test_a_repository_that_cannot_be_is_refused_before_the_build():
    with pytest.raises(NotPushable, match="Team"):
        with_push(request("registry.example/Team/users", push=True), Pushes.NOTHING)
