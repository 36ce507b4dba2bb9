"""Lines that cargo 1.95 printed, shortened by what is not read, with paths as in a sandbox."""

import json
import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ecosystems.rust.messages import LONGEST_LINE, CargoReader
from daemon.engine.engine import OutputStream
from tests.fakes.progress import Heard

BYTES = "registry+https://github.com/rust-lang/crates.io-index#bytes@1.10.1"
APP = "path+file:///work#app@0.1.0"
STUB = "path+file:///work#app@0.0.0-bloomery.stub"
MACRO = "path+file:///work/b#0.1.0"


def artifact(
    package: str, kind: str, name: str, *files: str, fresh: bool = False, executable: str | None = None
) -> str:
    target = {"kind": [kind], "crate_types": [kind], "name": name, "src_path": "/work/src/main.rs", "edition": "2021"}
    return json.dumps(
        {
            "reason": "compiler-artifact",
            "package_id": package,
            "manifest_path": "/work/Cargo.toml",
            "target": {**target, "doc": True, "doctest": False, "test": True},
            "profile": {
                "opt_level": "3",
                "debuginfo": 0,
                "debug_assertions": False,
                "overflow_checks": False,
                "test": False,
            },
            "features": [],
            "filenames": files,
            "executable": executable,
            "fresh": fresh,
        }
    )


MISMATCHED = (
    '{"reason":"compiler-message","package_id":"path+file:///work#app@0.1.0","manifest_path":"/work/Cargo.toml",'
    '"message":{"$message_type":"diagnostic","message":"mismatched types","code":{"code":"E0308"},'
    '"level":"error","spans":[{"file_name":"src/main.rs","byte_start":35,'
    '"line_start":2,"line_end":2,"column_start":26,"column_end":29,"is_primary":true,"label":"expected `u32`"},'
    '{"file_name":"src/main.rs","line_start":2,"column_start":20,"is_primary":false}],"children":[],"rendered":'
    '"\\u001b[1m\\u001b[91merror[E0308]\\u001b[0m\\u001b[1m: mismatched types\\u001b[0m\\n"}}'
)
UNUSED = MISMATCHED.replace('"level":"error"', '"level":"warning"').replace("mismatched types", "unused variable")
EXPLAIN = (
    '{"reason":"compiler-message","package_id":"path+file:///work#app@0.1.0","message":{"$message_type":"diagnostic",'
    '"message":"For more information about this error, try `rustc --explain E0308`.","code":null,'
    '"level":"failure-note","spans":[],"children":[],"rendered":"For more information…\\n"}}'
)
SCRIPT_RUN = (
    '{"reason":"build-script-executed","package_id":"registry+https://github.com/rust-lang/crates.io-index#libc@0.2.171",'
    '"linked_libs":[],"linked_paths":[],"cfgs":["freebsd11"],"env":[],'
    '"out_dir":"/target/release/build/libc-0123456789abcdef/out"}'
)
BUILD = "\n".join(
    [
        artifact(BYTES, "lib", "bytes", "/target/release/deps/libbytes-0123456789abcdef.rlib", fresh=True),
        SCRIPT_RUN,
        artifact(MACRO, "proc-macro", "b", "/target/release/deps/libb-4bfc5e1191067d7b.so"),
        "error: failed to download, said a procedural macro",
        UNUSED,
        artifact(APP, "bin", "app", "/target/release/app", executable="/target/release/app"),
        '{"reason":"build-finished","success":true}',
        "",
    ]
).encode()


def read(out: bytes = b"", err: bytes = b"") -> tuple[CargoReader, Heard]:
    heard = Heard()
    reader = CargoReader(heard)
    reader.feed(OutputStream.STDOUT, out)
    reader.feed(OutputStream.STDERR, err)
    reader.close()
    return reader, heard


def test_a_build_is_told_by_its_messages():
    reader, heard = read(BUILD)

    assert reader.finished is True
    assert [(it.package.words, it.kinds, it.fresh) for it in reader.artifacts] == [
        ("bytes 1.10.1", ("lib",), True),
        ("b 0.1.0", ("proc-macro",), False),
        ("app 0.1.0", ("bin",), False),
    ]
    assert reader.artifacts[2].executable == "/target/release/app"
    assert [(package.words, out) for package, out in reader.script_runs] == [
        ("libc 0.2.171", "/target/release/build/libc-0123456789abcdef/out")
    ]
    assert heard.packages == [("bytes 1.10.1", True), ("b 0.1.0", False), ("app 0.1.0", False)]
    assert list(reader.compiled()) == ["b 0.1.0", "app 0.1.0"]


