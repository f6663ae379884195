# ruff: noqa: INP001 - a script, not a package
"""Writes the OpenAPI document of REST from the contract's bindings and comments.

Run by ``make proto`` after ``generate.py``, whose ``session.binpb`` it reads; CI runs it and diffs. Writes
``session_service/rpc/http/openapi.json``, which is served at ``/openapi.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from protos.openapi_schemas import FAILURE_SCHEMAS, SIZES, Contract, Json, Schemas, short
from session_service.rpc.http.app import REST_SERVICES
from session_service.rpc.http.bindings import Binding, bindings, descriptor_set
from session_service.rpc.http.router import variables

OUTPUT: Final = Path(__file__).parents[1] / "session_service" / "rpc" / "http" / "openapi.json"

_STATUSES: Final = {
    "400": "The request is not valid: a field breaks its limits, or a state forbids it.",
    "401": "No credential, or one that is not good; `WWW-Authenticate` says which is asked for.",
    "403": "The credential does not carry the right.",
    "404": "No such user, session or path.",
    "408": "The request did not arrive in time.",
    "409": "The name or the id is taken.",
    "413": "The body is larger than allowed.",
    "429": "Too many attempts or calls; `Retry-After` says when to try again.",
    "431": "The header fields are larger than allowed.",
    "500": "A fault of the service.",
    "503": "The session store does not answer; nothing is known about the session. `Retry-After` says when "
    "to try again.",
    "504": "The call was not answered in time.",
}
_ALWAYS: Final = ("400", "408", "413", "429", "431", "500", "503", "504")
_OF_PAGES: Final = ("408", "413", "431", "500")
_CODES: Final = {
    "UNAUTHENTICATED": "401",
    "PERMISSION_DENIED": "403",
    "NOT_FOUND": "404",
    "ALREADY_EXISTS": "409",
}
_CHALLENGE: Final = ("WWW-Authenticate", "Which credential is asked for (RFC 6750).")
_WAIT: Final = ("Retry-After", "Seconds after which trying again makes sense.")
_HEADERS: Final = {"401": _CHALLENGE, "403": _CHALLENGE, "429": _WAIT, "503": _WAIT}


_SECURITY_SCHEMES: Final[Json] = {
    "access_token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of a login.",
    },
    "service_key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-service-key",
        "description": "The key of an operator or a trusted service.",
    },
}


def document(files: FileDescriptorSet) -> Json:
    """The whole document."""
    contract = Contract(files)
    schemas = Schemas(contract)
    paths: dict[str, Json] = {}
    seen: dict[str, int] = {}
    for binding in bindings(files, REST_SERVICES):
        seen[binding.method] = seen.get(binding.method, 0) + 1
        operation = _operation(contract, schemas, binding, seen[binding.method])
        paths.setdefault(binding.template, {})[binding.verb.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "session-service",
            "version": "v1",
            "description": contract.comments[REST_SERVICES[0]],
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": short(name), "description": contract.comments[name]} for name in REST_SERVICES],
        "paths": paths | _pages(),
        "components": {
            "securitySchemes": _SECURITY_SCHEMES,
            "responses": {_title(status): _response(status) for status in _STATUSES},
            "schemas": dict(sorted((schemas.found | FAILURE_SCHEMAS).items())),
        },
    }


def _operation(contract: Contract, schemas: Schemas, binding: Binding, number: int) -> Json:
    service, _, name = binding.method.removeprefix("/").partition("/")
    asked, answered = contract.methods[binding.method]
    comment = contract.comments[binding.method]
    operation: Json = {
        "operationId": name if number == 1 else f"{name}{number}",
        "tags": [short(service)],
        "summary": comment.partition(".")[0].replace("\n", " ") + ".",
        "description": comment,
        "security": _security(service, comment),
        "parameters": list(_parameters(contract, binding, asked)),
        "responses": _responses(schemas.answer(answered), _statuses(service, binding, comment)),
    }
    if binding.has_body:
        body = schemas.question(asked, variables(binding.template))
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def _parameters(contract: Contract, binding: Binding, asked: str) -> Iterator[Json]:
    inside = variables(binding.template)
    for field in contract.messages[asked].field:
        integer = field.type in SIZES
        low, high = SIZES.get(field.type, (0, 0))
        schema: Json = {"type": "integer", "minimum": low, "maximum": high} if integer else {"type": "string"}
        described = {
            "name": field.name,
            "description": contract.comments[f"{asked}.{field.name}"],
        }
        if field.name in inside:
            yield described | {"in": "path", "required": True, "schema": schema | {"minLength": 1}}
        elif not binding.has_body and field.name in {"page_size", "page_token"}:
            yield described | {"in": "query", "schema": schema}


def _security(service: str, comment: str) -> list[Json]:
    if service.endswith("AdminService"):
        return [{"service_key": []}, {"access_token": []}]
    if "Needs the caller" in comment.replace("\n", " "):
        return [{"access_token": []}]
    return [{}, {"access_token": []}] if "metadata" in comment or comment.startswith("Checks an") else []


def _statuses(service: str, binding: Binding, comment: str) -> list[str]:
    """Every status that a path can answer with."""
    found = {*_ALWAYS} | {status for code, status in _CODES.items() if code in comment}
    if service.endswith("AdminService"):
        found |= {"401", "403"}
    if "Needs the caller" in comment.replace("\n", " "):
        found.add("401")
    if "{" in binding.template:
        found.add("404")
    return sorted(found)


def _responses(answer: Json, statuses: Iterable[str]) -> Json:
    """What a path answers with: one answer of its own, and failures of all."""
    good = {"description": "OK", "content": {"application/json": {"schema": answer}}}
    failures = {status: {"$ref": f"#/components/responses/{_title(status)}"} for status in statuses}
    return {"200": good} | failures


def _response(status: str) -> Json:
    response: Json = {
        "description": _STATUSES[status],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}},
    }
    if status in _HEADERS:
        name, text = _HEADERS[status]
        response["headers"] = {name: {"description": text, "schema": {"type": "string"}}}
    return response


def _title(status: str) -> str:
    """The name of a failure's response, such as ``NotFound``."""
    return HTTPStatus(int(status)).phrase.title().replace(" ", "").replace("-", "")


def _pages() -> dict[str, Json]:
    """What is served besides the contract."""
    health = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    live = _page("Whether the process lives.", _responses(health, _OF_PAGES))
    ready = _page("Whether the service can answer calls.", _responses(health, _OF_PAGES))
    ready["responses"]["503"] = ready["responses"]["200"] | {"description": "Not now."}
    described = _page("This document.", _responses({"type": "object"}, _OF_PAGES))
    return {"/healthz": {"get": live}, "/readyz": {"get": ready}, "/openapi.json": {"get": described}}


def _page(summary: str, responses: Json) -> Json:
    return {"summary": summary, "tags": ["Operations"], "security": [], "responses": responses}


def main() -> None:
    """Write the document in the place of the one there is."""
    text = json.dumps(document(descriptor_set()), indent=1, ensure_ascii=False)
    OUTPUT.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
