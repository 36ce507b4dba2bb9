"""The step that locks, the step that fetches, and the proof of what they bring."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.ecosystems.kept import Fetched, FetchedFile, KeptPackage
from daemon.ecosystems.python import files as lock_files
from daemon.ecosystems.python.project import PlannedPython
from daemon.ecosystems.step import SOURCE_TIME, Afterwards, FetchStep
from daemon.errors import BadOutput, FetchFailed
from daemon.tarball import Member
from tests.fakes.python_packages import Distribution, wheel
from tests.fakes.python_projects import (
    APPLE,
    BERRY,
    CHERRY,
    INDEX,
    PROGRAM,
    TOOL,
    built_with,
    planned_python,
    project,
    python_toolchain,
    url,
)
from tests.fakes.rust_projects import Files

UNLOCKED: Files = {**PROGRAM, "requirements.txt": "apple\n"}
NOTHING = Fetched()


def tar(path: Path, entries: Iterable[tuple[str, bytes]]) -> Path:
    """An archive as an engine makes it: names from the taken directory's own on."""
    with tarfile.open(path, "w") as archive:
        folder = tarfile.TarInfo("files")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def members(step: FetchStep | None) -> Mapping[str, Member]:
    assert step is not None
    return {member.path: member for member in step.step.members}


def there(blobs: BlobStore, *packages: Distribution) -> Fetched:
    """These files, fetched."""
    return Fetched(
        files=tuple(
            FetchedFile(path=f"target/files/{one.file}", digest=str(blobs.put(one.content)), size=len(one.content))
            for one in packages
        )
    )


def files_of(found: PlannedPython) -> list[str]:
    return [name.partition(" ")[0] for name in found.keeping.wanted().names]


# --- locking


def test_requirements_are_locked_for_all_platforms_with_no_code_of_any_package(blobs: BlobStore):
    step = planned_python(blobs, UNLOCKED).fetching.lock_step()

    script = step.step.script
    assert "uv pip compile" in script
    assert "/work/requirements.txt" in script
    assert ": > /target/uv/builds-v0" in script
    assert "inside.build_requirements /target/pylock.toml /bloomery/tags /target/files" in script
    assert step.take == ("/target/pylock.toml",)
    assert step.afterwards is Afterwards.REMOVED


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (project(APPLE, built_with("tool")), "cp /work/pylock.toml /target/pylock.toml"),
        (
            {**PROGRAM, "pyproject.toml": '[project]\nname = "a"\nversion = "1"\n'},
            "-o /target/pylock.toml   /work/pyproject.toml",
        ),
        (
            {
                **PROGRAM,
                "pyproject.toml": (
                    '[project]\nname = "a"\nversion = "1"\n[project.optional-dependencies]\nfast = ["berry"]\n'
                    '[dependency-groups]\njobs = ["cherry"]\n'
                ),
                "bloomery.toml": '[python]\nextras = ["fast"]\ngroups = ["jobs"]\n',
            },
            "--extra fast --group jobs /work/pyproject.toml",
        ),
        (
            {**PROGRAM, "pyproject.toml": '[project]\nname = "a"\nversion = "1"\n', "uv.lock": "version = 1\n"},
            "(cd /work/ && uv export --quiet --frozen",
        ),
    ],
    ids=["pylock", "pyproject", "extras and groups", "uv.lock"],
)
def test_each_kind_of_project_is_locked_its_own_way(blobs: BlobStore, files: Files, words: str):
    assert words in planned_python(blobs, files).fetching.lock_step().step.script


def test_a_lock_is_made_of_the_files_that_decide_and_sees_no_other(blobs: BlobStore):
    files = {
        "services/users/requirements.txt": "-r base/more.txt\napple\n",
        "services/users/base/more.txt": "berry\n",
        "services/users/app.py": "secret\n",
        "services/users/Procfile": "web: python app.py\n",
    }
    found = members(planned_python(blobs, files, directory="services/users").fetching.lock_step())

    assert {path: member.content for path, member in found.items() if path.startswith("work")} == {
        "work": None,
        "work/services": None,
        "work/services/users": None,
        "work/services/users/requirements.txt": b"-r base/more.txt\napple\n",
        "work/services/users/base": None,
        "work/services/users/base/more.txt": b"berry\n",
    }
    assert {member.uid for path, member in found.items() if path.startswith("work")} == {10001}
    assert {member.mtime for member in found.values()} == {SOURCE_TIME}
    assert b"cp311-cp311-manylinux_2_36_x86_64\n" in (found["bloomery/tags"].content or b"")
    assert {"bloomery/inside/fetch_files.py", "bloomery/inside/build_requirements.py"} <= found.keys()