def test_the_time_between_two_messages_is_the_second_ones_packages():
    ticks = iter([0.0, 1.0, 3.0, 3.5, 10.0])
    reader = CargoReader(Heard(), clock=lambda: next(ticks))
    script = artifact(BYTES, "custom-build", "build-script-build", "/target/release/build/bytes-1/build-script-build")
    ran = SCRIPT_RUN.replace("libc@0.2.171", "bytes@1.10.1")
    library = artifact(BYTES, "lib", "bytes", "/target/release/deps/libbytes-1.rlib")

    for line in (b"", *(f"{text}\n".encode() for text in (script, ran, artifact(MACRO, "lib", "b"), library))):
        reader.feed(OutputStream.STDOUT, line)

    assert reader.compiled() == {"bytes 1.10.1": 1.0 + 2.0 + 6.5, "b 0.1.0": 0.5}


def test_what_was_fresh_took_nothing():
    ticks = iter([0.0, 1.0, 3.0])
    reader = CargoReader(Heard(), clock=lambda: next(ticks))
    reader.feed(OutputStream.STDERR, b"   Compiling app\n")
    for text in (artifact(BYTES, "lib", "bytes", fresh=True), artifact(APP, "bin", "app")):
        reader.feed(OutputStream.STDOUT, f"{text}\n".encode())

    assert reader.compiled() == {"app 0.1.0": 2.0}


def test_what_a_procedural_macro_prints_is_log_and_evidence_of_nothing():
    reader, heard = read(BUILD)

    assert heard.lines == ["error: failed to download, said a procedural macro"]
    assert "download" not in reader.failure(101).detail


def test_a_diagnostic_is_data_with_the_primary_place():
    reader, heard = read(f"{MISMATCHED}\n{EXPLAIN}\n".encode())

    first, note = heard.diagnostics
    assert (first.level, first.message, first.code) == ("error", "mismatched types", "E0308")
    assert (first.file, first.line, first.column, first.package) == ("src/main.rs", 2, 26, "app")
    assert first.rendered.startswith("\x1b[1m\x1b[91merror[E0308]")
    assert (note.level, note.file, note.code) == ("failure-note", None, None)
    assert reader.diagnostics == heard.diagnostics


def test_a_package_is_told_once_and_not_for_its_build_script():
    script = artifact(BYTES, "custom-build", "build-script-build", "/target/release/build/bytes-1/build-script-build")
    library = artifact(BYTES, "lib", "bytes", "/target/release/deps/libbytes-1.rlib")

    _, heard = read(f"{script}\n{library}\n{library}\n".encode())

    assert heard.packages == [("bytes 1.10.1", False)]


@pytest.mark.parametrize(
    "line",
    [
        '{"reason":"timing-info","package_id":"x"}',
        '{"reason":"compiler-artifact"}',
        '{"reason":"compiler-artifact","package_id":7,"target":{},"filenames":"x","fresh":1}',
        '{"reason":"compiler-message","package_id":"x","message":null}',
        '{"reason":"build-finished","success":"yes"}',
    ],
)
def test_messages_of_other_kinds_or_shapes_are_passed_over(line: str):
    reader, heard = read(f"{line}\n".encode())

    assert (reader.artifacts, reader.finished, heard.lines, heard.diagnostics) == ([], None, [], [])


@pytest.mark.parametrize("line", ["[1, 2]", '"reason"', "7", "null", '{"a": 1}', "{", "\\xff"])
def test_json_that_is_no_message_is_a_line_of_output(line: str):
    _, heard = read(f"{line}\n".encode())

    assert heard.lines == [line]


def test_a_forged_message_cannot_end_the_reading():
    reader, heard = read(b'\xff\xfe\n{"reason":"compiler-artifact","package_id":"' + b"x" * 100 + b'"}\n' + BUILD)

    assert reader.finished is True
    assert heard.lines[0] == "��"


