"""From a tar to a running image over HTTP, as curl would do it; each scenario is one crate and what is asked for it."""

import json
from dataclasses import dataclass

import pytest

from tests.e2e.service import Json, Service, write
from tests.fakes.crates import Files, lock, manifest, printing
from tests.fakes.docker import docker, run

pytestmark = pytest.mark.engine

NAME = "bloomery-e2e-http"
TAG = f"{NAME}:1"
SOURCES: Files = {
    "Cargo.toml": manifest(NAME, '[dependencies]\nitoa = "1"\n'),
    "src/main.rs": 'fn main() { println!("answer {}", itoa::Buffer::new().format(42)); }\n',
}


@dataclass(frozen=True)
class First:
    """The first build: its text as curl follows it, and its record."""

    text: str
    record: Json

    @property
    def image(self) -> Json:
        image: Json = self.record["outcome"]["images"][0]
        return image

    @property
    def path(self) -> str:
        return f"/v1/builds/{self.record['id']}"


@pytest.fixture(scope="module")
def first(service: Service) -> First:
    """No lock: one is made."""
    answer = service.post(SOURCES, tag=TAG)
    assert (answer.status, answer.headers["Location"]) == (202, f"/v1/builds/{answer.json['id']}")
    text = service.ask("GET", f"{answer.headers['Location']}/events").text
    record = service.record(answer.json["id"])
    assert record["state"] == "succeeded", record["failure"]
    return First(text, record)


def test_the_image_runs_under_its_tag_and_by_its_id(first: First):
    assert run(TAG) == run(first.image["image_id"]) == "answer 42"


def test_curl_reads_lines_to_the_end(first: First):
    lines = first.text.splitlines()
    assert lines[0] == "build queued"
    assert lines[-1] == "build succeeded"
    stages = [line.partition(":")[0].removeprefix("== ") for line in lines if line.startswith("== ") and ":" in line]
    assert stages == [stage["stage"] for stage in first.record["stages"]]
    assert [stage for stage in stages if stage not in {"plan", "fetch"}] == [
        "cook",
        "commit",
        "compile",
        "assemble",
        "check",
        "publish",
    ]


def test_events_replay_from_the_last_one_seen(service: Service, first: First):
    stream = {"Accept": "text/event-stream"}
    whole = service.ask("GET", f"{first.path}/events", headers=stream).text.split("\n\n")[:-1]
    numbers = [int(event.partition("\n")[0].removeprefix("id: ")) for event in whole]
    assert numbers == list(range(1, len(whole) + 1))
    rest = service.ask("GET", f"{first.path}/events", headers=stream | {"Last-Event-ID": str(len(whole) - 3)})
    assert rest.text.split("\n\n")[:-1] == whole[-3:]
    last = json.loads(whole[-1].rpartition("data: ")[2])
    assert (last["kind"], last["data"]["state"]) == ("state", "succeeded")


def test_every_file_of_the_image_is_listed_with_its_reason(service: Service, first: First):
    listed = service.ask("GET", f"{first.path}/contents").json["entries"]
    container = docker("create", first.image["image_id"])
    try:
        exported = docker("cp", f"{container}:/app/{NAME}", str(service.place / "binary"))
    finally:
        docker("rm", container)
    assert exported == ""
    by_path = {entry["path"]: entry for entry in listed}
    assert all(entry["reason"] for entry in listed)
    assert by_path[f"/app/{NAME}"]["size"] == (service.place / "binary").stat().st_size
    files = [path for path, entry in by_path.items() if entry["kind"] == "file"]
    assert [path for path in files if "libc.so.6" in path]
    assert not [path for path in files if path.endswith((".rs", ".rlib", ".toml"))]
    assert len([entry for entry in listed if entry["kind"] != "directory"]) == first.image["files"]


def test_the_archive_has_the_digest_and_loads_as_the_same_image(service: Service, first: First):
    answer = service.ask("GET", f"{first.path}/image")
    assert answer.headers["Docker-Content-Digest"] == first.image["digest"]
    file = service.place / "image.tar"
    file.write_bytes(answer.body)
    docker("rmi", "--force", first.image["image_id"])
    docker("load", "--input", str(file))
    docker("tag", first.image["image_id"], TAG)
    assert run(TAG) == "answer 42"


