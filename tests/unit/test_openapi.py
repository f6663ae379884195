"""The OpenAPI document: generated from the contract as it is, whole, and right about what it refers to."""

from __future__ import annotations

import json
import re
from typing import Any

from protos.openapi import OUTPUT, document
from session_service.rpc.http.app import REST_SERVICES
from session_service.rpc.http.bindings import bindings, descriptor_set
from session_service.rpc.http.status import HTTP_STATUS
from session_service.rpc.status import CODES

COMMITTED: dict[str, Any] = json.loads(OUTPUT.read_text("utf-8"))
PAGES = {"/healthz", "/readyz", "/openapi.json"}


def test_it_is_what_the_contract_gives() -> None:
    """``make proto`` writes it anew."""
    assert document(descriptor_set()) == COMMITTED


def test_every_path_is_in_it() -> None:
    """By the method of HTTP, and none besides but the pages."""
    expected = {(each.template, each.verb.lower()) for each in bindings(descriptor_set(), REST_SERVICES)}
    found = {(path, verb) for path, item in COMMITTED["paths"].items() for verb in item}
    assert found == expected | {(path, "get") for path in PAGES}


def test_every_reference_leads_somewhere() -> None:
    """And every schema is referred to."""
    references = set(re.findall(r'"#/components/(\w+)/(\w+)"', json.dumps(COMMITTED)))
    components = COMMITTED["components"]
    assert references == {(kind, name) for kind in ("schemas", "responses") for name in components[kind]}


def test_every_operation_is_explained() -> None:
    """By the contract's comments, with a name of its own, and failures of one shape."""
    items = [item for path, item in COMMITTED["paths"].items() if path not in PAGES]
    operations = [operation for item in items for operation in item.values()]
    assert all(each["summary"] and each["description"] for each in operations)
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    for each in operations:
        assert {"200", "400", "413", "431", "500", "503", "504"} <= set(each["responses"])


def test_every_status_of_an_error_is_in_it() -> None:
    """Whatever the service raises has a status that some operation tells of."""
    operations = [operation for item in COMMITTED["paths"].values() for operation in item.values()]
    told = {status for operation in operations for status in operation["responses"]}
    assert {str(HTTP_STATUS[code]) for code in CODES.values()} <= told


def test_secrets_need_a_credential() -> None:
    """What an operator may do says so, and what a user may do."""
    paths = COMMITTED["paths"]
    assert paths["/v1/admin/stats"]["get"]["security"] == [{"service_key": []}, {"access_token": []}]
    assert paths["/v1/sessions"]["get"]["security"] == [{"access_token": []}]
    assert paths["/v1/login"]["post"]["security"] == []
