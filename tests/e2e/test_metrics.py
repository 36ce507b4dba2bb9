"""What the metrics say after builds, as Prometheus would read it: differences, for other tests use the same daemon."""

import subprocess
from collections.abc import Mapping

import pytest

from tests.e2e.service import Service
from tests.fakes.crates import Files, lock, manifest, printing

pytestmark = pytest.mark.engine

NAME = "bloomery-e2e-metrics"
SOURCES: Files = {
    "Cargo.toml": manifest(NAME),
    "Cargo.lock": lock({NAME: []}),
    "src/main.rs": printing("first"),
}
BUILDS = "bloomery_build_duration_seconds_count"


def grown(before: Mapping[str, float], after: Mapping[str, float], name: str) -> dict[str, float]:
    """How much each sample of a metric has grown, by its labels."""
    return {
        sample.removeprefix(name): value - before.get(sample, 0.0)
        for sample, value in after.items()
        if sample.partition("{")[0] == name and value != before.get(sample, 0.0)
    }


@pytest.fixture(scope="module")
def measured(service: Service) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Before and after: a build on each rung, and one that fails."""
    before = service.metrics()
    fixed, edited = (SOURCES | {"src/main.rs": printing(word)} for word in ("fixed", "edited"))
    builds = ((SOURCES, "main"), (fixed, "fix"), (edited, "main"), (edited, "main"))
    rungs = [
        service.build(files, lineage=lineage, parent="nobody")["outcome"]["reuse"]["rung"] for files, lineage in builds
    ]
    assert rungs == ["none", "layer", "workspace", "result"]
    service.ended(service.accept(SOURCES | {"src/main.rs": "no rust\n"})["id"])
    return before, service.metrics()


def test_builds_are_counted_by_what_they_reused_and_how_they_ended(
    measured: tuple[Mapping[str, float], Mapping[str, float]],
):
    assert grown(*measured, BUILDS) == {
        '{ecosystem="rust",outcome="succeeded",reuse="none"}': 1,
        '{ecosystem="rust",outcome="succeeded",reuse="layer"}': 1,
        '{ecosystem="rust",outcome="succeeded",reuse="workspace"}': 1,
        '{ecosystem="rust",outcome="succeeded",reuse="result"}': 1,
        '{ecosystem="unknown",outcome="source",reuse="unknown"}': 1,
    }


def test_states_and_the_cache_s_answers_are_counted(measured: tuple[Mapping[str, float], Mapping[str, float]]):
    assert grown(*measured, "bloomery_builds") == {'{state="succeeded"}': 4, '{state="failed"}': 1}
    assert grown(*measured, "bloomery_dependency_cache_requests_total") == {
        '{reason="first_build",result="miss"}': 1,
        '{reason="",result="hit"}': 2,
    }
    stages = grown(*measured, "bloomery_stage_duration_seconds_count")
    assert stages['{stage="cook"}'] == stages['{stage="commit"}'] == 1
    assert stages['{stage="compile"}'] == 4


def test_what_was_saved_and_sent_grows(measured: tuple[Mapping[str, float], Mapping[str, float]]):
    saved = grown(*measured, "bloomery_seconds_saved_total")
    assert saved.keys() == {'{reuse="layer"}', '{reuse="workspace"}', '{reuse="result"}'}
    assert all(seconds > 0 for seconds in saved.values())
    assert grown(*measured, "bloomery_upload_bytes_total").keys() == {'{door="tar"}'}


def test_promtool_has_nothing_to_say(service: Service, measured: object):
    text = service.ask("GET", "/metrics").body
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
