"""Commit, branch and dirty, against repositories that the real git made."""

import subprocess
from pathlib import Path

import pytest

from api.client import revision as module
from api.client.revision import Revision, read_revision
from api.client.stamps import Stamps


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(project: Path) -> Path:
    git(project, "init", "-q", "-b", "trunk")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "one")
    return project


def read(directory: Path, tree: str = "sha256:1", stamps: Stamps | None = None) -> Revision | None:
    return read_revision(str(directory), tree, stamps or Stamps(None, 0))


def test_without_a_repository_there_is_none(project: Path):
    assert read(project) is None


def test_clean_commit_on_a_branch(repository: Path):
    assert read(repository) == Revision(git(repository, "rev-parse", "HEAD"), "trunk", dirty=False)


def test_directory_within_a_repository_has_its_revision(repository: Path):
    assert read(repository / "src") == read(repository)


@pytest.mark.parametrize("change", ["tracked", "untracked", "staged"])
def test_what_is_not_committed_is_dirty(repository: Path, change: str):
    name = "src/main.rs" if change == "tracked" else "src/new.rs"
    (repository / name).write_text("fn mine() {}\n")
    if change == "staged":
        git(repository, "add", name)

    found = read(repository)

    assert found is not None
    assert found.dirty


def test_packed_refs_are_read(repository: Path):
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git/refs/heads/trunk").exists()

    assert read(repository) == Revision(commit, "trunk", dirty=False)


def test_detached_head_has_no_branch(repository: Path):
    git(repository, "checkout", "-q", "--detach")

    assert read(repository) == Revision(git(repository, "rev-parse", "HEAD"), "", dirty=False)


def test_linked_worktree_has_its_own_head(repository: Path, tmp_path: Path):
    git(repository, "worktree", "add", "-q", "-b", "topic/one", str(tmp_path / "linked"))
    git(tmp_path / "linked", "commit", "-q", "--allow-empty", "-m", "two")

    found = read(tmp_path / "linked")

    assert found == Revision(git(tmp_path / "linked", "rev-parse", "HEAD"), "topic/one", dirty=False)
    assert found.commit != git(repository, "rev-parse", "HEAD")


def test_branch_without_commits_has_no_commit(tmp_path: Path):
    git(tmp_path, "init", "-q", "-b", "trunk")

    assert read(tmp_path) == Revision("", "trunk", dirty=False)


def test_broken_repository_is_not_vouched_for(repository: Path):
    (repository / ".git/index").write_bytes(b"no index")

    found = read(repository)

    assert found is not None
    assert found.dirty


@pytest.mark.parametrize("change", ["none", "tree", "commit", "index"])
def test_git_is_asked_again_only_when_something_changed(repository: Path, change: str, monkeypatch: pytest.MonkeyPatch):
    stamps = Stamps(None, 0)
    read(repository, stamps=stamps)
    if change == "commit":
        git(repository, "commit", "-q", "--allow-empty", "-m", "two")
    if change == "index":
        (repository / "new").touch()
        git(repository, "add", "new")
    asked: list[Path] = []
    monkeypatch.setattr(module, "_dirty", lambda top: bool(asked.append(top)))

    read(repository, "sha256:2" if change == "tree" else "sha256:1", stamps)

    assert len(asked) == (0 if change == "none" else 1)
