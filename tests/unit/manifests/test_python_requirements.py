from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import Failure
from cache.manifests.python.errors import BadRequirements, UnsupportedRequirement
from cache.manifests.python.requirements import Requirements, read_requirements
from tests.fakes.source_files import InMemoryFiles

A, B, C = "a" * 64, "b" * 64, "c" * 64


def read(files: Mapping[str, str | bytes] | str | bytes, path: str = "requirements.txt") -> Requirements:
    """Read a requirements file, or a tree's."""
    return read_requirements(InMemoryFiles({path: files} if isinstance(files, str | bytes) else files), path)


def asked(requirements: Requirements) -> list[tuple[str, int, str]]:
    return [(package.file, package.line, str(package.requirement)) for package in requirements.packages]


def test_each_requirement_has_its_file_and_line():
    text = """\
# what the service needs
flask==3.0.3  # the web

requests[socks]>=2,<3 ; python_version >= "3.8"
name @ https://files.example/name-1.0-py3-none-any.whl
"""
    assert asked(read(text)) == [
        ("requirements.txt", 2, "flask==3.0.3"),
        ("requirements.txt", 4, 'requests[socks]<3,>=2; python_version >= "3.8"'),
        ("requirements.txt", 5, "name @ https://files.example/name-1.0-py3-none-any.whl"),
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "\ufeff"])
def test_a_file_that_asks_for_nothing_is_fine(text: str):
    requirements = read(text)
    assert requirements.packages == ()
    assert requirements.pinned


@pytest.mark.parametrize(
    "text",
    [
        f"flask==3.0.3 --hash=sha256:{A} --hash=sha256:{B}\n",
        f"flask==3.0.3 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n",
        f"flask==3.0.3 \\\n\t--hash sha256:{A} \\\n\t--hash sha256:{B.upper()}",
        f"flask==3.0.3 --hash=sha256:{A} \\\r\n  --hash=sha256:{B}\r\n# the end",
        f"flask==3.0.3 --hash=sha256:{A} --hash=sha256:{B} --hash=sha512:{'d' * 128}",
    ],
)
def test_hashes_are_read_however_they_are_written(text: str):
    requirements = read(text)
    assert requirements.hashes == {"flask": {A, B}}
    assert requirements.pinned


def test_hashes_are_found_by_normalized_name_wherever_they_stand():
    requirements = read(
        {
            "requirements.txt": f"Flask_Thing==1; os_name=='nt' --hash=sha256:{A}\nflask.thing==2\n-c c.txt\nfree\n",
            "c.txt": f"flask-thing==2 --hash=sha256:{B}\n",
        }
    )
    assert requirements.hashes == {"flask-thing": {A, B}}
    assert not requirements.pinned


@pytest.mark.parametrize(
    ("line", "pinned"),
    [
        (f"a==1 --hash=sha256:{A}", True),
        (f"a===1 --hash=sha256:{A}", True),
        ("a==1", False),
        (f"a>=1 --hash=sha256:{A}", False),
        (f"a==1.* --hash=sha256:{A}", False),
        (f"a==1,!=2 --hash=sha256:{A}", False),
        (f"a --hash=sha256:{A}", False),
    ],
)
def test_pinned_is_one_version_and_a_hash(line: str, pinned: bool):  # noqa: FBT001 - a table's column
    assert read(line).pinned is pinned


def test_a_comment_ends_a_continuation_as_with_pip():
    assert asked(read("flask \\\n# why\nrequests")) == [
        ("requirements.txt", 1, "flask"),
        ("requirements.txt", 3, "requests"),
    ]


def test_a_hash_sign_within_a_word_is_no_comment():
    (package,) = read("name @ https://files.example/name-1.0.tar.gz#sha256=0 # a comment").packages
    assert package.requirement.url == "https://files.example/name-1.0.tar.gz#sha256=0"