def test_a_name_that_a_shell_would_read_stays_a_name(blobs: BlobStore):
    files = {"requirements.txt": "", **PROGRAM, "bloomery.toml": '[python]\nrequirements = "a $(id).txt"\n'}
    files["a $(id).txt"] = "apple\n"

    assert "'/work/a $(id).txt'" in planned_python(blobs, files).fetching.lock_step().step.script


def test_an_index_that_stands_in_for_the_usual_one_is_asked_by_the_lock_step_alone(blobs: BlobStore):
    mirrored = planned_python(blobs, UNLOCKED, mirrors={"pypi": INDEX}).fetching

    assert mirrored.lock_step().step.environment == {"UV_DEFAULT_INDEX": INDEX}
    assert planned_python(blobs, UNLOCKED).fetching.lock_step().step.environment == {}
    assert mirrored.lock_key() != planned_python(blobs, UNLOCKED).fetching.lock_key()


@pytest.mark.parametrize(
    "change",
    [
        {"files": {**UNLOCKED, "requirements.txt": "apple>=1\n"}},
        {"scope": "team"},
        {"offered": [python_toolchain("sha256:" + "1" * 64)]},
    ],
    ids=["requirements", "scope", "image"],
)
def test_another_input_asks_for_another_lock(blobs: BlobStore, change: dict[str, object]):
    before = planned_python(blobs, UNLOCKED).fetching.lock_key()

    assert planned_python(blobs, **{"files": UNLOCKED, **change}).fetching.lock_key() != before
    edited = {**UNLOCKED, "app.py": "import os\n"}
    assert planned_python(blobs, edited).fetching.lock_key() == before


