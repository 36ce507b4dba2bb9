"""The metrics: promtool finds no fault, labels are bounded, buckets go from 10 ms to an hour."""

import subprocess
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cache.differences import SettingChanged
from cache.errors import Blame
from cache.reuse import Refusal, ReuseReport, Rung, WhyNot
from daemon.builds import Build, BuildFailure, BuildRequest, BuildState, BuiltImage, Outcome, StageName
from daemon.metrics import PROJECTS, CacheKind, Door, Eviction, Metrics, ProjectLabel


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


CHANGED = Refusal(Rung.LAYER, WhyNot.KEY_CHANGED, (SettingChanged(label="profile", old="release", new="dev"),))


def image(size: int) -> BuiltImage:
    return BuiltImage(
        binary="users", reference="shop", tags=(), digest="d", image_id="i", size=size, files=1, contents="c"
    )


def outcome(rung: Rung, *refusals: Refusal, saved: float = 0.0, project: str = "shop") -> Outcome:
    return Outcome(
        images=(image(4 << 20),),
        reuse=ReuseReport(rung=rung, seconds_saved=saved, refusals=refusals),
        project=project,
        ecosystem="rust",
        toolchain="stable",
    )


def build(state: BuildState, result: Outcome | None = None, started_at: float | None = 10.0) -> Build:
    return Build(
        id="b1",
        sequence=1,
        request=BuildRequest(tree="t"),
        state=state,
        created_at=1.0,
        started_at=started_at,
        finished_at=12.5,
        outcome=result,
    )


def everything(metrics: Metrics) -> None:
    metrics.count_builds({BuildState.QUEUED: 2})
    metrics.build_moved(None, BuildState.QUEUED)
    metrics.build_started(0.5)
    metrics.build_ended(build(BuildState.SUCCEEDED, outcome(Rung.LAYER, saved=100.0)))
    metrics.build_ended(build(BuildState.FAILED))
    metrics.stage_ended(StageName.COOK, 12.0)
    metrics.cache_holds(CacheKind.LAYER, 5)
    metrics.works_behind(2)
    metrics.evicted(Eviction.CEILING, 3)
    metrics.uploaded(Door.TAR, 100)
    metrics.engine_failed("commit")
    metrics.retried("engine_unavailable")


def check(registry: CollectorRegistry) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
    )


@pytest.mark.parametrize("projects", list(ProjectLabel))
def test_promtool_finds_no_fault(registry: CollectorRegistry, projects: ProjectLabel):
    everything(Metrics(registry, projects))

    checked = check(registry)
    assert (checked.returncode, checked.stderr, checked.stdout) == (0, b"", b"")


def test_promtool_would_find_one(registry: CollectorRegistry):
    from prometheus_client import Gauge  # noqa: PLC0415 - for the one fault of these tests

    Gauge("bloomery_bad_total", "", registry=registry).set(1)

    assert check(registry).returncode != 0


def test_all_that_the_design_names_is_there(registry: CollectorRegistry):
    everything(Metrics(registry))

    families = {family.name for family in text_string_to_metric_families(generate_latest(registry).decode())}
    assert families >= {
        "bloomery_build_duration_seconds",
        "bloomery_stage_duration_seconds",
        "bloomery_queue_wait_seconds",
        "bloomery_builds",
        "bloomery_dependency_cache_requests",
        "bloomery_dependency_cache_bytes",
        "bloomery_evictions",
        "bloomery_rungs_refused",
        "bloomery_seconds_saved",
        "bloomery_upload_bytes",
        "bloomery_engine_errors",
        "bloomery_retries",
        "bloomery_image_bytes",
    }


@pytest.mark.parametrize("name", ["build_duration", "stage_duration", "queue_wait"])
def test_buckets_go_from_ten_milliseconds_to_an_hour(registry: CollectorRegistry, name: str):
    everything(Metrics(registry))

    bounds = sorted(
        {
            float(sample.labels["le"])
            for family in registry.collect()
            for sample in family.samples
            if sample.name == f"bloomery_{name}_seconds_bucket"
        }
    )
    assert (bounds[0], bounds[-2], bounds[-1]) == (0.01, 3600.0, float("inf"))