def test_files_are_found_from_where_they_are_named():
    requirements = read(
        {
            "app/requirements.txt": "-r requirements/base.txt\n--requirement=../shared.txt\nown\n",
            "app/requirements/base.txt": "-rmore.txt\n-c ../../constraints.txt\nbase\n",
            "app/requirements/more.txt": "more\n",
            "shared.txt": "shared\n",
            "constraints.txt": "more<2\n",
            "other.txt": "other\n",
        },
        "app/requirements.txt",
    )
    assert [file.path for file in requirements.files] == [
        "app/requirements.txt",
        "app/requirements/base.txt",
        "app/requirements/more.txt",
        "constraints.txt",
        "shared.txt",
    ]
    assert requirements.files[2].content == b"more\n"
    assert requirements.file == "app/requirements.txt"
    assert [package.name for package in requirements.packages] == ["more", "base", "shared", "own"]
    assert [package.name for package in requirements.constraints] == ["more"]


def test_a_file_that_is_named_twice_is_read_once():
    files = {"requirements.txt": "-r a.txt\n-r b.txt\n", "a.txt": "-r c.txt\n", "b.txt": "-r c.txt\n", "c.txt": "c\n"}
    requirements = read(files)
    assert [package.name for package in requirements.packages] == ["c"]
    assert len(requirements.files) == 4


def test_what_a_file_of_constraints_names_are_constraints_even_where_they_are_asked_for_elsewhere():
    requirements = read({"requirements.txt": "-c a.txt\n-r b.txt\n", "a.txt": "-r b.txt\n", "b.txt": "b<2\n"})
    assert [package.name for package in requirements.packages] == ["b"]
    assert [package.name for package in requirements.constraints] == ["b"]


def test_indexes_are_kept_as_they_stand():
    indexes = read(
        "-i https://one.example/simple\n"
        "--extra-index-url https://two.example/simple --extra-index-url=https://three.example/simple\n"
        "-f https://four.example/wheels/\n"
        "--prefer-binary\n--only-binary :all:\nflask\n"
    ).indexes
    assert indexes.index_url == "https://one.example/simple"
    assert indexes.extra_index_urls == ("https://two.example/simple", "https://three.example/simple")
    assert indexes.find_links == ("https://four.example/wheels/",)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-e .", "nothing is installed in an editable way"),
        ("--editable git+https://git.example/x.git#egg=x", "nothing is installed in an editable way"),
        (".", "a path in the source tree"),
        ("./libs/mine", "a path in the source tree"),
        ("libs/mine-1.0-py3-none-any.whl", "a path in the source tree"),
        ("mine-1.0.tar.gz", "a path in the source tree"),
        ("/opt/mine", "a path in the source tree"),
        ("git+https://git.example/x.git@main", "no repositories"),
        ("mine @ git+ssh://git.example/x.git", "no repositories"),
        ("mine @ file:///opt/mine.whl", "no paths"),
        ("file:///opt/mine.whl", "no paths"),
        ("https://files.example/mine-1.0-py3-none-any.whl", "name @ URL"),
        ("--pre", "name>=2.0rc1"),
        ("--no-binary :all:", "wheels are taken"),
        ("--trusted-host pypi.example", "over HTTPS"),
        ("--no-index", "has to come from somewhere"),
        ("--use-feature=fast-deps", "the option `--use-feature` is not understood"),
        ("flask --config-settings=a=b", "the option `--config-settings` is not understood"),
        ("flask -r more.txt", "goes on a line of its own"),
        ("-r https://files.example/requirements.txt", "not a URL"),
        ("-f ./wheels", "a path is not read"),
        ("--index-url file:///srv/index", "a path is not read"),
        ("--index-url https://${HOST}.example/simple", "variables of the environment"),
        (f"flask==1 --hash=sha512:{'a' * 128}", "compared by sha256"),
    ],
)
def test_what_is_not_offered_is_refused_with_what_to_do(line: str, words: str):
    with pytest.raises(UnsupportedRequirement, match=words) as caught:
        read(f"flask\n\n{line}\n")
    assert (caught.value.evidence["file"], caught.value.evidence["line"]) == ("requirements.txt", 3)
    assert caught.value.evidence["text"] == line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("flask = 1", "no requirement"),
        ("flask==", "no requirement"),
        ("flask; python_version", "no requirement"),
        ("a; " + "(" * 5000 + "python_version > '3'" + ")" * 5000, "nested too deeply"),
        ("-r", "`-r` lacks its value"),
        ("--index-url", "lacks its value"),
        ("--require-hashes=yes", "takes no value"),
        ("--hash=sha256:" + A, "without a requirement"),
        ("flask==1 --hash=sha256:abc", "is no hash"),
        ("flask==1 --hash=md5:" + "a" * 32, "is no hash"),
        ("flask==1 --hash='sha256", "quotation is not closed"),
        ("-r missing.txt", "`missing.txt` is not in the source tree"),
        ("-r ../outside.txt", "not within the source tree"),
        ("-c /etc/constraints.txt", "not within the source tree"),
        ("-r requirements.txt", "in a circle: requirements.txt -> requirements.txt"),
        ("flask\0", "NUL"),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(line: str, words: str):
    with pytest.raises(BadRequirements, match=words) as caught:
        read(f"requests\n{line}\n")
    assert (caught.value.evidence["file"], caught.value.evidence["line"]) == ("requirements.txt", 2)
    assert "requirements.txt, line 2" in caught.value.detail


