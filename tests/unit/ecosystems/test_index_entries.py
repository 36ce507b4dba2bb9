"""Cargo's index entries: what of one can be believed."""

import pytest

from daemon.ecosystems.rust.index_entries import checksums, entry_path
from tests.fakes.index_entries import entry

ONE = entry("bytes", {"1.0.0": "aa"})


def test_the_locked_versions_are_told_with_their_checksums():
    found = checksums(entry("bytes", {"0.9.0": "aa", "1.0.0": "bb", "2.0.0-rc.1+x": "cc"}), "bytes", {"1.0.0", "3.0.0"})

    assert found == {"1.0.0": "bb"}
    assert checksums(entry("bytes", {"2.0.0-rc.1+x": "cc"}), "bytes", ["2.0.0-rc.1+x"]) == {"2.0.0-rc.1+x": "cc"}


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x02" + ONE[1:],
        b"\x03\x03" + ONE[2:],
        ONE[:-1],
        ONE[:-20],
        ONE + b"1.0.1\0",
        ONE + b"\0\0",
        ONE + ONE[5:],
        ONE.replace(b"1.0.0\0", b"1.0.0\xff\0"),
        ONE.replace(b"1.0.0\0", b"1.0\0"),
        ONE.replace(b'"cksum": "aa"', b'"cksum": 5'),
        ONE.replace(b'"cksum": "aa", ', b""),
        ONE.replace(b"{", b"[" * 100_000),
        ONE.replace(b'"aa"', b'"\xff\xfe"'),
        entry("bytes", {"1.0.0": "aa"}, v=3),
        entry("other", {"1.0.0": "aa"}),
        entry("bytes", {"1.0.1": "aa"}).replace(b"1.0.1\0", b"1.0.0\0"),
        entry("bytes", {"1.0.0": "aa"}) + entry("bytes", {"1.0.0": "bb"})[12:],
    ],
)
def test_of_an_entry_that_is_odd_nothing_is_believed(damaged: bytes):
    assert checksums(damaged, "bytes", ["1.0.0"]) == {}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a", ".cache/1/a"),
        ("ab", ".cache/2/ab"),
        ("abc", ".cache/3/a/abc"),
        ("abcd", ".cache/ab/cd/abcd"),
        ("Inflector", ".cache/in/fl/inflector"),
    ],
)
def test_an_entry_has_its_place(name: str, path: str):
    assert entry_path(name) == path
