from collections.abc import Mapping

import pytest
from packaging.specifiers import SpecifierSet

from cache.manifests.errors import BadManifest, BadSettings, NoManifest, UnsupportedSetting
from cache.manifests.python.errors import BadRequirements, UnfitPython, UnknownExtra, UnsupportedRequirement
from cache.manifests.python.interpreter import Interpreter
from cache.manifests.python.project import Decider, PythonProject, detects, read_project
from cache.manifests.python.wish import PythonWish
from cache.manifests.settings import ProjectSettings, PythonSettings
from tests.fakes.source_files import InMemoryFiles

PYPROJECT = '[project]\nname = "My.App"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["flask"]\n'
LOCK = 'lock-version = "1.0"\ncreated-by = "test"\npackages = []\n'
UV = "version = 1\n"
WORKSPACE = '[tool.uv.workspace]\nmembers = ["packages/*", "apps/**"]\nexclude = ["packages/old"]\n'
BOOKWORM = Interpreter(version="3.11.2", glibc="2.36")


def read(files: Mapping[str, str], directory: str = "", called: str = "uploaded", **python: object) -> PythonProject:
    settings = ProjectSettings(python=PythonSettings(**python))  # type: ignore[arg-type] # a table's columns
    return read_project(InMemoryFiles(files), directory, settings, called)


def decided(project: PythonProject) -> tuple[Decider, str]:
    return project.decider, project.manifest


EVERYTHING = {"pylock.toml": LOCK, "uv.lock": UV, "requirements.txt": "flask\n", "pyproject.toml": PYPROJECT}


@pytest.mark.parametrize(
    ("without", "decider", "manifest"),
    [
        ((), Decider.PYLOCK, "pylock.toml"),
        (("pylock.toml",), Decider.UV_LOCK, "uv.lock"),
        (("pylock.toml", "uv.lock"), Decider.REQUIREMENTS, "requirements.txt"),
        (("pylock.toml", "uv.lock", "requirements.txt"), Decider.PYPROJECT, "pyproject.toml"),
    ],
)
def test_the_most_exact_file_decides(without: tuple[str, ...], decider: Decider, manifest: str):
    project = read({path: text for path, text in EVERYTHING.items() if path not in without})
    assert decided(project) == (decider, manifest)
    assert project.name == "my-app"
    assert project.inputs[0].path == manifest


@pytest.mark.parametrize(
    ("named", "decider"),
    [
        ("requirements.txt", Decider.REQUIREMENTS),
        ("deploy/prod.txt", Decider.REQUIREMENTS),
        ("deploy/prod.in", Decider.REQUIREMENTS),
        ("pyproject.toml", Decider.PYPROJECT),
        ("deploy/pyproject.toml", Decider.PYPROJECT),
        ("pylock.prod.toml", Decider.PYLOCK),
        ("uv.lock", Decider.UV_LOCK),
    ],
)
def test_what_bloomery_toml_names_goes_over_all(named: str, decider: Decider):
    more = {
        "deploy/prod.txt": "gunicorn\n",
        "deploy/prod.in": "gunicorn\n",
        "deploy/pyproject.toml": PYPROJECT,
        "pylock.prod.toml": LOCK,
    }
    project = read(EVERYTHING | more, requirements=named)
    assert decided(project) == (decider, named)


@pytest.mark.parametrize("named", ["missing.txt", "../requirements.txt", "/requirements.txt", "deploy"])
def test_a_name_of_no_file_is_refused(named: str):
    with pytest.raises(BadSettings, match=r"python\.requirements") as caught:
        read(EVERYTHING | {"deploy/x.txt": ""}, requirements=named)
    assert caught.value.evidence["value"] == named


def test_names_are_seen_from_the_project_s_directory():
    files = {"shared.txt": "flask\n", "services/web/main.py": ""}
    project = read(files, "services/web", requirements="../../shared.txt")
    assert decided(project) == (Decider.REQUIREMENTS, "shared.txt")
    assert project.directory == "services/web"


def test_all_that_a_requirements_file_reaches_goes_into_the_lock():
    files = {
        "requirements.txt": "-r base.txt\n-c limits.txt\n",
        "base.txt": "flask\n",
        "limits.txt": "flask<4\n",
        "x": "",
    }
    project = read(files)
    assert [file.path for file in project.inputs] == ["requirements.txt", "base.txt", "limits.txt"]
    assert not project.hashed


