"""The entries of an image: complete, in order, and no two for one path."""

import itertools

import pytest

from cache.digest import Digest
from cache.tree import EntryKind
from daemon.image.errors import BadImageSettings
from daemon.image.rootfs import NONROOT, ROOT, Account, Origin, RootFile, accounts, complete, directory, places, symlink


def entry(path: str, content: bytes = b"x", origin: Origin = Origin.INCLUDED, reason: str = "included: x") -> RootFile:
    return RootFile(
        path=path,
        kind=EntryKind.FILE,
        mode=0o644,
        origin=origin,
        reason=reason,
        size=len(content),
        digest=Digest.of(content),
        content=content,
    )


def test_directories_above_are_added_with_a_reason_and_all_is_sorted():
    found = complete([entry("/b/c/d"), entry("/a")])
    assert [file.path for file in found] == ["/a", "/b", "/b/c", "/b/c/d"]
    assert all(file.reason for file in found)
    assert {file.mode for file in found if file.kind is EntryKind.DIRECTORY} == {0o755}


def test_the_order_of_what_comes_in_plays_no_part():
    files = [
        entry("/app/a"),
        entry("/app/b"),
        entry("/app/a", origin=Origin.LIBRARY, reason="library: needed by /app/b"),
        directory("/app", "working directory"),
        directory("/app", "included: ."),
    ]
    assert len({complete(order) for order in itertools.permutations(files)}) == 1


def test_two_contents_for_one_path_are_refused():
    with pytest.raises(BadImageSettings, match="two things would be /app/users"):
        complete([entry("/app/users", b"binary"), entry("/app/users", b"asset")])


def test_a_file_below_a_file_is_refused():
    with pytest.raises(BadImageSettings, match="/app/users/templates would lie below /app/users"):
        complete([entry("/app/users"), entry("/app/users/templates")])


def test_a_file_below_a_link_is_refused():
    with pytest.raises(BadImageSettings, match="which is a symlink"):
        complete([symlink("/app/a", "/etc", Origin.INCLUDED, "included: a"), entry("/app/a/passwd")])


def test_the_accounts():
    passwd, group = (file.content for file in accounts(NONROOT))
    assert passwd == (
        b"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
    )
    assert group == b"root:x:0:\nnonroot:x:65532:\n"


def test_root_is_named_once():
    passwd, group = (file.content for file in accounts(ROOT))
    assert passwd == b"root:x:0:0:root:/root:/sbin/nologin\n"
    assert group == b"root:x:0:\n"


def test_home_belongs_to_the_user_and_tmp_to_all():
    app = Account(name="app", uid=7, gid=8, home="/home/app")
    found = {file.path: file for file in places(app, "/srv")}
    assert (found["/home/app"].uid, found["/home/app"].gid) == (7, 8)
    assert found["/tmp"].mode == 0o1777
    assert (found["/srv"].uid, found["/srv"].mode) == (0, 0o755)
