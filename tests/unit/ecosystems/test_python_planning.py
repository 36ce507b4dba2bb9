"""How a Python project is planned: its keys and what changes them, lock, toolchain, its one image, its notes."""

from dataclasses import replace

import pytest

from cache.blobs import BlobStore
from cache.manifests.errors import BadSettings
from cache.manifests.python.errors import HashMismatch, NoWheel, UnfitPython, UnknownExtra
from cache.manifests.rust.errors import UnknownBinary
from daemon.builds import ImageRequest, ImageSettings, Link
from daemon.ecosystems.ecosystem import CompiledProject, InstalledProject
from daemon.ecosystems.planned import Grain, Plan
from daemon.ecosystems.python.ecosystem import PythonEcosystem
from daemon.errors import BadTag, NoFittingPython, NoToolchain, ToolchainWithoutPython, UnknownToolchain
from daemon.toolchains.toolchain import PythonFacts
from tests.fakes.progress import Heard
from tests.fakes.python_packages import wheel
from tests.fakes.python_projects import (
    APPLE,
    BERRY,
    CHERRY,
    PROGRAM,
    PYTHON,
    SIMPLE,
    TOOL,
    built_with,
    planned_python,
    project,
    pylock,
    python_toolchain,
)
from tests.fakes.rust_projects import Files, stable
from tests.fakes.source_files import InMemoryFiles

UNLOCKED: Files = {**PROGRAM, "requirements.txt": "apple\n"}
PINNED: Files = {**UNLOCKED, "requirements.txt": f"apple==1.0 --hash=sha256:{APPLE.sha256}\n"}
QUINCE = built_with("tool")
NEWER = PythonFacts(version="3.13.5", executable="/usr/bin/python3.13", library="/usr/lib/python3.13", uv="0.13.9")


def settled(text: str, files: Files = SIMPLE) -> Files:
    """The project with a `bloomery.toml`."""
    return {**files, "bloomery.toml": text}


def labels(before: Plan, after: Plan) -> tuple[set[str], set[str]]:
    """The labels of what differs in the exact key, and of what differs in the result key alone."""
    exact = {one.label for one in before.exact.differences(after.exact)}
    result = {one.label for one in before.result.differences(after.result)}
    assert exact <= result
    assert bool(exact) == (before.exact.digest != after.exact.digest)
    assert bool(result) == (before.result.digest != after.result.digest)
    return exact, result - exact


# --- what is planned


def test_a_locked_project_is_planned_by_what_its_lock_names(blobs: BlobStore):
    found = planned_python(blobs)

    plan = found.plan
    assert (plan.ecosystem, plan.project, plan.grain, plan.link) == ("python", "app", Grain.PACKAGES, Link.DYNAMIC)
    assert plan.dependencies == 2
    assert plan.packages is not None
    assert [name.partition(" ")[0] for name in plan.packages.names] == ["apple", "berry"]
    assert plan.packages.key == plan.packages.parts.digest
    assert plan.notes == ()
    assert found.fetching.lock_key() is None
    assert isinstance(found, InstalledProject)
    assert not isinstance(found, CompiledProject)


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["requirements.txt"], True),
        (["pylock.toml"], True),
        (["uv.lock"], True),
        (["pyproject.toml"], True),
        (["setup.py"], False),
        (["service/requirements.txt"], False),
    ],
)
def test_requirements_a_project_or_a_lock_make_a_python_project(paths: list[str], found: bool):  # noqa: FBT001 - a table's column
    files = InMemoryFiles(dict.fromkeys(paths, '[project]\nname = "app"\n'))

    assert PythonEcosystem({}).detects(files, "") is found
    assert PythonEcosystem({}).name == "python"


def test_the_project_is_called_as_its_settings_its_metadata_its_directory_or_the_request_have_it(blobs: BlobStore):
    metadata = {**SIMPLE, "pyproject.toml": '[project]\nname = "Web_Shop"\nversion = "1"\n'}
    below = {f"services/users/{path}": text for path, text in SIMPLE.items()}

    assert planned_python(blobs, project="asked", files=settled('[project]\nname = "said"\n')).plan.project == "asked"
    assert planned_python(blobs, settled('[project]\nname = "said"\n', metadata)).plan.project == "said"
    assert planned_python(blobs, metadata).plan.project == "web-shop"
    assert planned_python(blobs, below, directory="services/users").plan.project == "users"
    assert planned_python(blobs).plan.project == "app"


