"""Reading what a probe of an image prints."""

import pytest

from daemon.errors import ImageGone
from daemon.toolchains.errors import BadToolchain
from daemon.toolchains.probe import parse, probe
from daemon.toolchains.toolchain import PythonFacts
from tests.fakes.engine import FakeEngine, Step
from tests.fakes.toolchain import PROBE_ANSWER


def changed(old: str, new: str) -> str:
    assert old in PROBE_ANSWER
    return PROBE_ANSWER.replace(old, new)


def lacks(answer: str) -> list[object]:
    with pytest.raises(BadToolchain) as caught:
        parse(answer, "sha256:1", "some:image")
    assert caught.value.evidence["image"] == "some:image"
    found = caught.value.evidence["lacks"]
    assert isinstance(found, list)
    return found


def test_facts_are_read():
    facts = parse(PROBE_ANSWER, "sha256:1", "some:image")
    assert facts.image_id == "sha256:1"
    assert facts.rustc_version_verbose.startswith("rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n")
    assert (facts.release, facts.host) == ("1.95.0", "x86_64-unknown-linux-gnu")
    assert (facts.commit_date, facts.channel_date) == ("2026-04-14", "2026-04-16")
    assert facts.cargo_version == "cargo 1.95.0 (f2d3ce0bd 2026-03-21)"
    assert (facts.sysroot, facts.libc) == ("/usr/local/rust", "glibc 2.36")
    assert facts.sysroot_digests == ("aa", "bb")
    assert facts.layout == "v1"


def test_what_python_projects_are_built_with_is_read():
    facts = parse(PROBE_ANSWER, "sha256:1", "some:image")
    assert facts.python == PythonFacts(
        version="3.11.2", executable="/usr/bin/python3.11", library="/usr/lib/python3.11", uv="0.13.9"
    )
    assert facts.python_lacks == ()


@pytest.mark.parametrize("version", ["3.14.0rc2", "3.15.0a1", "3.10.20"])
def test_a_version_is_read_as_it_is(version: str):
    facts = parse(changed("version 3.11.2", f"version {version}"), "sha256:1", "some:image")
    assert facts.python is not None
    assert facts.python.version == version


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("python\tversion 3.11.2", "python\tversion 3.11", "a python3 that says its version"),
        ("python\tversion 3.11.2", "python\tversion 3.11.2+", "a python3 that says its version"),
        ("python\texecutable /usr", "python\texecutable usr", "a python3 that says its executable"),
        ("executable /usr/bin/python3.11", "executable /usr/bin/my python", "a python3 that says its executable"),
        ("library /usr/lib/python3.11", "library /usr/lib/../python3.11", "a python3 that says its library"),
        ("python\tlibrary /usr/lib/python3.11\n", "", "a python3 that says its library"),
        ("unchecked-hash", "other", "bytecode of the standard library that is unchecked-hash"),
        ("python\tbytecode unchecked-hash\n", "", "bytecode of the standard library that is unchecked-hash"),
        ("uv\tuv 0.13.9 (x86_64-unknown-linux-gnu)", "uv\t", "a uv that answers"),
        ("uv\tuv 0.13.9 (x86_64-unknown-linux-gnu)", "uv\tuv 0.13", "a uv that answers"),
        (
            "uv\tuv 0.13.9 (x86_64-unknown-linux-gnu)",
            "python_lacks\tthe program /usr/local/bin/uv",
            "the program /usr/local/bin/uv",
        ),
        (
            "end\n",
            "python_lacks\tthe directory /env, writable by 10001\nend\n",
            "the directory /env, writable by 10001",
        ),
    ],
)
def test_an_image_that_cannot_serve_python_is_a_toolchain_that_says_why(old: str, new: str, what: str):
    facts = parse(changed(old, new), "sha256:1", "some:image")
    assert (facts.python, facts.python_lacks) == (None, (what,))
    assert facts.release == "1.95.0"


