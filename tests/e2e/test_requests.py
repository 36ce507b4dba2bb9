"""What can be asked of an image and of a compile: several binaries, assets, checks, static linking, a toolchain.

All but the static one share the layer of the first build.
"""

import pytest

from tests.e2e.service import Json, Service
from tests.fakes.crates import Files, lock, manifest, printing
from tests.fakes.docker import docker, run

pytestmark = pytest.mark.engine

NAME = "bloomery-e2e-requests"
READS = """
fn main() {
    let text = std::fs::read_to_string("templates/words.txt");
    println!("{}", text.map_or("no templates".into(), |text| text.trim().to_owned()));
    std::process::exit(std::env::args().nth(1).map_or(0, |code| code.parse().unwrap()));
}
"""
SOURCES: Files = {
    "Cargo.toml": manifest(NAME),
    "Cargo.lock": lock({NAME: []}),
    "src/bin/one.rs": printing("one"),
    "src/bin/reads.rs": READS,
    "templates/words.txt": "from a template\n",
}


def settings(text: str) -> Files:
    return SOURCES | {"bloomery.toml": text}


@pytest.fixture(scope="module")
def pair(service: Service) -> Json:
    """Both binaries, which `bloomery.toml` names."""
    return service.build(settings('[build]\nbinaries = ["one", "reads"]\n'))


def by_binary(record: Json) -> dict[str, Json]:
    return {image["binary"]: image for image in record["outcome"]["images"]}


def test_two_images_come_from_one_compile(service: Service, pair: Json):
    images = by_binary(pair)
    assert (run(images["one"]["image_id"]), run(images["reads"]["image_id"])) == ("one", "no templates")
    assert [stage["stage"] for stage in pair["stages"]].count("compile") == 1
    assert pair["outcome"]["reuse"]["compiled"] == [f"{NAME} 0.1.0"]
    which = service.ask("GET", f"/v1/builds/{pair['id']}/image")
    assert (which.status, which.json["evidence"]["binaries"]) == (422, ["one", "reads"])


def test_without_a_word_on_which_binary_the_answer_lists_them(service: Service, pair: Json):
    failure = service.ended(service.accept(SOURCES)["id"])["failure"]
    assert failure["kind"] == "ambiguous_binary"
    assert failure["evidence"]["binaries"] == [f"{NAME}/one", f"{NAME}/reads"]


def test_what_is_named_is_included_and_nothing_else(service: Service, pair: Json):
    included = settings('[build]\nbinary = "reads"\n[image]\ninclude = ["templates/"]\n')
    record = service.build(included, lineage="included", parent="nobody")
    assert record["outcome"]["reuse"]["rung"] == "layer"
    (image,) = record["outcome"]["images"]
    assert run(image["image_id"]) == "from a template"
    entries = service.ask("GET", f"/v1/builds/{record['id']}/contents").json["entries"]
    reasons = {entry["path"]: entry["reason"] for entry in entries}
    assert "templates" in reasons["/app/templates/words.txt"]


def test_a_check_that_passes_lets_the_image_out(service: Service, pair: Json):
    checked = '[build]\nbinary = "reads"\n[check]\ncommand = ["/app/reads", "0"]\n'
    assert service.build(settings(checked), tag=f"{NAME}-checked:1")["state"] == "succeeded"
    assert run(f"{NAME}-checked:1") == "no templates"


def test_a_check_that_fails_keeps_it_in_and_leaves_nothing(service: Service, pair: Json):
    checked = '[build]\nbinary = "reads"\n[check]\ncommand = ["/app/reads", "3"]\n[image]\nlabels = {e2e = "refused"}\n'
    ended = service.ended(service.accept(settings(checked), tag=f"{NAME}-refused:1")["id"])
    assert (ended["state"], ended["failure"]["kind"]) == ("failed", "check_failed")
    assert "exit code 3" in ended["failure"]["detail"]
    assert service.strays() == []
    assert docker("images", "--all", "--quiet", "--filter", "label=e2e=refused") == ""


def test_a_static_image_holds_one_file(service: Service):
    record = service.build(SOURCES, binary="one", link="static", tag=f"{NAME}-static:1")
    assert run(f"{NAME}-static:1") == "one"
    entries = service.ask("GET", f"/v1/builds/{record['id']}/contents").json["entries"]
    programs = [entry["path"] for entry in entries if entry["kind"] == "file" and not entry["path"].startswith("/etc/")]
    assert programs == ["/app/one"]


@pytest.mark.parametrize("file", ["rust-toolchain", "rust-toolchain.toml"])
def test_the_source_picks_its_toolchain(service: Service, pair: Json, file: str):
    text = "nightly\n" if file == "rust-toolchain" else '[toolchain]\nchannel = "nightly"\ncomponents = ["clippy"]\n'
    record = service.build(
        settings('[build]\nbinaries = ["one", "reads"]\n') | {file: text}, lineage=file, parent="nobody"
    )
    assert record["outcome"]["toolchain"] == "nightly"
    assert record["outcome"]["reuse"]["rung"] == "layer", "it is the same image under another name"


def test_the_request_goes_over_the_source(service: Service, pair: Json):
    files = settings('[build]\nbinaries = ["one", "reads"]\n') | {"rust-toolchain": "1.2.3\n"}
    assert service.build_json(service.tree(files), toolchain="nightly")["outcome"]["toolchain"] == "nightly"
