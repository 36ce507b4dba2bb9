import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.manifests.errors import BadSettings
from cache.manifests.python.application import Application, LeftOut, find_application


def left(application: Application) -> dict[str, LeftOut]:
    return dict(application.left)


def test_what_runs_is_kept_and_what_is_not_has_a_reason():
    application = find_application(
        {
            "app.py",
            "shop/__init__.py",
            "shop/views.py",
            "shop/templates/index.html",
            "shop/static/app.css",
            "shop/data/README.md",
            "shop/tests/test_views.py",
            "shop/setup.py",
            "alembic.ini",
            "migrations/0001.sql",
            "requirements.txt",
            "pyproject.toml",
            "Dockerfile",
            "README.md",
            "tests/test_app.py",
            ".gitignore",
        }
    )
    assert application.kept == (
        "alembic.ini",
        "app.py",
        "migrations/0001.sql",
        "shop/__init__.py",
        "shop/data/README.md",
        "shop/setup.py",
        "shop/static/app.css",
        "shop/templates/index.html",
        "shop/views.py",
    )
    assert left(application)["tests/test_app.py"] is LeftOut.TEST


@pytest.mark.parametrize(
    ("reason", "paths"),
    [
        (
            LeftOut.MANIFEST,
            "pyproject.toml pylock.toml pylock.prod.toml uv.lock poetry.lock pdm.lock Pipfile Pipfile.lock",
        ),
        (
            LeftOut.MANIFEST,
            "requirements.txt requirements-dev.txt requirements.in requirements/prod.txt constraints.txt",
        ),
        (LeftOut.MANIFEST, "setup.py setup.cfg environment.yml environment.yaml"),
        (
            LeftOut.BUILDING,
            "Dockerfile Dockerfile.prod dockerfile-dev web.Dockerfile Containerfile bloomery.toml Procfile",
        ),
        (
            LeftOut.BUILDING,
            "compose.yaml compose.prod.yml docker-compose.yml docker-compose.override.yml Makefile justfile",
        ),
        (LeftOut.BUILDING, "tox.ini noxfile.py pytest.ini mypy.ini ruff.toml MANIFEST.in mkdocs.yml Jenkinsfile"),
        (LeftOut.BUILDING, "shop.egg-info/PKG-INFO src/shop.egg-info/SOURCES.txt"),
        (LeftOut.HIDDEN, ".env .dockerignore .github/workflows/ci.yml .venv/bin/python shop/.cache/x .python-version"),
        (
            LeftOut.DOCUMENT,
            "README README.rst readme.md CHANGELOG.md CONTRIBUTING.md NOTES.md docs/index.html docs/conf.py",
        ),
        (LeftOut.DOCUMENT, "LICENSE LICENSE.txt LICENSE-MIT license.md LICENCE COPYING AUTHORS"),
        (LeftOut.TEST, "tests/test_app.py tests/data/x.json test/x.py conftest.py test_app.py app_test.py"),
        (LeftOut.TEST, "shop/conftest.py shop/views_test.py shop/tests/__init__.py shop/deep/test/fixture.json"),
        (LeftOut.BYTECODE, "app.pyc app.pyo __pycache__/app.cpython-311.pyc shop/__pycache__/x"),
        (LeftOut.ENVIRONMENT, "env/pyvenv.cfg env/bin/python env/lib/python3.11/site-packages/flask/app.py"),
    ],
)
def test_what_is_left_out_and_why(reason: LeftOut, paths: str):
    application = find_application({*paths.split(), "keep.py"})
    assert application.kept == ("keep.py",)
    assert left(application) == dict.fromkeys(paths.split(), reason)


@pytest.mark.parametrize(
    "path",
    [
        "shop/README.md",
        "shop/Dockerfile",
        "shop/pyproject.toml",
        "shop/requirements.txt",
        "shop/docs/page.html",
        "license.py",
        "readme.py",
        "authors.py",
        "licenses.py",
        "changes.py",
        "compose.py",
        "dockerfile.d/x",
        "requirements.py",
        "requirements/__init__.py",
        "testing/x.py",
        "latest.py",
        "contest.py",
        "my_tests.py",
        "documents/x.txt",
        "setup.json",
        "py.typed",
        "shop/_speedups.so",
    ],
)
def test_what_only_looks_like_it_is_kept(path: str):
    assert find_application({path}).kept == (path,)


