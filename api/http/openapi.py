"""The OpenAPI 3.1 document, made from the endpoints and the schemas that validate; nothing in it is written twice.

Source: https://spec.openapis.org/oas/v3.1.0
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from api.errors import MalformedRequest, Unauthorized
from api.http.endpoint import Access, Endpoint, Form, JsonForm, Reply
from api.http.schemas.problem import Problem
from api.http.schemas.texts import DigestText
from api.problems import MEDIA_TYPE, header_names, status_of
from cache.errors import Failure

_REFERENCES = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"{(\w+)}")
_ANYWHERE: tuple[type[Failure], ...] = (MalformedRequest, Failure)
_PATH_SCHEMAS: dict[str, Any] = {"id": str, "digest": DigestText}
_PATH_MEANINGS = {"id": "The build's id", "digest": "`sha256:` and 64 hexadecimal digits"}

Json = dict[str, Any]


def describe(endpoints: Sequence[Endpoint], version: str) -> bytes:
    """The whole document as JSON."""
    types = list(_types(endpoints))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCES)
    document = _Document(list(zip(types, schemas, strict=True)))
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = document.operation(endpoint)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Bloomery",
                "version": version,
                "description": "Source trees in, runtime images with only the binary out.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name} for name in dict.fromkeys(endpoint.tag for endpoint in endpoints)],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "Where the daemon's configuration has tokens",
                    },
                },
            },
        },
    )


def _types(endpoints: Iterable[Endpoint]) -> Iterator[Any]:
    """Every type that the document says something of."""
    yield Problem
    yield from _PATH_SCHEMAS.values()
    for endpoint in endpoints:
        if endpoint.query is not None:
            yield endpoint.query
            yield from (field.type for field in msgspec.structs.fields(endpoint.query))
        for form in (*endpoint.body, *(form for reply in endpoint.replies for form in reply.forms)):
            if isinstance(form, JsonForm):
                yield form.schema


class _Document:
    """Knows each type's schema."""

    def __init__(self, schemas: list[tuple[Any, Json]]) -> None:
        self._schemas = schemas

    def operation(self, endpoint: Endpoint) -> Json:
        """One method of one path."""
        operation: Json = {
            "operationId": endpoint.operation,
            "summary": endpoint.summary,
            "tags": [endpoint.tag],
            "security": [{}, {"token": []}] if endpoint.access is Access.TOKEN else [],
            "responses": self._responses(endpoint),
        }
        if endpoint.description:
            operation["description"] = endpoint.description
        if parameters := list(self._parameters(endpoint)):
            operation["parameters"] = parameters
        if endpoint.body:
            operation["requestBody"] = {"required": True, "content": self._content(endpoint.body)}
        return operation

    def _schema(self, wanted: Any) -> Json:
        return next(schema for known, schema in self._schemas if known is wanted or known == wanted)

    def _parameters(self, endpoint: Endpoint) -> Iterator[Json]:
        for name in _PATH_PARAMETER.findall(endpoint.path):
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "description": _PATH_MEANINGS[name],
                "schema": self._schema(_PATH_SCHEMAS[name]),
            }
        if endpoint.query is not None:
            for field in msgspec.structs.fields(endpoint.query):
                schema = _without_null(self._schema(field.type))
                if field.default not in (msgspec.NODEFAULT, None, ()):
                    schema = {**schema, "default": msgspec.to_builtins(field.default)}
                parameter: Json = {"name": field.encode_name, "in": "query", "required": field.required}
                if description := schema.get("description"):
                    parameter["description"] = description
                yield {**parameter, "schema": schema}
        for header in endpoint.headers:
            yield {
                "name": header.name,
                "in": "header",
                "required": False,
                "description": header.description,
                "schema": {"type": "string"},
            }

    def _responses(self, endpoint: Endpoint) -> Json:
        responses = {str(int(reply.status)): self._reply(reply) for reply in endpoint.replies}
        failures = [*endpoint.failures, *_ANYWHERE]
        if endpoint.access is Access.TOKEN:
            failures.append(Unauthorized)
        for status in sorted({status_of(failure) for failure in failures}):
            if str(int(status)) in responses:
                continue
            kinds = dict.fromkeys((each.kind, each.title) for each in failures if status_of(each) == status)
            responses[str(int(status))] = self._problem(status, list(kinds))
        return dict(sorted(responses.items()))

    def _reply(self, reply: Reply) -> Json:
        response: Json = {"description": reply.description}
        if reply.headers:
            response["headers"] = {
                name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in reply.headers.items()
            }
        if reply.forms:
            response["content"] = self._content(reply.forms)
        return response

    def _problem(self, status: HTTPStatus, kinds: list[tuple[str, str]]) -> Json:
        response: Json = {
            "description": "; ".join(f"`{kind}`: {title}" for kind, title in kinds),
            "content": {MEDIA_TYPE: {"schema": self._schema(Problem)}},
        }
        if names := header_names(status):
            response["headers"] = {name: {"schema": {"type": "string"}} for name in names}
        return response

    def _content(self, forms: Iterable[Form]) -> Json:
        return {
            form.media_type: {"schema": self._schema(form.schema)} if isinstance(form, JsonForm) else {}
            for form in forms
        }


def _without_null(schema: Json) -> Json:
    """A parameter that may be left out is never sent as null."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    return options[0] if len(options) == 1 else schema