# --- keys


@pytest.mark.parametrize(
    ("change", "exact"),
    [
        ({"scope": "team"}, {"scope"}),
        ({"offered": [python_toolchain("sha256:" + "1" * 64)]}, {"toolchain image"}),
        ({"offered": [python_toolchain(python=NEWER)]}, {"python", "UV_PYTHON"}),
        ({"offered": [python_toolchain(python=replace(PYTHON, uv="0.14.0"))]}, {"uv"}),
    ],
)
def test_what_an_installed_package_depends_on_changes_the_unit_key(
    blobs: BlobStore, change: dict[str, object], exact: set[str]
):
    before, after = planned_python(blobs).plan, planned_python(blobs, **change).plan

    assert labels(before, after) == (exact, set())
    assert before.packages is not None
    assert after.packages is not None
    assert before.packages.key != after.packages.key


@pytest.mark.parametrize(
    ("files", "exact", "result"),
    [
        (project(APPLE, BERRY, CHERRY), {"packages"}, {"source tree"}),
        (project(APPLE, wheel("berry", "1.1")), {"packages"}, {"source tree"}),
        (project(APPLE, wheel("berry", files={"berry.py": "other"})), {"packages"}, {"source tree"}),
        ({**SIMPLE, "app.py": "import berry\n"}, set(), {"source tree"}),
        (settled("[image]\nports = [8000]\n"), set(), {"source tree", "image settings"}),
        (settled('[check]\ncommand = ["python", "-V"]\n'), set(), {"source tree", "check command"}),
    ],
)
def test_what_an_environment_is_made_of_changes_the_exact_key_and_all_else_the_result_alone(
    blobs: BlobStore, files: Files, exact: set[str], result: set[str]
):
    before, after = planned_python(blobs).plan, planned_python(blobs, files).plan

    assert labels(before, after) == (exact, result)
    assert before.packages is not None
    assert after.packages is not None
    assert before.packages.key == after.packages.key


def test_of_another_directory_of_the_same_tree_the_image_is_another(blobs: BlobStore):
    files = {f"{place}/{path}": text for place in ("one", "two") for path, text in SIMPLE.items()}
    before = planned_python(blobs, files, directory="one", project="app").plan
    after = planned_python(blobs, files, directory="two", project="app").plan

    assert labels(before, after) == (set(), {"directory"})


def test_a_tag_changes_no_key_and_a_setting_of_the_request_does(blobs: BlobStore):
    before = planned_python(blobs).plan

    tagged = planned_python(blobs, images=(ImageRequest(tags=("users:1",)),)).plan
    asked = planned_python(blobs, images=(ImageRequest(settings=ImageSettings(user="root")),)).plan
    checked = planned_python(blobs, check=("python", "-V")).plan

    assert labels(before, tagged) == (set(), set())
    assert tagged.images[0].tags == ("users:1",)
    assert labels(before, asked) == (set(), {"image settings"})
    assert labels(before, checked) == (set(), {"check command"})
    assert checked.check == ("python", "-V")


def test_what_an_sdist_is_built_with_is_in_the_exact_key_and_only_where_there_is_an_sdist(blobs: BlobStore):
    other = wheel("tool", "1.1")
    built = planned_python(blobs, project(APPLE, QUINCE, building=(TOOL,))).plan
    built_otherwise = planned_python(blobs, project(APPLE, QUINCE, building=(other,))).plan
    wheels = planned_python(blobs, project(APPLE, building=(TOOL,))).plan
    wheels_otherwise = planned_python(blobs, project(APPLE, building=(other,))).plan

    assert labels(built, built_otherwise) == ({"built with"}, {"source tree"})
    assert labels(wheels, wheels_otherwise) == (set(), {"source tree"})


def test_nothing_is_built_of_the_order_in_which_a_lock_names_packages(blobs: BlobStore):
    assert labels(planned_python(blobs).plan, planned_python(blobs, project(BERRY, APPLE)).plan) == (
        set(),
        {"source tree"},
    )


# --- locks


def test_without_a_lock_nothing_is_wanted_and_one_is_asked_for(blobs: BlobStore):
    found = planned_python(blobs, UNLOCKED)

    assert found.fetching.lock_key() is not None
    assert found.plan.dependencies == 0
    assert found.lacking(found.plan.packages.names) == ()


