import pytest
from packaging.version import Version

from cache.manifests.errors import BadManifest
from cache.manifests.python.pyproject import BuildSystem, Pyproject, read_pyproject
from tests.fakes.source_files import InMemoryFiles

WHOLE = """\
[project]
name = "My.App"
version = "1.2.0rc1"
requires-python = ">=3.11,<4"
dependencies = ["flask>=3", 'tomli; python_version < "3.11"']
optional-dependencies = { Fast_Json = ["orjson"], none = [] }

[project.scripts]
app = "my.app:main"

[project.gui-scripts]
window = "my.window:main"

[project.entry-points."my.plugins"]
one = "my.plugins.one"

[dependency-groups]
test = ["pytest", { include-group = "Lint_Tools" }]
lint-tools = ["ruff"]

[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"
"""


def read(text: str, path: str = "pyproject.toml") -> Pyproject:
    return read_pyproject(InMemoryFiles({path: text}), path)


def test_a_whole_pyproject():
    pyproject = read(WHOLE, "services/app/pyproject.toml")
    project = pyproject.project
    assert project is not None
    assert pyproject.directory == "services/app"
    assert (project.name, project.version, str(project.requires_python)) == ("My.App", Version("1.2.0rc1"), "<4,>=3.11")
    assert list(map(str, project.dependencies)) == ["flask>=3", 'tomli; python_version < "3.11"']
    assert {name: list(map(str, extra)) for name, extra in project.optional_dependencies.items()} == {
        "fast-json": ["orjson"],
        "none": [],
    }
    assert project.scripts == {"app": "my.app:main"}
    assert project.gui_scripts == {"window": "my.window:main"}
    assert project.entry_points == {"my.plugins": {"one": "my.plugins.one"}}
    assert {name: list(map(str, group)) for name, group in pyproject.groups.items()} == {
        "test": ["pytest", "ruff"],
        "lint-tools": ["ruff"],
    }
    assert pyproject.build_system is not None
    assert (pyproject.build_system.backend, str(pyproject.build_system.requires[0])) == (
        "hatchling.build",
        "hatchling>=1.27",
    )


def test_a_pyproject_of_tools_alone_has_no_project():
    pyproject = read("[tool.ruff]\nline-length = 120\n")
    assert (pyproject.project, pyproject.build_system, pyproject.groups) == (None, None, {})


def test_a_dynamic_version_is_none():
    project = read('[project]\nname = "a"\ndynamic = ["version", "readme"]\n').project
    assert project is not None
    assert project.version is None
    assert project.dynamic == {"version", "readme"}


def test_a_build_system_may_name_no_backend():
    assert read('[build-system]\nrequires = []\n[project]\nname = "a"\nversion = "1"').build_system == BuildSystem()


HEAD = '[project]\nname = "a"\nversion = "1"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[project", "line 1"),
        (f"project = {'1' * 5000}", "an integer has too many digits"),
        ("project = 1", r"integer `1`, expected a table \(in `project`\)"),
        ('[project]\nversion = "1"', "missing field `name`"),
        ('[project]\nname = "a b"\nversion = "1"', "`a b` is no name of a project"),
        ('[project]\nname = ""\nversion = "1"', "is no name of a project"),
        ('[project]\nname = "a\\nb"\nversion = "1"', "is no name of a project"),
        ('[project]\nname = 1\nversion = "1"', r"expected a string \(in `project.name`\)"),
        ('[project]\nname = "a"', "missing field `version`"),
        ('[project]\nname = "a"\nversion = "one"', r"`one` is no version \(in `project.version`\)"),
        (f'[project]\nname = "a"\nversion = "{"1" * 5000}"', "is no version"),
        (HEAD + 'dynamic = ["version"]', "`version` is both given and dynamic"),
        (HEAD + "dynamic = true", "expected a list of strings"),
        (HEAD + 'requires-python = "three"', "`three` is no version specifier"),
        (HEAD + f'requires-python = ">={"1" * 5000}"', "is no version specifier"),
        (HEAD + 'dependencies = "flask"', r"expected a list of strings \(in `project.dependencies`\)"),
        (HEAD + 'dependencies = ["flask = 1"]', "`flask = 1` is no requirement"),
        (HEAD + f'dependencies = ["a; {"(" * 5000}x{")" * 5000}"]', "nested too deeply"),
        (HEAD + 'optional-dependencies = { x = "flask" }', r"in `project.optional-dependencies.x`"),
        (HEAD + "optional-dependencies = { a_b = [], a-b = [] }", "the extra `a-b` is there twice"),
        (HEAD + "scripts = { a = 1 }", r"expected a string \(in `project.scripts.a`\)"),
        (HEAD + 'scripts = ["a"]', "expected a table"),
        (HEAD + 'entry-points = { x = "y" }', r"expected a table \(in `project.entry-points.x`\)"),
        ('[dependency-groups]\na = "flask"', "string rather than a list"),
        ('[dependency-groups]\na = ["= 1"]', "dependency-groups"),
        ('[dependency-groups]\na = [{ include-group = "b" }]', "'b' not found"),
        ('[dependency-groups]\na = [{ include = "b" }]', "Invalid dependency group item"),
        ('[dependency-groups]\na = [{ include-group = "a" }]', "[Cc]ycl"),
        ("[dependency-groups]\na_b = []\na-b = []", "Duplicate dependency group names"),
        ("dependency-groups = []", "expected a table"),
        ("[build-system]\nrequires = [1]", "expected a list of strings"),
        ('[build-system]\nbuild-backend = ["x"]', "expected a string"),
    ],
)
def test_what_the_specification_forbids_is_refused_by_file_and_field(text: str, words: str):
    with pytest.raises(BadManifest, match=words) as caught:
        read(text, "app/pyproject.toml")
    assert caught.value.evidence["file"] == "app/pyproject.toml"


def test_groups_that_include_each_other_without_end_are_refused_not_crashed_on():
    chain = "".join(f'g{number} = [{{ include-group = "g{number + 1}" }}]\n' for number in range(3000))
    with pytest.raises(BadManifest, match="nested too deeply"):
        read(f"[dependency-groups]\n{chain}g3000 = []\n")