def test_the_lock_that_was_made_is_offered_and_stands_for_the_same_layer(service: Service, first: First):
    made = service.ask("GET", f"{first.path}/lockfile").text
    assert 'name = "itoa"' in made
    assert any("Cargo.lock" in note for note in first.record["outcome"]["reuse"]["notes"])
    locked = service.build(SOURCES | {"Cargo.lock": made}, lineage="locked", parent="nobody")
    assert locked["outcome"]["reuse"]["rung"] == "layer"
    assert locked["outcome"]["lockfile"] is None
    assert locked["outcome"]["images"][0]["digest"] == first.image["digest"]


def test_the_other_door_gives_the_same_tree_and_the_same_image(service: Service, first: First):
    directory = write(SOURCES, service.place / "cli")
    done = service.cli("build", str(directory), "-t", TAG)
    assert (done.returncode, done.stdout) == (0, f"{TAG}\n"), done.stderr
    newest = service.ask("GET", "/v1/builds?limit=1").json["builds"][0]
    assert newest["request"]["tree"] == first.record["request"]["tree"]
    assert newest["outcome"]["reuse"]["rung"] == "result"
    assert newest["outcome"]["images"][0]["digest"] == first.image["digest"]


@pytest.mark.parametrize(
    ("lineage", "rung", "differences"), [("explained", "layer", []), ("main", "workspace", ["source tree"])]
)
def test_explain_says_before_what_the_report_says_after(
    service: Service, first: First, lineage: str, rung: str, differences: list[str]
):
    tree = service.tree(SOURCES | {"src/main.rs": printing(f"explained {lineage}")})
    asked = {"lineage": lineage, "parent": "nobody"}
    before = service.ask("POST", "/v1/explain", {"tree": tree, **asked}).json
    after = service.build_json(tree, **asked, images=[{"tags": [TAG]}])["outcome"]["reuse"]
    assert (before["rung"], before["refusals"]) == (after["rung"], after["refusals"])
    assert before["rung"] == rung
    assert [one["label"] for one in before["refusals"][0]["differences"]] == differences
    assert before["dependencies"] == after["dependencies"] == 1
    assert after["seconds_saved"] > 0
    # What it costs to go on in a workspace is known only afterwards.
    assert before["seconds_saved"] > after["seconds_saved"] or rung == "layer"
    assert before["seconds_saved"] == after["seconds_saved"] or rung == "workspace"
    assert run(TAG) == f"explained {lineage}"


def test_one_idempotency_key_is_one_build(service: Service, first: First):
    key = {"Idempotency-Key": f"{NAME}-once"}
    once, twice = service.post(SOURCES, key), service.post(SOURCES, key)
    assert (once.status, twice.status) == (202, 200)
    assert once.json["id"] == twice.json["id"]
    other = service.post(SOURCES | {"src/main.rs": printing("other")}, key)
    assert (other.status, other.json["kind"]) == (409, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"rust-toolchain.toml": '[toolchain]\nchannel = "1.2.3"\n'}, "unknown_toolchain"),
        ({"Cargo.toml": "[package\n"}, "bad_manifest"),
        ({"Cargo.lock": lock({NAME: []})}, "lock_mismatch"),
        ({"src/main.rs": 'fn main() { let x: u8 = "text"; }\n'}, "compile_failed"),
    ],
)
def test_a_source_that_cannot_be_built_says_why_and_leaves_nothing(
    service: Service, first: First, change: Files, kind: str
):
    refused = f"{NAME}-refused:1"
    ended = service.ended(service.accept(SOURCES | change, tag=refused)["id"])
    assert (ended["state"], ended["failure"]["kind"]) == ("failed", kind)
    assert service.strays() == []
    assert docker("images", "--quiet", refused) == ""


def test_the_command_line_shows_the_compiler_s_words_and_ends_with_1(service: Service, first: First):
    broken = SOURCES | {"src/main.rs": 'fn main() {\n    let x: u8 = "text";\n}\n'}
    done = service.cli("build", str(write(broken, service.place / "broken")))
    assert (done.returncode, done.stdout) == (1, "")
    assert "src/main.rs:2:" in done.stderr
    assert "mismatched types" in done.stderr


@pytest.mark.parametrize(
    ("body", "status", "kind"), [(b"no tar at all", 400, "bad_archive"), (b"", 400, "bad_archive")]
)
def test_a_body_that_is_no_archive_is_a_problem(service: Service, body: bytes, status: int, kind: str):
    answer = service.ask("POST", "/v1/builds", body)
    assert (answer.status, answer.json["kind"]) == (status, kind)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