def test_requirements_with_hashes_say_so():
    assert read({"requirements.txt": f"flask==3 --hash=sha256:{'a' * 64}\n"}).hashed


def test_a_project_without_dependencies_is_fine():
    project = read({"requirements.txt": "", "main.py": ""}, called="My Service")
    assert project.requirements is not None
    assert project.requirements.packages == ()
    assert project.name == "my-service"


@pytest.mark.parametrize(
    ("called", "name"), [("Web_App.v2", "web-app-v2"), ("für 2 €", "f-r-2"), ("...", "project"), ("", "project")]
)
def test_a_directory_s_name_becomes_one_that_a_project_may_have(called: str, name: str):
    assert read({"requirements.txt": ""}, called=called).name == name


def test_a_lock_is_read_at_once():
    project = read({"pylock.toml": LOCK})
    assert project.lock is not None
    assert project.lock.select(BOOKWORM) == ()
    with pytest.raises(BadManifest):
        read({"pylock.toml": "lock-version = 1"})


def test_without_any_manifest_it_says_what_was_looked_for_and_where_others_are():
    with pytest.raises(NoManifest, match=r"there are some in web, jobs/nightly: name one") as caught:
        read({"web/requirements.txt": "", "jobs/nightly/pyproject.toml": "", "main.py": ""})
    assert caught.value.evidence["looked_for"] == ["pylock.toml", "uv.lock", "requirements.txt", "pyproject.toml"]
    assert caught.value.evidence["found"] == ["web/requirements.txt", "jobs/nightly/pyproject.toml"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("poetry.lock", "poetry export"),
        ("pdm.lock", "pdm export"),
        ("Pipfile", "write a requirements.txt"),
        ("Pipfile.lock", "pipenv requirements --hash"),
        ("setup.py", r"`\[project\]`"),
        ("environment.yml", "write a requirements.txt"),
        ("main.py", "which may be empty"),
    ],
)
def test_manifests_of_others_come_with_what_to_do(path: str, words: str):
    with pytest.raises(NoManifest, match=words):
        read({f"app/{path}": ""}, "app")


def test_a_pyproject_of_tools_alone_is_no_manifest():
    with pytest.raises(NoManifest, match="has no `\\[project\\]`: write one"):
        read({"pyproject.toml": "[tool.poetry]\nname = 'x'\n"})


def test_a_directory_outside_of_the_tree_has_no_manifest():
    with pytest.raises(NoManifest):
        read(EVERYTHING, "../elsewhere")


@pytest.mark.parametrize("key", ["dependencies", "optional-dependencies"])
def test_dependencies_that_only_code_could_tell_are_refused(key: str):
    text = f'[project]\nname = "a"\nversion = "1"\ndynamic = ["{key}"]\n'
    with pytest.raises(UnsupportedRequirement, match=f"`{key}` is dynamic"):
        read({"pyproject.toml": text})
    assert read({"pyproject.toml": text, "requirements.txt": ""}).decider is Decider.REQUIREMENTS


@pytest.mark.parametrize("url", ["git+https://git.example/x", "file:///srv/x", "../x"])
def test_dependencies_of_a_pyproject_come_as_files(url: str):
    text = f'[project]\nname = "a"\nversion = "1"\ndependencies = ["x @ {url}"]\n'
    with pytest.raises(UnsupportedRequirement, match="no repositories and no paths") as caught:
        read({"pyproject.toml": text})
    assert caught.value.evidence["text"] == f"x @ {url}"


def test_a_refused_dependency_keeps_its_password_to_itself():
    text = '[project]\nname = "a"\nversion = "1"\ndependencies = ["x @ git+https://me:secret@git.example/x"]\n'
    with pytest.raises(UnsupportedRequirement) as caught:
        read({"pyproject.toml": text})
    assert "secret" not in f"{caught.value.detail} {caught.value.evidence}"


