"""Which files are read before a build."""

from pathlib import Path

from bench.page_cache import files


def test_large_files_are_read_and_what_is_linked_is_not_read_for_it(tmp_path: Path):
    below = tmp_path / "storage" / "layer"
    below.mkdir(parents=True)
    (below / "librustc.so").write_bytes(bytes(1 << 20))
    (below / "note").write_bytes(b"small")
    (tmp_path / "elsewhere").write_bytes(bytes(1 << 20))
    (below / "link").symlink_to(tmp_path / "elsewhere")
    client = tmp_path / "docker"
    client.write_bytes(b"#!")

    found = set(files((tmp_path / "storage", client, tmp_path / "gone")))

    assert found == {str(below / "librustc.so"), str(client)}