@pytest.mark.parametrize(
    "line",
    [
        "mine @ git+https://secret@git.example/x.git",
        "-e git+ssh://me:secret@git.example/x.git#egg=x",
        "https://me:secret@files.example/mine-1.0-py3-none-any.whl",
        "--find-links ftp://me:secret@files.example/",
        "mine = https://me:secret@files.example/",
        "mine==1 --hash=https://me:secret@files.example/",
        "'mine --hash=https://me:secret@files.example/",
        "mine --hash='https://me:secret@files.example/",
    ],
)
def test_a_refusal_keeps_passwords_to_itself(line: str):
    with pytest.raises((BadRequirements, UnsupportedRequirement)) as caught:
        read(line)
    assert "secret" not in f"{caught.value.detail} {caught.value.evidence}"


def test_a_circle_is_told_with_all_that_are_in_it():
    files = {"requirements.txt": "-r a.txt\n", "a.txt": "\n-c b.txt\n", "b.txt": "-r a.txt\n"}
    with pytest.raises(BadRequirements, match=r"a\.txt -> b\.txt -> a\.txt") as caught:
        read(files)
    assert (caught.value.evidence["file"], caught.value.evidence["line"]) == ("b.txt", 1)


def test_more_files_than_anybody_has_are_not_read():
    files = {f"{number}.txt": f"-r {number + 1}.txt\n" for number in range(200)} | {"200.txt": ""}
    with pytest.raises(BadRequirements, match="more than 100"):
        read(files, "0.txt")


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(BadRequirements, match=r"nothing\.txt is not in the source tree"):
        read({"requirements.txt": ""}, "nothing.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"flask\n\xff\xfe\n", "line 2: the file is not UTF-8"),
        (b"# -*- coding: latin-1 -*-\nflask\n", "write it as UTF-8, not as latin-1"),
        (b" " * (4 << 20) + b"\n", "are not read"),
    ],
)
def test_what_is_no_text_is_refused(content: bytes, words: str):
    with pytest.raises(BadRequirements, match=words):
        read(content)


@pytest.mark.parametrize("line", ["flask", "flask==1", f"flask>=1 --hash=sha256:{A}"])
def test_where_hashes_are_required_each_requirement_has_one_and_a_version(line: str):
    assert read("--require-hashes\nok==1 --hash=sha256:" + A).require_hashes
    with pytest.raises(BadRequirements, match="--require-hashes"):
        read(f"{line}\n--require-hashes\n")


words = st.sampled_from(
    ["flask", "==1", "-r", "-c", "a.txt", "--hash=", "sha256:", A, "\\\n", "\n", "#", ";", "'", "@", " "]
)


@given(
    st.one_of(
        st.text(max_size=60), st.lists(words, max_size=12).map(" ".join), st.lists(words, max_size=12).map("".join)
    )
)
def test_whatever_the_file_holds_it_is_read_or_refused(text: str):
    try:
        read({"requirements.txt": text, "a.txt": text})
    except Failure as failure:
        assert isinstance(failure, BadRequirements | UnsupportedRequirement)  # noqa: PT017 - reading may also succeed
