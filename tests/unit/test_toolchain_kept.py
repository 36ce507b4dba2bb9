"""Which facts of toolchain images are believed, and what a daemon takes over from the user's cache."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.toolchains import record
from daemon.toolchains.kept import KeptFacts, TakingOver, user_cache
from daemon.toolchains.probe import VERSION, parse
from daemon.toolchains.toolchain import CANARY
from tests.fakes.toolchain import PROBE_ANSWER

IMAGE = f"sha256:{'1' * 64}"
OTHER = f"sha256:{'2' * 64}"
FACTS = parse(PROBE_ANSWER, IMAGE, "some:image")
RECORD = record.write(FACTS)


class Rig:
    """The facts of a command and of a daemon with a new state directory."""

    def __init__(self, directory: Path) -> None:
        self.cache = directory / "cache"
        self.kept = KeptFacts(self.cache)
        self.store = KeptFacts(directory / "store")
        self.facts = TakingOver(self.store, self.kept)

    @property
    def file(self) -> Path:
        [file] = self.cache.iterdir()
        return file


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_facts_are_read_as_they_were_written():
    assert record.read(RECORD, IMAGE) == FACTS


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (record.write(replace(FACTS, image_id=OTHER)), "another image"),
        (record.write(replace(FACTS, probe=VERSION + 1)), "a later probe"),
        (RECORD.replace(b',"probe":%d' % VERSION, b""), "a probe before versions"),
        (RECORD[:-1], "cut off"),
        (b'{"release": 1}', "something else"),
    ],
)
def test_a_record_that_is_not_of_this_image_and_this_probe_says_nothing(written: bytes, why: str):
    assert written != RECORD, why
    assert record.read(written, IMAGE) is None


def test_a_record_from_before_there_were_trials_is_believed_and_was_not_tried():
    before = RECORD.replace(b',"canary":0', b"")
    assert before != RECORD
    assert record.read(before, IMAGE) == FACTS


async def test_what_a_command_found_is_taken_over_once_and_for_all(rig: Rig):
    await rig.kept.record_toolchain_facts(IMAGE, RECORD)
    assert await rig.facts.toolchain_facts(IMAGE) == RECORD
    rig.file.unlink()
    assert await rig.facts.toolchain_facts(IMAGE) == RECORD


async def test_another_images_facts_under_this_ones_name_are_not_taken_over(rig: Rig):
    await rig.kept.record_toolchain_facts(OTHER, RECORD)
    assert await rig.facts.toolchain_facts(OTHER) is None
    assert await rig.store.toolchain_facts(OTHER) is None


async def test_facts_of_an_earlier_probe_give_way_to_those_that_were_kept(rig: Rig):
    await rig.store.record_toolchain_facts(IMAGE, record.write(replace(FACTS, probe=VERSION - 1)))
    await rig.kept.record_toolchain_facts(IMAGE, RECORD)
    assert await rig.facts.toolchain_facts(IMAGE) == RECORD


async def test_what_the_daemon_found_itself_goes_before_what_was_kept_and_is_not_kept(rig: Rig):
    found = record.write(replace(FACTS, libc="glibc 2.41"))
    await rig.facts.record_toolchain_facts(IMAGE, found)
    assert await rig.kept.toolchain_facts(IMAGE) is None
    await rig.kept.record_toolchain_facts(IMAGE, RECORD)
    assert await rig.facts.toolchain_facts(IMAGE) == found


async def test_what_a_command_has_tried_goes_before_what_the_daemon_has_not(rig: Rig):
    tried = record.write(replace(FACTS, layout="v2", canary=CANARY))
    await rig.store.record_toolchain_facts(IMAGE, RECORD)
    await rig.kept.record_toolchain_facts(IMAGE, tried)
    assert await rig.facts.toolchain_facts(IMAGE) == tried
    assert await rig.store.toolchain_facts(IMAGE) == tried


async def test_what_the_daemon_has_tried_goes_before_what_a_command_has_tried(rig: Rig):
    tried = record.write(replace(FACTS, layout="v2", canary=CANARY))
    await rig.store.record_toolchain_facts(IMAGE, tried)
    await rig.kept.record_toolchain_facts(IMAGE, record.write(replace(FACTS, canary=CANARY)))
    assert await rig.facts.toolchain_facts(IMAGE) == tried


async def test_an_empty_cache_says_nothing(rig: Rig):
    assert await rig.facts.toolchain_facts(IMAGE) is None


async def test_a_cache_that_is_no_directory_says_nothing(rig: Rig):
    rig.cache.write_text("")
    assert await rig.facts.toolchain_facts(IMAGE) is None


@pytest.mark.parametrize("mode", [0o664, 0o646])
async def test_a_file_that_others_may_write_is_not_believed(rig: Rig, mode: int):
    await rig.kept.record_toolchain_facts(IMAGE, RECORD)
    rig.file.chmod(mode)
    assert await rig.facts.toolchain_facts(IMAGE) is None


async def test_a_file_of_another_user_is_not_believed(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    await rig.kept.record_toolchain_facts(IMAGE, RECORD)
    owned = rig.file.stat()
    foreign = os.stat_result((*owned[:4], 4242, *owned[5:]))
    monkeypatch.setattr(os, "fstat", lambda _: foreign)
    assert await rig.facts.toolchain_facts(IMAGE) is None


async def test_what_a_generous_umask_keeps_is_believed(rig: Rig):
    before = os.umask(0o002)
    try:
        await rig.kept.record_toolchain_facts(IMAGE, RECORD)
    finally:
        os.umask(before)
    assert await rig.facts.toolchain_facts(IMAGE) == RECORD


@pytest.mark.parametrize(
    ("environ", "cache"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/bloomery/toolchains"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/bloomery/toolchains"),
        ({"HOME": "/h"}, "/h/.cache/bloomery/toolchains"),
    ],
)
def test_the_cache_is_where_the_users_environment_says(environ: dict[str, str], cache: str):
    assert str(user_cache(environ)) == cache