def test_extras_and_groups_that_are_asked_for_are_held_to_the_same():
    text = PYPROJECT + 'optional-dependencies.fast = ["x @ git+https://git.example/x"]\n'
    assert read({"pyproject.toml": text}).extras == ()
    with pytest.raises(UnsupportedRequirement):
        read({"pyproject.toml": text}, extras=("fast",))
    text = PYPROJECT + '[dependency-groups]\ndeploy = ["x @ git+https://git.example/x"]\n'
    with pytest.raises(UnsupportedRequirement):
        read({"pyproject.toml": text}, groups=("deploy",))


def test_a_named_pyproject_without_a_project_is_refused():
    with pytest.raises(BadManifest, match="no `\\[project\\]`"):
        read({"deploy/pyproject.toml": "", "requirements.txt": ""}, requirements="deploy/pyproject.toml")


def test_errors_of_the_file_that_decides_are_its_own():
    with pytest.raises(BadRequirements):
        read({"requirements.txt": "="})
    with pytest.raises(BadManifest):
        read({"requirements.txt": "", "pyproject.toml": "[project]"})


EXTRAS = PYPROJECT + 'optional-dependencies.fast_json = ["orjson"]\n[dependency-groups]\nDeploy = ["gunicorn"]\n'


def test_extras_and_groups_are_known_to_the_pyproject():
    project = read({"pyproject.toml": EXTRAS}, extras=("Fast.Json",), groups=("deploy", "deploy"))
    assert (project.extras, project.groups) == (("fast-json",), ("deploy",))


@pytest.mark.parametrize(
    ("files", "python", "words"),
    [
        ({"pyproject.toml": EXTRAS}, {"extras": ("slow",)}, "pyproject.toml has fast-json"),
        ({"pyproject.toml": EXTRAS}, {"groups": ("test",)}, "pyproject.toml has deploy"),
        ({"pyproject.toml": EXTRAS, "uv.lock": UV}, {"groups": ("test",)}, "uv.lock has deploy"),
        ({"pyproject.toml": EXTRAS, "requirements.txt": ""}, {"extras": ("fast-json",)}, "requirements.txt has none"),
        ({"pylock.toml": LOCK + 'extras = ["a"]'}, {"extras": ("b",)}, "pylock.toml has a"),
    ],
)
def test_what_the_deciding_file_does_not_offer_cannot_be_asked_for(
    files: Mapping[str, str], python: dict[str, object], words: str
):
    with pytest.raises(UnknownExtra, match=words):
        read(files, **python)


def test_a_lock_of_uv_goes_with_its_pyproject():
    assert [file.path for file in read({"pyproject.toml": PYPROJECT, "uv.lock": UV}).inputs] == [
        "uv.lock",
        "pyproject.toml",
    ]


@pytest.mark.parametrize("directory", ["packages/web", "apps/deep/down"])
def test_a_member_of_a_uv_workspace_is_locked_at_its_root(directory: str):
    files = {
        "uv.lock": UV,
        "pyproject.toml": WORKSPACE,
        f"{directory}/pyproject.toml": PYPROJECT,
        f"{directory}/requirements.txt": "flask\n",
        "packages/lib/pyproject.toml": PYPROJECT,
        "packages/old/pyproject.toml": PYPROJECT,
        "packages/lib/tests/pyproject.toml": PYPROJECT,
        "elsewhere/pyproject.toml": PYPROJECT,
    }
    project = read(files, directory)
    assert decided(project) == (Decider.UV_LOCK, "uv.lock")
    assert [file.path for file in project.inputs] == [
        "uv.lock",
        "pyproject.toml",
        f"{directory}/pyproject.toml",
        "packages/lib/pyproject.toml",
    ]


@pytest.mark.parametrize("directory", ["packages/old", "elsewhere", "packages/lib/deeper", "packagesx"])
def test_a_lock_above_is_not_that_of_a_directory_which_is_no_member(directory: str):
    files = {"uv.lock": UV, "pyproject.toml": WORKSPACE, f"{directory}/pyproject.toml": PYPROJECT}
    assert decided(read(files, directory)) == (Decider.PYPROJECT, f"{directory}/pyproject.toml")


def test_a_lock_of_uv_without_a_pyproject_beside_it_is_nobody_s():
    assert decided(read({"uv.lock": UV, "requirements.txt": ""})) == (Decider.REQUIREMENTS, "requirements.txt")
    with pytest.raises(NoManifest):
        read({"uv.lock": UV})