def test_with_a_made_lock_its_packages_are_wanted_and_it_is_said(blobs: BlobStore):
    found = planned_python(blobs, UNLOCKED, made_lock=pylock(APPLE))

    assert found.fetching.lock_key() is None
    assert found.plan.dependencies == 1
    (note,) = found.plan.notes
    assert note.startswith("There is no lock: one was made and is kept")


def test_requirements_that_name_every_version_and_hash_are_as_good_as_a_lock_and_nothing_is_said(blobs: BlobStore):
    assert planned_python(blobs, PINNED, made_lock=pylock(APPLE)).plan.notes == ()


def test_an_sdist_whose_build_nobody_has_locked_asks_for_a_lock_and_one_that_is_made_is_not_told(blobs: BlobStore):
    files = project(APPLE, QUINCE)

    assert planned_python(blobs, files).fetching.lock_key() is not None
    made = planned_python(blobs, files, made_lock=pylock(APPLE, QUINCE, building=(TOOL,)))
    assert made.fetching.lock_key() is None
    assert made.plan.notes == ()


def test_a_made_lock_is_whole_where_an_sdist_is_built_with_nothing(blobs: BlobStore):
    files = project(built_with())

    assert planned_python(blobs, files).fetching.lock_key() is not None
    made = planned_python(blobs, files, made_lock=files["pylock.toml"])
    assert made.fetching.lock_key() is None
    assert len(made.fetching.keeping.wanted().names) == 1


def test_a_file_that_has_none_of_the_requirements_hashes_is_refused(blobs: BlobStore):
    files = {**UNLOCKED, "requirements.txt": f"apple==1.0 --hash=sha256:{'0' * 64}\n"}

    with pytest.raises(HashMismatch, match=f"--hash=sha256:{APPLE.sha256}"):
        planned_python(blobs, files, made_lock=pylock(APPLE))
    assert planned_python(blobs, PINNED, made_lock=pylock(APPLE)).plan.dependencies == 1


def test_a_lock_without_a_wheel_for_this_interpreter_is_refused(blobs: BlobStore):
    with pytest.raises(NoWheel, match=r"apple 1\.0 has no sdist, and no wheel for CPython 3\.11"):
        planned_python(blobs, project(wheel("apple", tag="cp313-cp313-manylinux_2_28_x86_64")))


def test_extras_and_groups_of_a_lock_are_those_of_the_settings(blobs: BlobStore):
    text = pylock(APPLE, BERRY, extras=["fast"]).replace(
        'name = "berry"', 'name = "berry"\nmarker = "\'fast\' in extras"'
    )
    files = {**SIMPLE, "pylock.toml": text}

    assert planned_python(blobs, files).plan.dependencies == 1
    assert planned_python(blobs, settled('[python]\nextras = ["fast"]\n', files)).plan.dependencies == 2
    with pytest.raises(UnknownExtra):
        planned_python(blobs, settled('[python]\nextras = ["slow"]\n', files))


# --- toolchains


def test_where_the_default_toolchains_python_is_not_allowed_another_one_serves(blobs: BlobStore):
    files = settled('[python]\nversion = "3.13"\n')
    newer = python_toolchain("sha256:" + "1" * 64, name="newer", python=NEWER)

    found = planned_python(blobs, files, offered=[python_toolchain(), newer])

    assert found.plan.toolchain.name == "newer"
    assert found.environment["UV_PYTHON"] == "/usr/bin/python3.13"
    assert planned_python(blobs, offered=[newer, python_toolchain()]).plan.toolchain.name == "stable"


def test_a_toolchain_that_is_asked_for_must_have_the_python_that_is_wanted(blobs: BlobStore):
    newer = python_toolchain("sha256:" + "1" * 64, name="newer", python=NEWER)
    files = settled('[python]\nversion = "3.11"\n')

    assert planned_python(blobs, toolchain="newer", offered=[python_toolchain(), newer]).plan.toolchain is newer
    with pytest.raises(UnfitPython, match=r"bloomery\.toml is for Python 3\.11"):
        planned_python(blobs, files, toolchain="newer", offered=[python_toolchain(), newer])
    with pytest.raises(UnknownToolchain):
        planned_python(blobs, settled('[build]\ntoolchain = "gone"\n'))


def test_where_no_toolchain_serves_it_is_said_why(blobs: BlobStore):
    with pytest.raises(NoFittingPython):
        planned_python(blobs, settled('[python]\nversion = "3.9"\n'))
    with pytest.raises(NoToolchain):
        planned_python(blobs, offered=[stable()])
    with pytest.raises(ToolchainWithoutPython):
        planned_python(blobs, toolchain="stable", offered=[stable(python_lacks=("the program uv",))])


