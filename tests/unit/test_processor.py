from pathlib import Path

from daemon.processor import processor

INFO = "processor\t: 0\nmodel name\t: Example 9\ncpu MHz\t: 1800.0\nflags\t: sse avx\n\nmodel name\t: Other\n"


def described(tmp_path: Path, text: str) -> str:
    (tmp_path / "cpuinfo").write_text(text)
    return processor(tmp_path / "cpuinfo")


def test_a_processor_is_what_a_compiler_sees_of_it(tmp_path: Path):
    plain = described(tmp_path, INFO)
    assert plain.startswith("Example 9 ")
    assert described(tmp_path, INFO.replace("1800.0", "3600.0")) == plain
    assert described(tmp_path, INFO.replace("avx", "avx2")) != plain


def test_where_linux_does_not_tell_it_is_unknown(tmp_path: Path):
    assert processor(tmp_path / "nothing") == "unknown"