def test_what_is_said_of_stubs_is_not_passed_on():
    stub = artifact(STUB, "bin", "app", "/target/release/app", executable="/target/release/app")
    warning = UNUSED.replace("app@0.1.0", "app@0.0.0-bloomery.stub")

    reader, heard = read(
        f"{stub}\n{warning}\n".encode(),
        b"   Compiling bytes v1.10.1\n   Compiling app v0.0.0-bloomery.stub (/work)\n    Finished\n",
    )

    assert (heard.packages, heard.diagnostics, reader.diagnostics) == ([], [], [])
    assert heard.lines == ["   Compiling bytes v1.10.1", "    Finished"]
    assert reader.compiled() == {}
    assert reader.artifacts[0].package.is_stub


def test_an_error_in_a_stub_is_passed_on_because_the_cook_fails_of_it():
    _, heard = read(MISMATCHED.replace("app@0.1.0", "app@0.0.0-bloomery.stub").encode())

    assert [diagnostic.message for diagnostic in heard.diagnostics] == ["mismatched types"]


def test_what_the_step_says_the_build_wrote_is_kept_apart_from_the_log():
    reader, heard = read(err=b"bloomery-written src/generated.rs\nbloomery-written a b\n    Finished\n")

    assert reader.written == ["src/generated.rs", "a b"]
    assert heard.lines == ["    Finished"]


def test_a_last_line_may_lack_its_newline_and_lines_may_end_as_on_windows():
    reader, heard = read(BUILD.rstrip(b"\n"), b"one\r\ntwo")

    assert reader.finished is True
    assert heard.lines[1:] == ["one", "two"]


@given(cuts=st.lists(st.integers(0, len(BUILD)), max_size=12))
def test_it_does_not_matter_where_the_output_is_cut_into_pieces(cuts: list[int]):
    whole, told = read(BUILD)
    heard = Heard()
    reader = CargoReader(heard)

    edges = [0, *sorted(cuts), len(BUILD)]
    for start, end in pairwise(edges):
        reader.feed(OutputStream.STDOUT, BUILD[start:end])
    reader.close()

    assert (reader.artifacts, reader.script_runs, reader.diagnostics) == (
        whole.artifacts,
        whole.script_runs,
        whole.diagnostics,
    )
    assert (heard.lines, heard.packages) == (told.lines, told.packages)


@given(piece=st.integers(1, LONGEST_LINE))
def test_a_line_that_is_too_long_is_cut_at_one_place_however_it_comes(piece: int):
    line = b"x" * (LONGEST_LINE + 5)
    heard = Heard()
    reader = CargoReader(heard)

    step = max(piece, LONGEST_LINE // 64)
    for start in range(0, len(line), step):
        reader.feed(OutputStream.STDERR, line[start : start + step])
    reader.feed(OutputStream.STDERR, b"\nnext\n")

    assert [len(said) for said in heard.lines] == [LONGEST_LINE, len("next")]


def test_endless_output_without_a_newline_takes_neither_memory_nor_time():
    heard = Heard()
    reader = CargoReader(heard)
    reader.feed(OutputStream.STDERR, b"x" * LONGEST_LINE)
    pieces = 200_000
    started = time.process_time()
    tracemalloc.start()
    for _ in range(pieces):
        reader.feed(OutputStream.STDERR, b"y" * 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1 << 20
    assert time.process_time() - started < 20, "each piece costs what it is long, not what is held"
    assert heard.lines == []


def test_only_so_much_is_kept_of_what_is_printed():
    heard = Heard()
    reader = CargoReader(heard)
    for _ in range(1000):
        reader.feed(OutputStream.STDERR, b"e" * 10_000 + b"\n")
    reader.feed(OutputStream.STDERR, b"error: it failed\n")

    assert len(reader.failure(101).detail) < 1000
    assert len(heard.lines) == 1001


def test_errors_are_kept_however_many_warnings_come_before_them():
    lines = "".join(f"{UNUSED}\n" for _ in range(300)) + f"{MISMATCHED}\n"

    reader, heard = read(lines.encode())

    assert len(heard.diagnostics) == 301
    assert len(reader.diagnostics) == 201
    assert reader.failure(101).detail == "src/main.rs:2: mismatched types"