# --- the image


def test_the_image_starts_what_is_found_with_the_environment_of_an_environment(blobs: BlobStore):
    (image,) = planned_python(blobs).plan.images

    assert image.binary == "app"
    assert image.settings.entrypoint == ("python", "app.py")
    assert image.settings.environment["PATH"].startswith("/env/bin:/")
    assert image.settings.environment["PYTHONUNBUFFERED"] == "1"


def test_what_settings_and_request_say_of_the_image_goes_over_what_is_found(blobs: BlobStore):
    files = settled('[image]\nentrypoint = ["gunicorn", "app"]\n[image.environment]\nPYTHONUNBUFFERED = ""\nA = "1"\n')
    asked = ImageRequest(settings=ImageSettings(environment={"A": "2"}))

    (image,) = planned_python(blobs, files, images=(asked,)).plan.images

    assert image.settings.entrypoint == ("gunicorn", "app")
    assert image.settings.environment["PYTHONUNBUFFERED"] == ""
    assert image.settings.environment["A"] == "2"


def test_a_python_project_has_one_image_and_it_has_the_projects_name(blobs: BlobStore):
    assert planned_python(blobs, images=(ImageRequest(binary="app"),)).plan.images[0].binary == "app"
    assert len(planned_python(blobs, images=()).plan.images) == 1
    with pytest.raises(UnknownBinary, match="has one image, and it is called app"):
        planned_python(blobs, images=(ImageRequest(binary="worker"),))
    with pytest.raises(UnknownBinary):
        planned_python(blobs, images=(ImageRequest(), ImageRequest()))


def test_a_tag_that_is_none_is_refused(blobs: BlobStore):
    with pytest.raises(BadTag):
        planned_python(blobs, images=(ImageRequest(tags=("Not A Tag",)),))


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ('binary = "app"', "build.binary"),
        ('binaries = ["app"]', "build.binaries"),
        ('features = ["fast"]', "build.features"),
        ("default-features = true", "build.default-features"),
        ('profile = "dev"', "build.profile"),
        ('link = "static"', "build.link"),
        ('environment = { A = "1" }', "build.environment"),
    ],
)
def test_what_says_how_to_compile_is_refused_and_not_passed_over(blobs: BlobStore, said: str, key: str):
    with pytest.raises(BadSettings, match=f"`{key}` is for projects that are compiled") as refused:
        planned_python(blobs, settled(f"[build]\n{said}\n"))
    assert refused.value.evidence["key"] == key


def test_a_guess_at_the_entrypoint_is_told_and_a_dynamic_version_too(blobs: BlobStore):
    dynamic = {**SIMPLE, "Procfile": "", "pyproject.toml": '[project]\nname = "app"\ndynamic = ["version"]\n'}

    guess, version = planned_python(blobs, dynamic).plan.notes

    assert guess.startswith("nothing says what the image starts")
    assert "the version is dynamic" in version


# --- parts


def test_all_wheels_are_installed_at_once_and_each_sdist_by_itself(blobs: BlobStore):
    second = built_with("tool", name="rhubarb")
    found = planned_python(blobs, project(APPLE, BERRY, QUINCE, second, building=(TOOL,)))

    def parts(*names: str) -> list[list[str]]:
        lines = [line for line in found.plan.packages.names if line.partition(" ")[0] in names]
        return [[one.partition(" ")[0] for one in part.keeping.wanted().names] for part in found.lacking(lines)]

    assert parts("apple", "berry", "quince", "rhubarb") == [
        [APPLE.file, BERRY.file],
        [QUINCE.file, TOOL.file],
        [second.file, TOOL.file],
    ]
    assert parts("berry") == [[BERRY.file]]
    assert parts() == []


def test_a_part_is_of_the_same_plan_and_has_the_same_reader(blobs: BlobStore):
    found = planned_python(blobs)
    (part,) = found.lacking(found.plan.packages.names[:1])

    assert part.plan is found.plan
    assert part.application is found.application
    heard = Heard()
    assert part.reader(heard).failure(2).detail == "The step ended with code 2 and said nothing."


def test_a_file_that_is_installed_and_builds_another_is_fetched_once(blobs: BlobStore):
    found = planned_python(blobs, project(TOOL, QUINCE, building=(TOOL,)))

    assert len(found.keeping.wanted().names) == 2
