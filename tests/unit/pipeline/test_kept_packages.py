"""Only what is missing is fetched; what was put together and does not do is fetched as a whole."""

from collections.abc import Collection, Mapping

import pytest

from cache.digest import Digest
from cache.reuse import Rung
from daemon.builds import Reuse
from daemon.ecosystems.rust.index_entries import entry_path
from daemon.errors import FetchFailed
from tests.fakes.cargo import HOME, bring, purpose_of
from tests.fakes.engine import Exit, Step
from tests.fakes.index_entries import entry
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import BYTES, BYTES_CRATE, SIMPLE, Files, crate, lock, locked
from tests.fakes.workshop import Workshop

ITOA_CRATE = b"the archive of itoa 1.0.18"
ITOA = locked("itoa", "1.0.18", checksum=Digest.of(ITOA_CRATE).hex)
MORE: Files = {
    "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nbytes = "1"\nitoa = "1"\n'),
    "Cargo.lock": lock(locked("app", "0.3.0", "bytes", "itoa", source=""), BYTES, ITOA),
    "src/main.rs": "fn main() {}\n",
}
"""One dependency more than SIMPLE."""
OTHER: Files = {
    "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nitoa = "1"\n'),
    "Cargo.lock": lock(locked("app", "0.3.0", "itoa", source=""), ITOA),
    "src/main.rs": "fn main() {}\n",
}
WHOLE = ["fetch", "cook", "settle", "compile"]
OFFLINE = WHOLE[1:]
NO_VERSION = (101, "error: failed to select a version for the requirement `itoa = 1.0.18`\n")


@pytest.fixture
def registry(shop: Workshop) -> Workshop:
    """One whose registry has both crates."""
    shop.cargo.crates = {"bytes-1.0.0": BYTES_CRATE, "itoa-1.0.18": ITOA_CRATE}
    return shop


def downloaded(shop: Workshop) -> list[str]:
    """What was asked of the registry since this was asked last."""
    found, shop.cargo.downloaded = shop.cargo.downloaded, []
    return found


async def test_of_a_lock_with_one_dependency_more_that_one_is_fetched(registry: Workshop):
    await registry.build()
    assert downloaded(registry) == ["bytes-1.0.0"]
    heard = Heard()

    await registry.build(MORE, progress=heard)

    assert downloaded(registry) == ["itoa-1.0.18"]
    assert "Of 2 packages 1 were here; 1 had to be fetched." in heard.notes
    await registry.assert_nothing_is_left()


async def test_a_lock_that_is_put_together_of_others_needs_no_fetch_step(registry: Workshop):
    await registry.build(SIMPLE)
    await registry.build(OTHER)
    registry.ran()
    heard = Heard()

    outcome = await registry.build(MORE, progress=heard)

    assert registry.ran() == OFFLINE
    assert set(outcome.reuse.compiled) >= {"bytes 1.0.0", "itoa 1.0.18"}
    assert heard.notes == []


async def test_what_was_put_together_is_kept_as_the_locks_own(registry: Workshop):
    await registry.build(SIMPLE)
    await registry.build(OTHER)
    await registry.build(MORE)
    await registry.store._database.write(lambda tables: tables.execute("DELETE FROM kept_packages"))
    registry.engine.stored = {
        name: image for name, image in registry.engine.stored.items() if "bloomery.layer" not in image.labels
    }
    registry.ran()

    await registry.build({**MORE, "src/main.rs": "fn main() { loop {} }\n"})

    assert registry.ran() == OFFLINE


async def test_there_and_back_again_needs_no_fetch_step(registry: Workshop):
    await registry.build(MORE)
    registry.ran()

    await registry.build(SIMPLE)
    assert registry.ran() == OFFLINE
    await registry.build(MORE, reuse=Reuse.ALL)
    assert "fetch" not in registry.ran()


async def test_an_archive_that_is_lost_is_fetched_again_and_nothing_else(registry: Workshop):
    await registry.build(SIMPLE)
    await registry.build(OTHER)
    downloaded(registry)
    registry.store.blobs.remove(Digest.of(ITOA_CRATE))

    await registry.build(MORE)

    assert downloaded(registry) == ["itoa-1.0.18"]