@pytest.mark.parametrize("members", ["members = 'packages/*'", "members = [1]", "members = true"])
def test_a_workspace_that_says_nothing_sensible_is_refused(members: str):
    files = {"uv.lock": UV, "pyproject.toml": f"[tool.uv.workspace]\n{members}\n", "a/pyproject.toml": PYPROJECT}
    with pytest.raises(BadManifest, match=r"tool\.uv\.workspace\.members"):
        read(files, "a")


@pytest.mark.parametrize(
    ("files", "directory", "found"),
    [
        ({"requirements.txt": ""}, "", True),
        ({"app/pylock.toml": ""}, "app", True),
        ({"app/uv.lock": ""}, "app", True),
        ({"pyproject.toml": PYPROJECT}, "", True),
        ({"pyproject.toml": "[tool.ruff]"}, "", False),
        ({"pyproject.toml": "[broken"}, "", True),
        ({"app/requirements.txt": ""}, "", False),
        ({"requirements.txt": ""}, "app", False),
        ({"Cargo.toml": "", "main.py": ""}, "", False),
    ],
)
def test_what_looks_like_a_python_project(files: Mapping[str, str], directory: str, found: bool):  # noqa: FBT001 - a column
    assert detects(InMemoryFiles(files), directory) is found


NEEDS = {"requirements.txt": ""}


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("3.11\n", "3.11"),
        ("3.11.9", "3.11"),
        ("# ours\n\n  3.12  \n3.11\n", "3.12"),
        ("cpython-3.13.1", "3.13"),
        ("cpython@3.10", "3.10"),
        ("python3.11", "3.11"),
        ("3.14-dev", "3.14"),
        ("cpython-3.12.3-linux-x86_64-gnu", "3.12"),
        ("", None),
        ("# nothing\n", None),
    ],
)
def test_python_version_is_wished_for(text: str, minor: str | None):
    wish = read(NEEDS | {".python-version": text}).wish
    assert (wish.minor, wish.said_in) == (minor, ".python-version" if minor else "")


@pytest.mark.parametrize("text", ["pypy3.10-7.3.12", "2.7.18", "system", "3", "graalpy-23", "3.11.2.7", "3.11 3.12"])
def test_a_python_that_is_not_offered_is_refused(text: str):
    with pytest.raises(UnsupportedSetting, match="is no version of CPython 3") as caught:
        read(NEEDS | {".python-version": text})
    assert caught.value.evidence["file"] == ".python-version"
    assert read(NEEDS | {".python-version": text}, version="3.11").wish.minor == "3.11"


def test_the_nearest_python_version_counts_and_bloomery_toml_goes_over_it():
    files = {"a/b/requirements.txt": "", "a/.python-version": "3.12", ".python-version": "3.10"}
    assert read(files, "a/b").wish.said_in == "a/.python-version"
    wish = read(files, "a/b", version="3.13").wish
    assert (wish.minor, wish.said_in) == ("3.13", "bloomery.toml")


def test_requires_python_counts_whatever_decides():
    wish = read({"pyproject.toml": PYPROJECT, "requirements.txt": ""}).wish
    assert (wish.minor, str(wish.requires), wish.required_in) == (None, ">=3.11", "pyproject.toml")
    assert read(NEEDS).wish == PythonWish()


@pytest.mark.parametrize(
    ("wish", "fits"),
    [
        (PythonWish(), True),
        (PythonWish(minor="3.11", said_in="x"), True),
        (PythonWish(minor="3.12", said_in="x"), False),
        (PythonWish(requires=SpecifierSet(">=3.11"), required_in="x"), True),
        (PythonWish(requires=SpecifierSet(">=3.12"), required_in="x"), False),
        (PythonWish(minor="3.11", requires=SpecifierSet(">=3.11.4"), said_in="y", required_in="x"), False),
    ],
)
def test_an_interpreter_fits_what_is_wished_or_it_is_said_which_file_wants_another(
    wish: PythonWish,
    fits: bool,  # noqa: FBT001 - a column
):
    assert wish.fits(BOOKWORM) is fits
    if fits:
        wish.require(BOOKWORM)
        return
    with pytest.raises(UnfitPython, match="x is for Python") as caught:
        wish.require(BOOKWORM)
    assert (caught.value.evidence["file"], caught.value.evidence["python"]) == ("x", "3.11.2")
