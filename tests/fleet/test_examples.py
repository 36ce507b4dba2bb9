"""Each example is built over HTTP by the command line, and proved by its own `verify`."""

import shutil
from pathlib import Path

import pytest

from tests.fleet.examples import BARS, EVERY_TIME, EXAMPLES, SMALLEST, Example, examples
from tests.fleet.fleet import Fleet
from tests.fleet.layers import sources, within

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


def each(*found: Example) -> list[object]:
    """As parameters; those that every run builds are marked."""
    often = {example for example in found if example.path in EVERY_TIME and not example.options}
    marks = {example: [pytest.mark.every_time] if example in often else [] for example in found}
    return [pytest.param(example, marks=marks[example], id=example.name) for example in found]


ALL = each(*examples())
COMPILED = each(*(example for example in examples() if example.compiled))
WITH_BARS = each(*(Example(path=path) for path in BARS))


@pytest.mark.parametrize("example", ALL)
def test_it_does_what_it_is_for(fleet: Fleet, example: Example):
    image = fleet.built(example).image

    fleet.verify(fleet.examples / example.path, image["reference"])


@pytest.mark.parametrize("example", COMPILED)
def test_its_image_has_of_its_sources_what_it_is_to_have_and_no_more(fleet: Fleet, example: Example):
    image = fleet.built(example).image["image_id"]
    wanted = sources(fleet.examples / example.path)
    to_ship = {name for name in wanted if example.ships(name)}
    assert wanted.keys() > to_ship

    assert within(image, wanted) == to_ship


@pytest.mark.every_time
def test_a_source_that_an_image_has_within_a_file_is_found(fleet: Fleet, tmp_path: Path):
    shutil.copytree(fleet.examples / "greeter", tmp_path / "greeter")
    code = tmp_path / "greeter/src/main.rs"
    code.write_text(code.read_text() + '#[used]\nstatic ITSELF: &str = include_str!("main.rs");\n')

    image = fleet.build(tmp_path / "greeter", "--project=greeter-itself")["outcome"]["images"][0]["image_id"]

    assert within(image, sources(tmp_path / "greeter")) == {"src/main.rs", "pages/index.html"}


@pytest.mark.parametrize("example", WITH_BARS)
def test_its_image_is_as_small_as_it_may_be(fleet: Fleet, example: Example):
    assert fleet.built(example).image["size"] <= BARS[example.path]


@pytest.mark.every_time
def test_the_smallest_image_is_a_binary_its_loader_and_its_libraries(fleet: Fleet):
    launch = fleet.built(Example(path=SMALLEST))
    contents = fleet.service.ask("GET", f"/v1/builds/{launch.record['id']}/contents").json
    needed = [
        entry for entry in contents["entries"] if entry["reason"].startswith(("binary ", "loader: ", "library: "))
    ]

    assert launch.image["size"] <= 1.01 * sum(entry["size"] for entry in needed)


def test_each_example_has_a_readme_and_a_verify_that_runs():
    for example in examples():
        assert (EXAMPLES / example.path / "README.md").is_file(), example.path
        assert (EXAMPLES / example.path / "verify").stat().st_mode & 0o100, example.path