async def test_a_record_that_cannot_be_read_is_as_none(registry: Workshop):
    await registry.build(SIMPLE)
    await registry.build(OTHER)
    downloaded(registry)
    await registry.store._database.write(
        lambda tables: tables.execute("UPDATE kept_packages SET value = x'7b' WHERE name LIKE 'itoa%'")
    )

    await registry.build(MORE)

    assert downloaded(registry) == ["itoa-1.0.18"]


async def test_another_scope_shares_nothing(registry: Workshop):
    """Law 7."""
    await registry.build(MORE)
    downloaded(registry)

    await registry.build(SIMPLE, scope="theirs")

    assert downloaded(registry) == ["bytes-1.0.0"]


async def test_who_reuses_nothing_fetches_all(registry: Workshop):
    await registry.build(MORE)
    downloaded(registry)

    await registry.build(SIMPLE, reuse=Reuse.NOTHING)

    assert downloaded(registry) == ["bytes-1.0.0"]


async def test_a_version_that_is_newer_than_the_entry_is_fetched_with_the_entry(registry: Workshop):
    await registry.build(MORE)
    newer = b"the archive of itoa 1.0.19"
    registry.cargo.crates["itoa-1.0.19"] = newer
    bumped = {
        **MORE,
        "Cargo.lock": lock(
            locked("app", "0.3.0", "bytes", "itoa", source=""),
            BYTES,
            locked("itoa", "1.0.19", checksum=Digest.of(newer).hex),
        ),
    }
    downloaded(registry)

    outcome = await registry.build(bumped)

    assert downloaded(registry) == ["itoa-1.0.19"]
    assert "itoa 1.0.19" in outcome.reuse.compiled


async def test_archives_for_other_platforms_are_not_missing_where_nobody_new_needs_them(registry: Workshop):
    registry.cargo.elsewhere = {"itoa-1.0.18"}
    bytes_with_itoa = locked("bytes", "1.0.0", "itoa", checksum=Digest.of(BYTES_CRATE).hex)
    first = {**SIMPLE, "Cargo.lock": lock(locked("app", "0.3.0", "bytes", source=""), bytes_with_itoa, ITOA)}
    await registry.build(first)
    paste = b"the archive of paste 1.0.15"
    registry.cargo.crates["paste-1.0.15"] = paste
    entry = locked("paste", "1.0.15", checksum=Digest.of(paste).hex)
    second = {
        **SIMPLE,
        "Cargo.toml": crate("app", "0.3.0", '[dependencies]\npaste = "1"\n'),
        "Cargo.lock": lock(locked("app", "0.3.0", "paste", source=""), entry),
    }
    await registry.build(second)
    third = {
        **SIMPLE,
        "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nbytes = "1"\npaste = "1"\n'),
        "Cargo.lock": lock(locked("app", "0.3.0", "bytes", "paste", source=""), bytes_with_itoa, ITOA, entry),
    }
    registry.ran()

    await registry.build(third)

    assert registry.ran() == OFFLINE


# --- what does not do


async def test_a_cook_that_misses_something_of_what_was_put_together_makes_all_of_it_fetched(registry: Workshop):
    """Law 9: it had been left out as another platform's, and is wanted after all."""
    registry.cargo.elsewhere = {"itoa-1.0.18"}
    bytes_with_itoa = locked("bytes", "1.0.0", "itoa", checksum=Digest.of(BYTES_CRATE).hex)
    files = {**SIMPLE, "Cargo.lock": lock(locked("app", "0.3.0", "bytes", source=""), bytes_with_itoa, ITOA)}
    await registry.build(files)
    registry.cargo.elsewhere = set()
    registry.ran()
    downloaded(registry)
    heard = Heard()
    changed = {**files, "Cargo.toml": str(files["Cargo.toml"]) + "[profile.release]\nopt-level = 1\n"}

    outcome = await registry.build(changed, progress=heard)

    assert registry.ran() == ["cook", *WHOLE]
    assert downloaded(registry) == ["bytes-1.0.0", "itoa-1.0.18"]
    assert any("failed to download `itoa" in note and "all of it is fetched" in note for note in heard.notes)
    assert outcome.reuse.rung is Rung.NONE
    again = {**files, "Cargo.toml": str(files["Cargo.toml"]) + "[profile.release]\nopt-level = 2\n"}
    await registry.build(again)
    assert registry.ran() == OFFLINE, "and it is remembered"
    await registry.assert_nothing_is_left()


