"""What a resolved Compose file says of builds."""

from typing import Any

import pytest

from api.client.compose_file import BadComposeFile, ServiceBuild, builds_of, chosen, require_known


def document(**services: Any) -> dict[str, Any]:
    return {"services": services}


def test_services_with_a_build_are_built_under_the_name_that_compose_expects():
    found = builds_of(
        document(
            users={"build": "/src/users"},
            mails={"build": {"context": "/src/mails"}, "image": "shop/mails:2"},
            database={"image": "postgres"},
        ),
        "shop-{service}",
    )

    assert [(each.service, each.context, each.tag) for each in found] == [
        ("users", "/src/users", "shop-users"),
        ("mails", "/src/mails", "shop/mails:2"),
    ]


def test_what_x_bloomery_says_becomes_options_of_build():
    choices = {"binary": "api", "directory": "services/api", "features": ["tls", "metrics"], "link": "static"}

    (found,) = builds_of(document(users={"build": "/src", "x-bloomery": choices}), "{service}")

    assert found.options == ("--bin=api", "--directory=services/api", "--features=tls,metrics", "--link=static")


@pytest.mark.parametrize("labels", [{"team": "shop", "level": 3}, ["team=shop", "level=3"]])
def test_labels_of_a_build_are_the_image_s(labels: Any):
    (found,) = builds_of(document(users={"build": {"context": "/src", "labels": labels}}), "{service}")

    assert found.labels == {"team": "shop", "level": "3"}


def test_what_only_a_dockerfile_understands_is_named():
    build = {"context": "/src", "dockerfile": "Dockerfile.dev", "args": {"A": "b"}, "target": "dev"}

    (found,) = builds_of(document(users={"build": build}), "{service}")

    assert found == ServiceBuild("users", "/src", "users", unused=("args", "target"))


@pytest.mark.parametrize("context", ["https://git.example/shop.git", "git@git.example:shop.git", ""])
def test_a_context_that_is_elsewhere_is_refused_with_the_path(context: str):
    with pytest.raises(BadComposeFile, match=r"services\.users\.build\.context"):
        builds_of(document(users={"build": {"context": context}}), "{service}")


@pytest.mark.parametrize(
    ("choices", "path"),
    [
        ({"binray": "api"}, r"services\.users\.x-bloomery\.binray is not known; there are binary"),
        ({"binary": 3}, r"services\.users\.x-bloomery\.binary = 3: expected a text"),
        (["binary"], r"services\.users\.x-bloomery is no mapping"),
    ],
)
def test_a_bad_choice_is_refused_with_its_path(choices: Any, path: str):
    with pytest.raises(BadComposeFile, match=path):
        builds_of(document(users={"build": "/src", "x-bloomery": choices}), "{service}")


@pytest.mark.parametrize("depends", [["database"], {"database": {"condition": "service_healthy"}}])
def test_what_is_named_comes_with_what_it_depends_on(depends: Any):
    services = document(users={"depends_on": depends}, database={"depends_on": []}, router={})

    assert chosen(services, ["-d", "users"]) == {"users", "database"}
    assert chosen(services, ["-d"]) == {"users", "database", "router"}


def test_a_service_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(BadComposeFile, match="there is no service 'user'; there are users, router"):
        require_known(["user"], document(users={}, router={}))