def without_python(*lines: str) -> str:
    kept = (line for line in PROBE_ANSWER.splitlines() if not line.startswith("python\t"))
    return "\n".join((*lines, *kept))


def test_an_image_without_python_says_that_alone():
    facts = parse(without_python("python_lacks\tthe program python3"), "sha256:1", "some:image")
    assert (facts.python, facts.python_lacks) == (None, ("the program python3",))


def test_a_python_that_says_nothing_is_none():
    facts = parse(without_python(), "sha256:1", "some:image")
    assert (facts.python, facts.python_lacks) == (None, ("a python3 that answers",))


def test_artefacts_are_a_second_newer_than_the_newest_file_in_whole_seconds():
    assert parse(PROBE_ANSWER, "sha256:1", "some:image").artefact_mtime == 1_795_266_470


def test_cargo_lays_out_units_anew_from_1_100():
    assert parse(changed("release: 1.95.0", "release: 1.100.0-nightly"), "sha256:1", "some:image").layout == "v2"


def test_a_date_that_rustc_does_not_know_is_empty():
    assert parse(changed("commit-date: 2026-04-14", "commit-date: unknown"), "sha256:1", "i").commit_date == ""


def test_everything_that_is_lacking_is_named():
    assert lacks("lacks\tthe program cc\nlacks\tthe user 10001 with group 10001\n" + PROBE_ANSWER) == [
        "the program cc",
        "the user 10001 with group 10001",
    ]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("cargo\tcargo 1.95.0 (f2d3ce0bd 2026-03-21)\n", "", "a cargo that answers"),
        ("libc\tglibc 2.36", "libc\t", "a libc that answers"),
        ("release: 1.95.0", "LLVM version: 22", "a rustc that says its release"),
        ("host: x86_64-unknown-linux-gnu", "no colon", "a rustc that says its host"),
        ("digest\tbb\ndigest\taa\n", "", "a sysroot with files"),
        ("sysroot\t/usr/local/rust", "sysroot\t/usr", "a Rust toolchain in a directory of its own"),
        ("newest\t1795266469.9", "newest\t1795270614.9", "a sane clock: its newest file is 3601 s ahead"),
        ("end\n", "", "a whole answer"),
        ("libc\t", "libc ", "an answer"),
    ],
)
def test_an_answer_that_is_not_as_it_should_be_makes_no_toolchain(old: str, new: str, what: str):
    found = lacks(changed(old, new))
    assert any(str(item).startswith(what) for item in found), found


def test_silence_makes_no_toolchain():
    assert lacks("") == ["a whole answer"]


async def test_a_probe_is_confined_and_leaves_nothing():
    engine = FakeEngine()
    image = engine.add_image("some:image")
    seen: list[Step] = []

    def script(step: Step) -> int:
        seen.append(step)
        step.complain("noise")
        step.print(PROBE_ANSWER)
        return 0

    engine.script(script)
    facts = await probe(engine.sandboxes, engine.images, "some:image")
    assert facts.image_id == image.id
    [step] = seen
    assert (step.spec.network, step.spec.privilege, step.spec.user) == ("none", "confined", "10001:10001")
    assert step.spec.name.startswith("bloomery-tc-")
    assert engine.containers == {}


async def test_a_shell_that_fails_is_told_with_its_words_and_leaves_nothing():
    engine = FakeEngine()
    engine.add_image("some:image")

    def script(step: Step) -> int:
        step.complain("exec format error")
        return 126

    engine.script(script)
    with pytest.raises(BadToolchain, match="exec format error"):
        await probe(engine.sandboxes, engine.images, "some:image")
    assert engine.containers == {}


async def test_an_image_that_is_not_there_is_gone():
    engine = FakeEngine()
    with pytest.raises(ImageGone, match="bloomery toolchain make"):
        await probe(engine.sandboxes, engine.images, "some:image")