async def test_a_fetch_that_fails_over_what_was_put_in_is_done_again_with_nothing(registry: Workshop):
    await registry.build(SIMPLE)
    registry.ran()
    downloaded(registry)

    async def spoilt(step: Step) -> int | Exit:
        if purpose_of(step) == "fetch" and any(path.endswith(".crate") for path in step.files):
            registry.cargo.ran.append("fetch")
            step.complain(NO_VERSION[1])
            return 101
        return await registry.cargo(step)

    registry.engine.script(spoilt)
    heard = Heard()

    await registry.build(MORE, progress=heard)

    assert registry.ran() == ["fetch", *WHOLE]
    assert downloaded(registry) == ["bytes-1.0.0", "itoa-1.0.18"]
    assert any("all of it is fetched" in note for note in heard.notes)


async def test_what_all_was_just_fetched_for_and_fails_has_failed(registry: Workshop):
    registry.cargo.failures["cook"] = NO_VERSION

    with pytest.raises(FetchFailed):
        await registry.build(MORE)

    assert registry.ran() == ["fetch", "cook"]
    await registry.assert_nothing_is_left()


async def test_an_entry_that_is_damaged_on_disk_is_proved_on_its_way_and_fetched_by_the_next_attempt(
    registry: Workshop,
):
    await registry.build(SIMPLE)
    await registry.build(OTHER)
    damaged = Digest.of(entry("itoa", {"1.0.18": Digest.of(ITOA_CRATE).hex}))
    path = registry.store.blobs.path(damaged)
    path.write_bytes(bytes(path.stat().st_size))
    downloaded(registry)
    request = await registry.request(MORE)

    with pytest.raises(Exception, match="fetched again"):
        await registry.run(request)
    await registry.run(request)

    assert downloaded(registry) == ["itoa-1.0.18"]


async def test_what_comes_out_of_a_fetch_is_proved_again_also_what_was_put_in(registry: Workshop):
    await registry.build(SIMPLE)

    async def changes_what_is_there(step: Step) -> int | Exit:
        if purpose_of(step) == "fetch":
            bring(step, f"/cargo/registry/cache/{HOME}/bytes-1.0.0.crate", b"something else")
        return await registry.cargo(step)

    registry.engine.script(changes_what_is_there)

    with pytest.raises(FetchFailed, match=r"not what Cargo\.lock says"):
        await registry.build(MORE)


async def test_a_registry_that_says_something_odd_of_a_crate_has_it_fetched_each_time(registry: Workshop):
    async def odd(step: Step) -> int | Exit:
        code = await registry.cargo(step)
        if purpose_of(step) == "fetch":
            bring(step, f"/cargo/registry/index/{HOME}/{entry_path('bytes')}", b"\x03odd")
        return code

    registry.engine.script(odd)
    with pytest.raises(FetchFailed):
        await registry.build(SIMPLE)
    registry.engine.script(registry.cargo)
    downloaded(registry)

    await registry.build(MORE)

    assert downloaded(registry) == ["bytes-1.0.0", "itoa-1.0.18"]


async def test_a_large_lock_is_one_question(registry: Workshop, monkeypatch: pytest.MonkeyPatch):
    names = [f"crate{number}" for number in range(300)]
    contents = {f"{name}-1.0.0": name.encode() for name in names}
    registry.cargo.crates = contents
    packages = [locked(name, "1.0.0", checksum=Digest.of(contents[f"{name}-1.0.0"]).hex) for name in names]
    files = {
        **SIMPLE,
        "Cargo.toml": crate("app", "0.3.0", "[dependencies]\n" + "".join(f'{name} = "1"\n' for name in names)),
        "Cargo.lock": lock(locked("app", "0.3.0", *names, source=""), *packages),
    }
    registry.fewest = 1000  # nobody waits for the harvest, so that there is a cook
    registry.compose()
    await registry.build(files)
    asked: list[int] = []
    ask = registry.store.kept_packages

    async def counted(place: Digest, wanted: Collection[str]) -> Mapping[str, bytes]:
        asked.append(len(wanted))
        return await ask(place, wanted)

    monkeypatch.setattr(registry.store, "kept_packages", counted)
    fewer = {
        **files,
        "Cargo.toml": str(files["Cargo.toml"]).replace('crate299 = "1"\n', ""),
        "Cargo.lock": lock(locked("app", "0.3.0", *names[:-1], source=""), *packages[:-1]),
    }
    registry.ran()

    await registry.build(fewer)

    assert asked == [299]
    assert registry.ran() == OFFLINE