def test_the_lock_is_what_was_made_and_nothing_larger_than_a_lock_can_be(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fetching = planned_python(blobs, UNLOCKED).fetching

    assert fetching.made_lock(tar(tmp_path / "a.tar", [("pylock.toml", b"lock")])) == b"lock"
    with pytest.raises(FetchFailed, match="uv made no lock"):
        fetching.made_lock(tar(tmp_path / "b.tar", []))
    monkeypatch.setattr("daemon.ecosystems.python.fetching._LARGEST_LOCK", 3)
    with pytest.raises(FetchFailed, match="uv made no lock"):
        fetching.made_lock(tar(tmp_path / "c.tar", [("pylock.toml", b"lock")]))


# --- fetching


def test_a_fetch_lists_each_file_with_its_address_and_checksum(blobs: BlobStore):
    step = planned_python(blobs, project(APPLE, BERRY)).fetching.step(NOTHING)

    found = members(step)
    assert json.loads(found["bloomery/files.json"].content or b"") == [
        {"url": url(one), "file": one.file, "sha256": one.sha256} for one in (APPLE, BERRY)
    ]
    assert (found["target/files"].uid, found["target/files"].content) == (10001, None)
    assert step is not None
    assert "inside.fetch_files /bloomery/files.json /target/files" in step.step.script
    assert (step.take, step.afterwards) == (("/target/files",), Afterwards.COOKS)


def test_what_is_there_is_not_fetched_and_lies_there_for_the_installation(blobs: BlobStore):
    step = planned_python(blobs, project(APPLE, BERRY)).fetching.step(there(blobs, APPLE))

    found = members(step)
    assert [one["file"] for one in json.loads(found["bloomery/files.json"].content or b"")] == [BERRY.file]
    kept = found[f"target/files/{APPLE.file}"]
    assert kept.source is not None
    assert kept.source.read_bytes() == APPLE.content
    assert kept.digest == Digest.of(APPLE.content)


def test_where_nothing_is_locked_nothing_is_fetched(blobs: BlobStore):
    assert planned_python(blobs, project()).fetching.step(NOTHING) is None
    assert planned_python(blobs, UNLOCKED).fetching.step(NOTHING) is None


def test_files_have_one_name_wherever_they_lie(blobs: BlobStore):
    moved = project(APPLE, files={})
    moved["pylock.toml"] = str(moved["pylock.toml"]).replace(INDEX, "https://mirror.example.org")
    here, elsewhere = planned_python(blobs, project(APPLE)), planned_python(blobs, moved)

    assert here.fetching.key() == elsewhere.fetching.key()
    assert here.keeping.wanted() == elsewhere.keeping.wanted()
    assert here.plan.exact.digest != elsewhere.plan.exact.digest


def test_another_scope_has_another_place(blobs: BlobStore):
    here, there_ = planned_python(blobs), planned_python(blobs, scope="team")

    assert here.fetching.key() != there_.fetching.key()
    assert here.keeping.wanted().place != there_.keeping.wanted().place


# --- what came


def test_what_came_is_kept_under_the_name_and_content_that_the_lock_says(blobs: BlobStore, tmp_path: Path):
    fetching = planned_python(blobs, project(BERRY, APPLE)).fetching
    archive = tar(
        tmp_path / "a.tar",
        [(f"files/{BERRY.file}", BERRY.content), (f"files/{APPLE.file}", APPLE.content), ("files/other.whl", b"?")],
    )

    found = fetching.admit("/target/files", archive)

    assert found == there(blobs, APPLE, BERRY)
    assert blobs.read(Digest.parse(found.files[0].digest)) == APPLE.content
    assert not blobs.has(Digest.of(b"?"))


def test_a_file_with_another_content_is_refused(blobs: BlobStore, tmp_path: Path):
    archive = tar(tmp_path / "a.tar", [(f"files/{APPLE.file}", b"something else")])

    with pytest.raises(FetchFailed, match=f"{APPLE.file} came with sha256 .*, and the lock says {APPLE.sha256}"):
        planned_python(blobs, project(APPLE)).fetching.admit("/target/files", archive)


def test_a_file_that_did_not_come_is_named(blobs: BlobStore, tmp_path: Path):
    archive = tar(tmp_path / "a.tar", [(f"files/{APPLE.file}", APPLE.content)])

    with pytest.raises(FetchFailed, match=f"has not brought {BERRY.file}, {CHERRY.file}"):
        planned_python(blobs, project(APPLE, BERRY, CHERRY)).fetching.admit("/target/files", archive)


def test_a_sparse_file_is_refused(blobs: BlobStore, tmp_path: Path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as made:
        entry = tarfile.TarInfo(f"files/{APPLE.file}")
        entry.type = tarfile.GNUTYPE_SPARSE
        made.addfile(entry)

    with pytest.raises(BadOutput):
        planned_python(blobs, project(APPLE)).fetching.admit("/target/files", archive)


# --- what is kept


def test_files_are_kept_one_by_one_and_what_was_kept_stays(blobs: BlobStore):
    keeping = planned_python(blobs, project(APPLE, BERRY)).keeping
    apple, berry = keeping.wanted().names

    kept = keeping.packages(there(blobs, APPLE, BERRY), {apple: KeptPackage(fetched=NOTHING)})

    assert kept == {berry: KeptPackage(fetched=there(blobs, BERRY))}
    assert keeping.packages(NOTHING, {}) == {}


def test_what_is_kept_is_gathered_and_the_rest_counted(blobs: BlobStore):
    keeping = planned_python(blobs, project(APPLE, BERRY, CHERRY)).keeping
    names = keeping.wanted().names

    found = keeping.gathered({names[1]: KeptPackage(fetched=there(blobs, BERRY))})

    assert (found.fetched, found.missing, found.kept) == (there(blobs, BERRY), 2, 1)
    assert keeping.gathered({}).fetched == NOTHING


def test_two_versions_of_a_package_are_kept_apart(blobs: BlobStore):
    newer = wheel("apple", "1.1")
    before = planned_python(blobs, project(APPLE)).keeping.wanted()
    after = planned_python(blobs, project(newer)).keeping.wanted()

    assert before.place == after.place
    assert set(before.names).isdisjoint(after.names)


def test_with_an_sdist_comes_what_it_is_built_with(blobs: BlobStore):
    quince = built_with("tool")

    assert files_of(planned_python(blobs, project(quince, building=(TOOL,)))) == [quince.file, TOOL.file]


def test_a_blob_is_put_in_by_its_digest(blobs: BlobStore):
    (member,) = lock_files.members(there(blobs, APPLE), blobs)

    assert (member.path, member.mode, member.mtime) == (f"target/files/{APPLE.file}", 0o644, SOURCE_TIME)
    assert member.size == len(APPLE.content)