def test_files_that_requirements_reach_are_left_out_wherever_they_stand():
    application = find_application({"deploy/prod.txt", "deploy/run.py"}, manifests=["deploy/prod.txt"])
    assert application.kept == ("deploy/run.py",)
    assert left(application) == {"deploy/prod.txt": LeftOut.MANIFEST}


def test_the_application_is_below_the_project_s_directory():
    paths = {"services/web/app.py", "services/web/tests/x.py", "services/website/app.py", "app.py", "tests/x.py"}
    application = find_application(paths, "services/web")
    assert (application.directory, application.kept) == ("services/web", ("services/web/app.py",))
    assert left(application)["services/website/app.py"] is LeftOut.OUTSIDE
    assert left(application)["services/web/tests/x.py"] is LeftOut.TEST


def test_a_directory_below_one_of_tests_is_not_one_itself():
    assert find_application({"tests/app/main.py"}, "tests/app").kept == ("tests/app/main.py",)


def test_a_project_in_a_virtual_environment_is_not_lost():
    assert find_application({"pyvenv.cfg", "app/main.py"}, "app").kept == ("app/main.py",)
    assert "main.py" in find_application({"pyvenv.cfg", "main.py"}).kept


def test_what_is_named_is_the_application_whole():
    paths = {"app.py", "shop/tests/x.py", "shop/.hidden", "shop/x.pyc", "shop/README.md", "shopping/x.py", "other.py"}
    application = find_application(paths, named=["shop", "./app.py"])
    assert application.kept == ("app.py", "shop/.hidden", "shop/README.md", "shop/tests/x.py")
    assert left(application) == {
        "shop/x.pyc": LeftOut.BYTECODE,
        "shopping/x.py": LeftOut.OUTSIDE,
        "other.py": LeftOut.OUTSIDE,
    }


def test_names_are_seen_from_the_directory_and_may_lead_out_of_it():
    application = find_application({"web/app.py", "shared/x.py", "x.py"}, "web", named=[".", "../shared/"])
    assert application.kept == ("shared/x.py", "web/app.py")


@pytest.mark.parametrize("name", ["missing.py", "sho", "../..", "/app.py", "../app.py"])
def test_a_name_of_nothing_is_refused(name: str):
    with pytest.raises(BadSettings, match=r"python\.application") as caught:
        find_application({"app.py", "shop/x.py"}, named=["app.py", name])
    assert caught.value.evidence["value"] == name


@pytest.mark.parametrize(
    ("paths", "directory", "roots"),
    [
        ({"app.py"}, "", ("",)),
        ({"src/shop/__init__.py"}, "", ("", "src")),
        ({"src/shop/views.py"}, "", ("", "src")),
        ({"src/app.py"}, "", ("", "src")),
        ({"web/src/shop/__init__.py"}, "web", ("", "src")),
        ({"web/src/shop/__init__.py"}, "", ("",)),
        ({"src/__init__.py", "src/app.py"}, "", ("",)),
        ({"src/app.js", "app.py"}, "", ("",)),
        ({"src/assets/js/deep/x.py", "app.py"}, "", ("",)),
    ],
)
def test_modules_are_imported_from_the_directory_and_from_src_where_that_holds_some(
    paths: set[str], directory: str, roots: tuple[str, ...]
):
    assert find_application(paths, directory).import_roots == roots


parts = st.sampled_from(
    ["app", "src", "tests", "docs", ".git", "README.md", "x.py", "test_x.py", "pyvenv.cfg", "a.pyc"]
)
trees = st.sets(st.lists(parts, min_size=1, max_size=4).map("/".join), max_size=12)


@given(trees, st.sampled_from(["", "app", "src/app"]))
def test_each_file_is_kept_or_left_out_and_never_both(paths: set[str], directory: str):
    application = find_application(paths, directory)
    assert sorted([*application.kept, *left(application)]) == sorted(paths)
