import subprocess
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.manifests.errors import BadManifest
from cache.manifests.python.entrypoint import Entrypoint, Origin, find_entrypoint
from cache.manifests.python.errors import AmbiguousEntrypoint, NoEntrypoint, UnsupportedEntrypoint
from cache.manifests.python.procfile import read_procfile
from cache.manifests.python.pyproject import read_pyproject
from tests.fakes.source_files import InMemoryFiles

PROJECT = '[project]\nname = "shop"\nversion = "1"\n'
SCRIPT = PROJECT + 'scripts.shop = "shop.main:run"\n'


def find(
    files: Mapping[str, str | bytes] | set[str], directory: str = "", entrypoint: tuple[str, ...] | None = None
) -> Entrypoint:
    tree = InMemoryFiles(dict.fromkeys(files, "") if isinstance(files, set) else files)
    path = f"{directory}/pyproject.toml".lstrip("/")
    return find_entrypoint(tree, directory, read_pyproject(tree, path) if path in tree else None, entrypoint)


EVERYTHING = {"Procfile": "web: gunicorn shop:app\n", "pyproject.toml": SCRIPT, "app.py": ""}


@pytest.mark.parametrize(
    ("without", "entrypoint", "command", "origin"),
    [
        ((), ("gunicorn", "x:app"), ("gunicorn", "x:app"), Origin.SETTINGS),
        ((), None, ("gunicorn", "shop:app"), Origin.PROCFILE),
        (("Procfile",), None, ("shop",), Origin.SCRIPT),
        (("Procfile", "pyproject.toml"), None, ("python", "app.py"), Origin.GUESS),
    ],
)
def test_who_says_it_most_clearly_is_believed(
    without: tuple[str, ...], entrypoint: tuple[str, ...] | None, command: tuple[str, ...], origin: Origin
):
    found = find({path: text for path, text in EVERYTHING.items() if path not in without}, entrypoint=entrypoint)
    assert (found.command, found.origin) == (command, origin)
    assert bool(found.said) is (origin is Origin.GUESS)


def test_a_guess_is_said_to_be_one():
    found = find({"main.py"})
    assert "`python main.py` is a guess" in found.said
    assert "[image] entrypoint" in found.said


@pytest.mark.parametrize(
    ("files", "directory", "command"),
    [
        ({"app.py"}, "", ("python", "app.py")),
        ({"main.py", "tests/app.py"}, "", ("python", "main.py")),
        ({"__main__.py"}, "", ("python", "__main__.py")),
        ({"server.py", "manage.py"}, "", ("python", "server.py")),
        ({"shop/__main__.py", "shop/app.py"}, "", ("python", "-m", "shop")),
        ({"src/shop/__main__.py"}, "", ("python", "-m", "shop")),
        ({"web/app.py", "app.py"}, "web", ("python", "app.py")),
        ({"web/src/shop/__main__.py", "src/x/__main__.py"}, "web", ("python", "-m", "shop")),
        ({"app.py", "tests/__main__.py", "docs/__main__.py", "src/__main__.py"}, "", ("python", "app.py")),
        ({"app.py", "my-scripts/__main__.py"}, "", ("python", "app.py")),
    ],
)
def test_the_only_program_at_the_top_is_guessed(files: set[str], directory: str, command: tuple[str, ...]):
    assert find(files, directory).command == command


@pytest.mark.parametrize(
    ("files", "candidates"),
    [
        ({"app.py": "", "main.py": ""}, ["app.py", "main.py"]),
        ({"app.py": "", "shop/__main__.py": ""}, ["app.py", "shop/__main__.py"]),
        ({"a/__main__.py": "", "src/b/__main__.py": ""}, ["a/__main__.py", "src/b/__main__.py"]),
        ({"pyproject.toml": SCRIPT + 'scripts.other = "x:y"\n', "app.py": ""}, ["shop", "other"]),
        ({"Procfile": "worker: celery\nclock: beat\n", "app.py": ""}, ["worker", "clock"]),
    ],
)
def test_where_more_than_one_could_be_meant_they_are_listed(files: Mapping[str, str], candidates: list[str]):
    with pytest.raises(AmbiguousEntrypoint, match=", ".join(candidates)) as caught:
        find(files)
    assert caught.value.evidence["candidates"] == candidates