def test_a_build_counts_with_what_it_reused(registry: CollectorRegistry):
    metrics = Metrics(registry)
    metrics.build_ended(build(BuildState.SUCCEEDED, outcome(Rung.LAYER, saved=100.0)))
    metrics.build_ended(build(BuildState.SUCCEEDED, outcome(Rung.NONE, CHANGED)))
    metrics.build_ended(build(BuildState.SUCCEEDED, outcome(Rung.RESULT, saved=60.0)))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"bloomery_{name}", labels)

    assert value("dependency_cache_requests_total", result="hit", reason="") == 1
    assert value("dependency_cache_requests_total", result="miss", reason="setting") == 1
    assert value("dependency_cache_requests_total", result="miss", reason="first_build") == 0
    assert value("rungs_refused_total", rung="layer", reason="setting") == 1
    assert value("rungs_refused_total", rung="result", reason="busy") == 0
    assert value("seconds_saved_total", reuse="layer") == 100
    assert value("seconds_saved_total", reuse="result") == 60
    assert value("image_bytes_count") == 3
    assert value("build_duration_seconds_sum", ecosystem="rust", reuse="layer", outcome="succeeded") == 2.5


def test_a_build_without_an_outcome_or_a_start_counts_too(registry: CollectorRegistry):
    metrics = Metrics(registry)
    metrics.build_ended(build(BuildState.CANCELLED, started_at=None))

    labels = {"ecosystem": "unknown", "reuse": "unknown", "outcome": "cancelled"}
    assert registry.get_sample_value("bloomery_build_duration_seconds_count", labels) == 1
    assert registry.get_sample_value("bloomery_build_duration_seconds_sum", labels) == 0


@pytest.mark.parametrize("blame", list(Blame))
def test_a_failed_build_counts_by_whose_failure_it_is(registry: CollectorRegistry, blame: Blame):
    failure = BuildFailure(kind="k", title="t", detail="d", blame=blame)
    Metrics(registry).build_ended(replace(build(BuildState.FAILED), failure=failure))

    labels = {"ecosystem": "unknown", "reuse": "unknown", "outcome": str(blame)}
    assert registry.get_sample_value("bloomery_build_duration_seconds_count", labels) == 1


def test_moves_between_states_add_up(registry: CollectorRegistry):
    metrics = Metrics(registry)
    metrics.count_builds({BuildState.SUCCEEDED: 7})
    metrics.build_moved(None, BuildState.QUEUED)
    metrics.build_moved(BuildState.QUEUED, BuildState.RUNNING)
    metrics.build_moved(BuildState.RUNNING, BuildState.SUCCEEDED)

    counts = {state: registry.get_sample_value("bloomery_builds", {"state": state}) for state in BuildState}
    assert counts == {"queued": 0, "running": 0, "succeeded": 8, "failed": 0, "cancelled": 0}


def test_projects_are_no_label_unless_asked_for_and_then_bounded(registry: CollectorRegistry):
    shown = CollectorRegistry()
    hidden, told = Metrics(registry), Metrics(shown, ProjectLabel.SHOWN)
    for number in range(PROJECTS + 50):
        for metrics in (hidden, told):
            metrics.build_ended(build(BuildState.SUCCEEDED, outcome(Rung.NONE, project=f"p{number}")))

    def projects(of: CollectorRegistry) -> set[str | None]:
        return {
            sample.labels.get("project")
            for family in of.collect()
            for sample in family.samples
            if sample.name == "bloomery_build_duration_seconds_count"
        }

    assert projects(registry) == {None}
    assert len(projects(shown)) == PROJECTS + 1
    assert (
        shown.get_sample_value(
            "bloomery_build_duration_seconds_count",
            {"ecosystem": "rust", "reuse": "none", "outcome": "succeeded", "project": "other"},
        )
        == 50
    )
