"""The application as an image has it: what of the tree is shipped, and its own installation, made without a run."""

import pytest

from cache.blobs import BlobStore
from cache.manifests.errors import BadSettings
from cache.manifests.python.errors import CompiledProject, NoEntrypoint
from daemon.builds import ImageRequest, ImageSettings
from daemon.ecosystems.application import Application, WrittenFile
from tests.fakes.python_projects import APPLE, PROGRAM, SITE, planned_python, project
from tests.fakes.rust_projects import Files

PACKAGED: Files = project(
    APPLE,
    files={
        "pyproject.toml": (
            '[project]\nname = "Web.Shop"\nversion = "1.2"\nrequires-python = ">=3.11"\n'
            '[project.scripts]\nshop = "shop.cli:Main.run"\n[project.entry-points.shop]\none = "shop.one"\n'
        ),
        "src/shop/__init__.py": "",
        "src/shop/cli.py": "",
    },
)


def application(blobs: BlobStore, files: Files, **request: object) -> Application:
    return planned_python(blobs, files, **request).application


def written(found: Application) -> dict[str, WrittenFile]:
    return {file.path: file for file in found.written}


def test_what_runs_is_shipped_and_what_it_is_made_of_is_not(blobs: BlobStore):
    more = {"README.md": "", "tests/test_app.py": "", "templates/a.html": "a", ".env": "secret"}

    found = application(blobs, project(APPLE, files=more))

    assert found.files == ("app.py", "templates/a.html")
    assert (found.name, found.directory, found.entrypoint) == ("app", "", ("python", "app.py"))


def test_its_modules_are_found_from_wherever_python_is_started(blobs: BlobStore):
    plain, packaged = application(blobs, project(APPLE)), application(blobs, PACKAGED)

    assert written(plain)[f"{SITE}/app.pth"].content == b"/app\n"
    assert written(packaged)[f"{SITE}/web-shop.pth"].content == b"/app\n/app/src\n"


def test_another_working_directory_is_where_its_modules_are(blobs: BlobStore):
    settings = ImageSettings(working_directory="/srv")

    found = application(blobs, PACKAGED, images=(ImageRequest(settings=settings),))

    assert written(found)[f"{SITE}/web-shop.pth"].content == b"/srv\n/srv/src\n"


def test_it_is_installed_where_it_lies_so_that_its_metadata_are_found(blobs: BlobStore):
    found = written(application(blobs, PACKAGED))

    info = f"{SITE}/web_shop-1.2.dist-info"
    assert found[f"{info}/METADATA"].content == (
        b"Metadata-Version: 2.1\nName: Web.Shop\nVersion: 1.2\nRequires-Python: >=3.11\n"
    )
    assert found[f"{info}/entry_points.txt"].content == (
        b"[console_scripts]\nshop = shop.cli:Main.run\n\n[shop]\none = shop.one\n"
    )
    assert found[f"{info}/INSTALLER"].content == b"bloomery\n"
    assert {file.reason for path, file in found.items() if path.startswith(info)} == {"its own installation"}


def test_its_console_scripts_are_programs(blobs: BlobStore):
    found = written(application(blobs, PACKAGED))

    assert [path for path, file in found.items() if file.executable] == ["/env/bin/shop"]
    assert found["/env/bin/shop"].content == (
        b"#!/env/bin/python\nimport sys\n\nfrom shop.cli import Main\n\nsys.exit(Main.run())\n"
    )


def test_a_project_without_entry_points_has_no_file_of_them_and_one_without_metadata_is_not_installed(
    blobs: BlobStore,
):
    bare = {"pyproject.toml": '[project]\nname = "app"\nversion = "1"\n'}

    assert {path.rpartition("/")[2] for path in written(application(blobs, project(APPLE, files=bare)))} == {
        *("app.pth", "METADATA", "INSTALLER")
    }
    assert [*written(application(blobs, project(APPLE)))] == [f"{SITE}/app.pth"]


def test_programs_of_the_environment_come_before_all_others_and_what_is_printed_is_seen(blobs: BlobStore):
    found = application(blobs, project(APPLE))

    assert found.environment == {
        "PATH": "/env/bin:/app:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONUNBUFFERED": "1",
    }


def test_of_a_directory_of_the_tree_the_application_is_below_it(blobs: BlobStore):
    files = {f"services/users/{path}": text for path, text in PACKAGED.items()}
    found = application(blobs, {**files, "other.py": ""}, directory="services/users")

    assert found.directory == "services/users"
    assert found.files == (
        "services/users/app.py",
        "services/users/src/shop/__init__.py",
        "services/users/src/shop/cli.py",
    )
    assert written(found)[f"{SITE}/web-shop.pth"].content == b"/app\n/app/src\n"


def test_what_the_settings_name_is_taken_instead(blobs: BlobStore):
    files = project(APPLE, files={"bloomery.toml": '[python]\napplication = ["app.py"]\n', "other.py": ""})

    assert application(blobs, files).files == ("app.py",)
    wrong = {**files, "bloomery.toml": '[python]\napplication = ["gone"]\n'}
    with pytest.raises(BadSettings):
        application(blobs, wrong)


def test_the_application_is_titled_as_the_build_is_named(blobs: BlobStore):
    assert application(blobs, PACKAGED, project="asked").name == "asked"
    assert f"{SITE}/web-shop.pth" in written(application(blobs, PACKAGED, project="asked"))


def test_what_cannot_be_an_application_is_refused(blobs: BlobStore):
    compiled = {"pyproject.toml": '[build-system]\nrequires = ["cython"]\n[project]\nname = "a"\nversion = "1"\n'}

    with pytest.raises(CompiledProject):
        application(blobs, project(APPLE, files=compiled))
    with pytest.raises(NoEntrypoint):
        application(blobs, {"requirements.txt": "", "words.py": str(PROGRAM["app.py"])})
