"""The one place that turns failures into RFC 9457 problems and HTTP statuses, and problems back into failures.

Server and client share it, so it imports nothing heavy. A problem's `type` is `urn:bloomery:problem:<kind>`; beside the
standard members it has `kind`, `blame` and `evidence`, the same members that a failed build's `failure` has.

Source: https://www.rfc-editor.org/rfc/rfc9457
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from cache.errors import Blame, Failure

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:bloomery:problem:"

RETRY_SECONDS = 5
"""What Retry-After says where the failure knows no better (`evidence["retry_after"]`)."""

_BY_BLAME: Mapping[Blame, HTTPStatus] = {
    Blame.REQUEST: HTTPStatus.BAD_REQUEST,
    Blame.SOURCE: HTTPStatus.UNPROCESSABLE_ENTITY,
    Blame.LIMIT: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Blame.INFRASTRUCTURE: HTTPStatus.INTERNAL_SERVER_ERROR,
}

STATUS_OF_KIND: Mapping[str, HTTPStatus] = {
    "no_such_path": HTTPStatus.NOT_FOUND,
    "unknown_build": HTTPStatus.NOT_FOUND,
    "unknown_tree": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "not_acceptable": HTTPStatus.NOT_ACCEPTABLE,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "foreign_scope": HTTPStatus.FORBIDDEN,
    "upload_too_slow": HTTPStatus.REQUEST_TIMEOUT,
    "unsafe_entry": HTTPStatus.UNPROCESSABLE_ENTITY,
    "idempotency_mismatch": HTTPStatus.CONFLICT,
    "missing_blobs": HTTPStatus.CONFLICT,
    "not_ready": HTTPStatus.CONFLICT,
    "invalid_request": HTTPStatus.UNPROCESSABLE_ENTITY,
    "blob_mismatch": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown_toolchain": HTTPStatus.UNPROCESSABLE_ENTITY,
    "toolchain_without_python": HTTPStatus.UNPROCESSABLE_ENTITY,
    "bad_tag": HTTPStatus.UNPROCESSABLE_ENTITY,
    "not_pushable": HTTPStatus.UNPROCESSABLE_ENTITY,
    "bad_listing": HTTPStatus.UNPROCESSABLE_ENTITY,
    "bad_image_settings": HTTPStatus.UNPROCESSABLE_ENTITY,
    "ambiguous_binary": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown_binary": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown_feature": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown_profile": HTTPStatus.UNPROCESSABLE_ENTITY,
    "missing_feature": HTTPStatus.UNPROCESSABLE_ENTITY,
    "queue_full": HTTPStatus.TOO_MANY_REQUESTS,
    "no_space": HTTPStatus.INSUFFICIENT_STORAGE,
    "draining": HTTPStatus.SERVICE_UNAVAILABLE,
    "engine_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "no_toolchain": HTTPStatus.SERVICE_UNAVAILABLE,
    "image_gone": HTTPStatus.SERVICE_UNAVAILABLE,
    "ground_revoked": HTTPStatus.SERVICE_UNAVAILABLE,
    "sandbox_gone": HTTPStatus.SERVICE_UNAVAILABLE,
    "stored_file_damaged": HTTPStatus.SERVICE_UNAVAILABLE,
    "registry_unreachable": HTTPStatus.BAD_GATEWAY,
    "push_failed": HTTPStatus.BAD_GATEWAY,
    "interrupted": HTTPStatus.SERVICE_UNAVAILABLE,
    "store_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "engine_refused": HTTPStatus.BAD_GATEWAY,
    "still_connected": HTTPStatus.BAD_GATEWAY,
}
"""Kinds whose status is not their blame's."""

_HEADERS: Mapping[HTTPStatus, tuple[str, ...]] = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.METHOD_NOT_ALLOWED: ("Allow",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After",),
    HTTPStatus.INSUFFICIENT_STORAGE: ("Retry-After",),
}


def status_of(failure: Failure | type[Failure]) -> HTTPStatus:
    """The HTTP status that a failure is answered with."""
    return STATUS_OF_KIND.get(failure.kind, _BY_BLAME[failure.blame])


def header_names(status: HTTPStatus) -> tuple[str, ...]:
    """The headers that every problem of a status has."""
    return _HEADERS.get(status, ())


def headers_of(failure: Failure) -> dict[str, str]:
    """The headers that belong to a failure's answer: Allow, WWW-Authenticate, Retry-After (seconds)."""
    return {name: _header(name, failure) for name in header_names(status_of(failure))}


def _header(name: str, failure: Failure) -> str:
    match name:
        case "Allow":
            allowed = failure.evidence.get("allowed")
            return ", ".join(map(str, allowed if isinstance(allowed, list) else ()))
        case "Retry-After":
            seconds = failure.evidence.get("retry_after")
            return str(max(1, round(seconds)) if isinstance(seconds, int | float) else RETRY_SECONDS)
        case _:
            return 'Bearer realm="bloomery"'


def problem_of(failure: Failure, instance: str = "") -> dict[str, Any]:
    """The problem document; `instance` is a URI reference to this one occurrence, left out when empty."""
    problem: dict[str, Any] = {
        "type": TYPE_PREFIX + failure.kind,
        "title": failure.title,
        "status": int(status_of(failure)),
        "detail": failure.detail,
        "kind": failure.kind,
        "blame": str(failure.blame),
        "evidence": failure.evidence,
    }
    if instance:
        problem["instance"] = instance
    return problem


class ReportedFailure(Failure):
    """A failure that a daemon reported with a kind that this process has no class for; it keeps kind, title, blame."""

    def __init__(self, kind: str, title: str, blame: Blame, detail: str, evidence: dict[str, Any]) -> None:
        super().__init__(detail)
        self.evidence = evidence
        self.kind = kind  # type: ignore[misc] # the class of this kind is not loaded, so the instance stands for it
        self.title = title  # type: ignore[misc] # the same
        self.blame = blame  # type: ignore[misc] # the same


def failure_classes(root: type[Failure] = Failure) -> Iterator[type[Failure]]:
    """Every class of failure that is loaded, the root first; a class that only stands for others is left out."""
    if root is not ReportedFailure:
        yield root
    for child in root.__subclasses__():
        yield from failure_classes(child)


def failure_from(problem: Mapping[str, Any]) -> Failure:
    """The failure that a problem, or a failed build's `failure`, reports.

    Its class is the loaded one of that kind, otherwise `ReportedFailure`; members that are missing or of another type
    are made up for, so whatever answered, there is something to show.
    """
    kind = str(problem.get("kind") or str(problem.get("type", "")).removeprefix(TYPE_PREFIX) or Failure.kind)
    detail = str(problem.get("detail") or problem.get("title") or "no detail was given")
    found = problem.get("evidence")
    evidence = {str(name): value for name, value in found.items()} if isinstance(found, Mapping) else {}
    for known in failure_classes():
        if known.kind == kind:
            failure = known.__new__(known)  # a subclass may ask for other arguments
            Failure.__init__(failure, detail)
            failure.evidence = evidence
            return failure
    try:
        blame = Blame(problem.get("blame", ""))
    except ValueError:
        blame = _blame_of_status(problem.get("status"))
    return ReportedFailure(kind, str(problem.get("title") or kind), blame, detail, evidence)


def _blame_of_status(status: object) -> Blame:
    """Whose fault an answer was that does not say so."""
    if isinstance(status, int) and HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Blame.REQUEST
    return Blame.INFRASTRUCTURE
