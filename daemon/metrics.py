"""What Bloomery measures, on a registry that is handed in.

Every label has a closed set of values: states, stages, rungs, reasons, kinds of failure. A project's name becomes a
label only where the configuration asks for it, and then of the first hundred projects alone.
"""

from collections.abc import Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cache.differences import Subject
from cache.reuse import Rung, WhyNot
from daemon.builds import Build, BuildState, Outcome, StageName, Verified

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Buckets of durations: 10 ms to one hour."""
BYTES = tuple(float(1 << power) for power in range(20, 33))
"""Buckets of image sizes: 1 MiB to 4 GiB."""
PROJECTS = 100
OTHER = "other"


class ProjectLabel(StrEnum):
    """Whether build durations are told apart by project."""

    HIDDEN = "hidden"
    SHOWN = "shown"


class Door(StrEnum):
    """How sources came in."""

    TAR = "tar"
    """A tar stream in the request."""
    BLOB = "blob"
    """A listing, and the blobs that were missing."""


class Ending(StrEnum):
    """How a build ended; a failure is told apart by its blame."""

    SUCCEEDED = "succeeded"
    SOURCE = "source"
    REQUEST = "request"
    LIMIT = "limit"
    INFRASTRUCTURE = "infrastructure"
    CANCELLED = "cancelled"


class CacheAnswer(StrEnum):
    """What the dependency cache said to a build that asked it."""

    HIT = "hit"
    MISS = "miss"


class CacheKind(StrEnum):
    """What takes the dependency cache's bytes."""

    LAYER = "layer"
    WORKSPACE = "workspace"
    UNIT = "unit"
    """Of the blobs those that are compiled dependencies."""
    BLOB = "blob"


class Eviction(StrEnum):
    """Why something went."""

    CEILING = "ceiling"
    """The cache was larger than it may be."""
    ASKED = "prune"
    """Somebody asked for it."""
    REVOKED = "revoked"
    """A clean build came to another image."""