def test_where_nothing_could_be_meant_it_is_said_where_it_could_stand():
    with pytest.raises(NoEntrypoint, match=r"\[image\] entrypoint") as caught:
        find({"shop/__init__.py", "shop/app.py"})
    looked_for = caught.value.evidence["looked_for"]
    assert isinstance(looked_for, list)
    assert looked_for[:3] == ["[image] entrypoint", "Procfile", "[project.scripts]"]


def test_a_django_project_is_told_what_serves_it():
    with pytest.raises(NoEntrypoint, match="gunicorn"):
        find({"manage.py", "shop/settings.py"})


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("web: gunicorn shop:app", ("gunicorn", "shop:app")),
        ("worker: celery\nweb: gunicorn shop:app\n", ("gunicorn", "shop:app")),
        ("worker: celery -A shop worker\n", ("celery", "-A", "shop", "worker")),
        ("# ours\n\nweb:   python  app.py  \r\n", ("python", "app.py")),
        ("web: exec gunicorn shop:app", ("gunicorn", "shop:app")),
        ("web: gunicorn 'shop:create_app()' --name \"a b\"", ("gunicorn", "shop:create_app()", "--name", "a b")),
        ("web: python -c 'print(\"$x | y\")'", ("python", "-c", 'print("$x | y")')),
        ("web: echo a\\ b \\$x", ("echo", "a b", "$x")),
        (
            "web: uvicorn shop:app --host 0.0.0.0 --port 8000",
            ("uvicorn", "shop:app", "--host", "0.0.0.0", "--port", "8000"),
        ),
        ("web: program --set a=b", ("program", "--set", "a=b")),
        ("\ufeffweb: program", ("program",)),
    ],
)
def test_a_line_of_a_procfile_is_split_as_a_shell_would(text: str, command: tuple[str, ...]):
    assert find({"Procfile": text, "app.py": ""}).command == command


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("gunicorn --bind 0.0.0.0:$PORT shop:app", r"`\$` needs a shell.*write the value itself, such as 8000"),
        ('gunicorn --bind "0.0.0.0:${PORT:-8000}" shop:app', r"`\$` needs a shell"),
        ("gunicorn `cat options`", "needs a shell"),
        ("python manage.py migrate && gunicorn shop:app", "`&` needs a shell.*start one program"),
        ("program | tee log", r"`\|` needs a shell"),
        ("program; other", "`;` needs a shell"),
        ("program > log", "`>` needs a shell"),
        ("gunicorn shop:create_app()", r"`\(` needs a shell"),
        ("program *.txt", r"`\*` needs a shell"),
        ("program ~/x", "`~` needs a shell"),
        ("program # what it does", "`#` needs a shell.*delete it"),
        ("PYTHONPATH=src gunicorn shop:app", r"`PYTHONPATH=src` needs a shell: set it.*\[image\] environment"),
        ("program 'a", "quotation is not closed"),
        ("program \\", "quotation is not closed"),
        ("exec", "names no program"),
        ("''", "names no program"),
    ],
)
def test_what_takes_a_shell_is_refused_with_what_to_write_instead(command: str, words: str):
    with pytest.raises(UnsupportedEntrypoint, match=words) as caught:
        find({"web/Procfile": f"\nweb: {command}\n", "web/app.py": ""}, "web")
    evidence = caught.value.evidence
    assert (evidence["file"], evidence["line"], evidence["text"]) == ("web/Procfile", 2, f"web: {command}")


def test_a_line_that_is_not_started_may_need_a_shell():
    assert find({"Procfile": "release: a && b\nweb: program\n"}).command == ("program",)


@pytest.mark.parametrize("text", ["", "\n# nothing\n"])
def test_an_empty_procfile_says_nothing(text: str):
    assert find({"Procfile": text, "app.py": ""}).origin is Origin.GUESS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"web gunicorn", "line 1: expected `name: command`"),
        (b"a: b\nweb:\n", "line 2: expected `name: command`"),
        (b"web: a\nweb: b\n", "line 2: `web` is there twice"),
        (b"web: \xff", "not UTF-8"),
    ],
)
def test_what_is_no_procfile_is_refused(content: bytes, words: str):
    with pytest.raises(BadManifest, match=words):
        find({"Procfile": content, "app.py": ""})


@given(st.text(alphabet="ab '\"\\$|#=~", min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_the_words_of_a_line_are_those_that_a_shell_would_make_of_it(text: str):
    command = f"printf '%s\\0' {text}".strip()
    try:
        words = read_procfile(f"web: {command}\n".encode())["web"].words()
    except UnsupportedEntrypoint:
        return
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\0")[:-1] == list(words[2:]) or not words[2:]
