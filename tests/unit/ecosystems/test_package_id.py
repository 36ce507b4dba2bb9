import pytest

from daemon.ecosystems.rust.package_id import PackageId


@pytest.mark.parametrize(
    ("text", "name", "version", "outside"),
    [
        ("path+file:///work/a#0.1.0", "a", "0.1.0", False),
        ("path+file:///work#app@0.1.0", "app", "0.1.0", False),
        ("path+file:///work/dir#other-name@1.0.0-rc.1+meta", "other-name", "1.0.0-rc.1+meta", False),
        ("registry+https://github.com/rust-lang/crates.io-index#bytes@1.10.1", "bytes", "1.10.1", True),
        ("sparse+https://index.example.org/#bytes@1.10.1", "bytes", "1.10.1", True),
        ("git+file:///srv/repo#x@0.1.0", "x", "0.1.0", True),
        ("git+https://example.org/x?branch=main#0.1.0", "x", "0.1.0", True),
        ("git+https://example.org/x.git?rev=abc#x@0.1.0+1", "x", "0.1.0+1", True),
        # before cargo 1.77
        ("app 0.1.0 (path+file:///work)", "app", "0.1.0", False),
        ("bytes 1.10.1 (registry+https://github.com/rust-lang/crates.io-index)", "bytes", "1.10.1", True),
        ("x 0.1.0 (git+https://example.org/x?branch=main#0123456789)", "x", "0.1.0", True),
    ],
)
def test_every_form_that_cargo_writes_is_read(text: str, name: str, version: str, outside: bool):  # noqa: FBT001 - a table's column
    package = PackageId.parse(text)

    assert (package.name, package.version, package.is_outside) == (name, version, outside)


@pytest.mark.parametrize(
    "text", ["", "bytes", "bytes 1.0", "path+file:///work", "directory+file:///work/vendor#x@1.0.0"]
)
def test_what_is_not_plainly_from_outside_counts_as_first_party(text: str):
    assert not PackageId.parse(text).is_outside


def test_a_stub_is_told_by_its_version():
    assert PackageId.parse("path+file:///work#app@0.0.0-bloomery.stub").is_stub
    assert PackageId.parse("path+file:///work/a#app@1.2.3+bloomery.stub").is_stub
    assert not PackageId.parse("path+file:///work#bloomery.stub@0.0.0").is_stub