class Metrics:
    """All metrics; the methods are what can happen."""

    def __init__(self, registry: CollectorRegistry, projects: ProjectLabel = ProjectLabel.HIDDEN) -> None:
        self._registry = registry
        self._projects: set[str] = set()
        self._project_label = projects
        of_build = ["ecosystem", "reuse", "outcome", *(["project"] if projects is ProjectLabel.SHOWN else [])]
        self._build = self._histogram("build_duration", "From a build's start to its final state.", of_build)
        self._stage = self._histogram("stage_duration", "Stages of builds.", ["stage"])
        self._wait = self._histogram("queue_wait", "From a build's acceptance to its start.", ["priority"])
        self._builds = Gauge("bloomery_builds", "Builds on record, by state.", ["state"], registry=registry)
        self._asked = self._counter("dependency_cache_requests", "Builds that asked for a layer.", ["result", "reason"])
        self._refused = self._counter("rungs_refused", "Rungs that builds did not stand on.", ["rung", "reason"])
        self._held = Gauge(
            "bloomery_dependency_cache_bytes", "Bytes that the dependency cache holds.", ["kind"], registry=registry
        )
        self._evicted = self._counter("evictions", "Entries of the cache that were removed.", ["reason"])
        self._saved = self._counter("seconds_saved", "Recorded cost of what builds reused.", ["reuse"])
        self._uploaded = self._counter("upload_bytes", "Bytes of sources that came in.", ["door"])
        self._engine = self._counter("engine_errors", "Calls that the container engine failed.", ["operation"])
        self._retries = self._counter("retries", "Attempts that were repeated, by kind of failure.", ["reason"])
        self._verified = self._counter(
            "verifications", "Builds that were built again clean, by what came of it.", ["result"]
        )
        self._behind = Gauge(
            "bloomery_work_behind", "Works behind the answers that wait or are under way.", registry=registry
        )
        self._image = Histogram(
            "bloomery_image_bytes", "Bytes of all files of a built image.", buckets=BYTES, registry=registry
        )
        # A series that starts at zero can be told from one that is missing.
        for state in BuildState:
            self._builds.labels(state)
        for kind in CacheKind:
            self._held.labels(kind)
        for eviction in Eviction:
            self._evicted.labels(eviction)
        for verified in Verified:
            if verified is not Verified.WAITING:
                self._verified.labels(verified)
        for door in Door:
            self._uploaded.labels(door)
        for rung in Rung:
            self._saved.labels(rung)
        self._asked.labels(CacheAnswer.HIT, "")
        for reason in (*WhyNot, *Subject):
            self._asked.labels(CacheAnswer.MISS, reason)
            for rung in Rung:
                self._refused.labels(rung, reason)

    def count_builds(self, counts: Mapping[BuildState, int]) -> None:
        """How many builds are on record in each state."""
        for state in BuildState:
            self._builds.labels(state).set(counts.get(state, 0))

    def works_behind(self, count: int) -> None:
        """How many works behind the answers wait or are under way: harvests, layers, trials."""
        self._behind.set(count)

    def build_moved(self, old: BuildState | None, new: BuildState) -> None:
        """A build changed its state; a new build had none."""
        if old is not None:
            self._builds.labels(old).dec()
        self._builds.labels(new).inc()

    def build_started(self, waited: float) -> None:
        """A build left the queue after so many seconds."""
        self._wait.labels("normal").observe(waited)

    def build_ended(self, build: Build) -> None:
        """A build came to its final state: how long it took, and what it reused."""
        outcome, seconds = build.outcome, (build.finished_at or 0.0) - (build.started_at or build.finished_at or 0.0)
        reuse = str(outcome.reuse.rung) if outcome else "unknown"
        values = [outcome.ecosystem if outcome else "unknown", reuse, str(_ending(build))]
        if self._project_label is ProjectLabel.SHOWN:
            values.append(self._project(outcome.project if outcome else build.request.project or ""))
        self._build.labels(*values).observe(max(0.0, seconds))
        if outcome:
            self._reused(outcome)

    def stage_ended(self, stage: StageName, seconds: float) -> None:
        """A stage of a build is over."""
        self._stage.labels(stage).observe(seconds)

    def cache_holds(self, kind: CacheKind, size: int) -> None:
        """Bytes that the dependency cache holds now."""
        self._held.labels(kind).set(size)

    def evicted(self, reason: Eviction, entries: int) -> None:
        """So many entries of the cache were removed."""
        self._evicted.labels(reason).inc(entries)

    def uploaded(self, door: Door, size: int) -> None:
        """Bytes of sources came in."""
        self._uploaded.labels(door).inc(size)

    def engine_failed(self, operation: str) -> None:
        """A call to the container engine failed; `operation` is the method's name."""
        self._engine.labels(operation).inc()

    def retried(self, reason: str) -> None:
        """An attempt at a build is repeated; `reason` is a failure's kind."""
        self._retries.labels(reason).inc()

    def verified(self, result: Verified) -> None:
        """A build was built again clean, or that was given up."""
        self._verified.labels(result).inc()

    def _reused(self, outcome: Outcome) -> None:
        report = outcome.reuse
        self._saved.labels(report.rung).inc(max(0.0, report.seconds_saved))
        if report.rung in {Rung.WORKSPACE, Rung.LAYER, Rung.UNITS}:
            self._asked.labels(CacheAnswer.HIT, "").inc()
        elif report.rung is Rung.NONE:
            reasons = (refusal.reason for refusal in report.refusals if refusal.rung is Rung.LAYER)
            self._asked.labels(CacheAnswer.MISS, next(reasons, WhyNot.FIRST_BUILD)).inc()
        for refusal in report.refusals:
            self._refused.labels(refusal.rung, refusal.reason).inc()
        for image in outcome.images:
            self._image.observe(image.size)

    def _project(self, name: str) -> str:
        if name not in self._projects and len(self._projects) >= PROJECTS:
            return OTHER
        self._projects.add(name)
        return name

    def _histogram(self, name: str, text: str, labels: list[str]) -> Histogram:
        return Histogram(f"bloomery_{name}_seconds", text, labels, buckets=SECONDS, registry=self._registry)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(f"bloomery_{name}_total", text, labels, registry=self._registry)


def _ending(build: Build) -> Ending:
    if build.state is BuildState.FAILED:
        return Ending(build.failure.blame) if build.failure else Ending.INFRASTRUCTURE
    return Ending(build.state)
