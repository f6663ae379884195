"""A real Envoy, by deploy/envoy/gateway.yaml, guarded by the service: who gets in, and as whom."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from session_client import Login, SessionClient, Timeouts

from deploy.envoy import configuration
from session_service.domain.public_paths import is_normal
from session_service.tokens.keys import load_key_ring
from tests.support import RedisServer, ServiceProcess, eventually, redis_binaries
from tests.support.engines import ENGINES, services_on
from tests.support.gateway import Gateway, Upstream, envoy_binary
from tests.support.http1 import Answer
from tests.support.processes import alive
from tests.support.tokens import claims_of, forge, unbase64url

IDENTITY: Final = ("x-user-id", "x-username", "x-session-id", "x-user-roles")
SPOOFED: Final = (
    ("x-user-id", "root"),
    ("X-User-ID", "root2"),
    ("x-username", "root"),
    ("x-user-roles", "admin"),
)
AUTHZ: Final = {"enabled": True, "cookie": "session", "public_paths": ["/public/*"]}
INVALID: Final = 'Bearer error="invalid_token"'

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Stack:
    """A gateway, with all that is in front of it and behind."""

    redis: RedisServer
    service: ServiceProcess
    client: SessionClient
    gateway: Gateway
    upstream: Upstream

    def login(self, username: str = "ada", roles: tuple[str, ...] = ("editor", "reader")) -> Login:
        """Open a session of a user."""
        return self.client.admin.create_session("u-1", username, roles=roles)

    def get(self, target: str, token: str | None = None, *headers: tuple[str, str]) -> Answer:
        """Ask the gateway, with a token if there is one."""
        own = () if token is None else (("authorization", f"Bearer {token}"),)
        return self.gateway.get(target, (*own, *headers))


@contextmanager
def stack_with(authz: dict[str, Any], engine: str = ENGINES[0]) -> Iterator[Stack]:
    """All of it, with this section of the service's configuration and on this engine."""
    with ExitStack() as running:
        enter = running.enter_context
        enter(services_on(engine))
        redis = enter(RedisServer(redis_binaries()[0]))
        service = enter(ServiceProcess({"redis": {"url": redis.url}, "authz": authz}))
        patient = Timeouts(read=30, write=30)
        client = enter(SessionClient(service.address, service_key=service.admin_key, timeouts=patient))
        upstream = enter(Upstream())
        gateway = enter(Gateway(service.address, upstream.address))
        yield Stack(redis, service, client, gateway, upstream)


@pytest.fixture(scope="module", params=ENGINES)
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The module's shared one on each engine; never stop anything of it."""
    with stack_with(AUTHZ, request.param) as shared:
        yield shared


@pytest.fixture(params=ENGINES)
def own_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """One of the test's own on each engine, to break at will."""
    with stack_with(AUTHZ, request.param) as own:
        yield own


@contextmanager
def another_gateway(stack: Stack, change: Change) -> Iterator[Gateway]:
    """A second Envoy over the same service, configured otherwise."""
    with Gateway(stack.service.address, stack.upstream.address, change) as other:
        yield other


def _manager(parsed: dict[str, Any]) -> dict[str, Any]:
    [chain] = parsed["static_resources"]["listeners"][0]["filter_chains"]
    config: dict[str, Any] = chain["filters"][0]["typed_config"]
    return config


def _strips_nothing(parsed: dict[str, Any]) -> None:
    del _manager(parsed)["early_header_mutation_extensions"]


def _tidies_no_path(parsed: dict[str, Any]) -> None:
    manager = _manager(parsed)
    manager |= {"normalize_path": False, "merge_slashes": False}
    manager["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED"
    manager["route_config"]["virtual_hosts"][0]["routes"].pop(0)


def _misspells_the_role(parsed: dict[str, Any]) -> None:
    route = _manager(parsed)["route_config"]["virtual_hosts"][0]["routes"][1]
    [guard] = route["typed_per_filter_config"].values()
    guard["check_settings"]["context_extensions"] = {"roles": "admin"}


def _identity(answer: Answer) -> dict[str, str]:
    """Who upstream was told makes the request."""
    assert answer.status == 200, answer
    told: dict[str, str] = answer.json()["headers"]
    return {name: value for name, value in told.items() if name in IDENTITY}


def test_the_file_is_valid_as_it_stands() -> None:
    """Envoy takes it, addresses and all."""
    command = [str(envoy_binary()), "--mode", "validate", "-c", str(configuration.FILE)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_good_token_is_let_through_as_its_user(stack: Stack) -> None:
    """Upstream learns who it is; a name in another script comes percent-encoded."""
    login = stack.login("Żaneta")
    assert _identity(stack.get("/x", login.access_token)) == {
        "x-user-id": "u-1",
        "x-username": "%C5%BBaneta",
        "x-session-id": login.session_id,
        "x-user-roles": "editor,reader",
    }


def test_without_a_token_nobody_gets_in(stack: Stack) -> None:
    """401 that asks for a token and tells of no error (RFC 6750 §3.1)."""
    answer = stack.get("/x")
    assert (answer.status, answer.reason) == (401, "TOKEN_MISSING")
    assert answer.headers["www-authenticate"] == 'Bearer realm="session-service"'
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("change", [None, _strips_nothing], ids=["gateway and service", "service alone"])
def test_nobody_says_who_he_is(stack: Stack, change: Change | None) -> None:
    """Identity headers of a client's own are replaced, or removed where nobody is known."""
    login = stack.login("ada", roles=())
    bearer = ("authorization", f"Bearer {login.access_token}")
    with another_gateway(stack, change or (lambda _: None)) as gateway:
        assert _identity(gateway.get("/x", (*SPOOFED, bearer))) == {
            "x-user-id": "u-1",
            "x-username": "ada",
            "x-session-id": login.session_id,
        }
        assert _identity(gateway.get("/public/x", SPOOFED)) == {}


def test_an_unguarded_route_names_nobody(stack: Stack) -> None:
    """The service is not asked there, so the gateway itself takes the headers off."""
    token = stack.login().access_token
    assert _identity(stack.get("/open/x", None, *SPOOFED)) == {}
    assert _identity(stack.get("/open/x", token, *SPOOFED)) == {}


def test_a_header_with_an_underscore_is_refused(stack: Stack) -> None:
    """What CGI reads as the header of the identity does not get through."""
    assert stack.get("/open/x", None, ("x_user_id", "root")).status == 400


def test_two_tokens_are_none(stack: Stack) -> None:
    """Two Authorization headers, each of them good, are invalid and not a choice."""
    token = stack.login().access_token
    answer = stack.get("/x", token, ("authorization", f"Bearer {token}"))
    assert (answer.status, answer.headers["www-authenticate"]) == (401, INVALID)
    assert answer.reason == "TOKEN_INVALID"


def test_a_cookie_carries_the_token(stack: Stack) -> None:
    """Where it is configured, alone or among others, and a header counts before it."""
    token = stack.login().access_token
    for cookies in (f"session={token}", f"a=b; session={token}; c=d"):
        assert _identity(stack.get("/x", None, ("cookie", cookies)))["x-user-id"] == "u-1"
    assert stack.get("/x", "bad", ("cookie", f"session={token}")).status == 401
    assert stack.get("/x", token, ("cookie", "session=bad")).status == 200


@pytest.mark.parametrize(
    "cookies",
    [
        ['session="{}"'],
        ["session={} x"],
        ["session={}\\"],
        ["session=\xe9{}"],
        ["session={}; session=x"],
        ["session=x; session={}"],
        ["session=x", "session={}"],
        ["a=b,session={}"],
    ],
)
def test_an_odd_cookie_is_no_token(stack: Stack, cookies: list[str]) -> None:
    """Odd characters and two values are invalid, whatever else is in the header."""
    token = stack.login().access_token
    answer = stack.get("/x", None, *(("cookie", each.format(token)) for each in cookies))
    assert (answer.status, answer.headers["www-authenticate"]) == (401, INVALID)


def test_too_many_headers_never_reach_the_service(stack: Stack) -> None:
    """20 KiB of headers are 431."""
    assert stack.get("/x", "x" * 20_480).status == 431
    assert stack.get("/x", None, ("x-long", "x" * 20_480)).status == 431


def test_an_expired_token(stack: Stack) -> None:
    """A token that was good is 401 past its time, and told so."""
    token = stack.login().access_token
    claims = claims_of(token)
    header = unbase64url(token.split(".")[0]).decode()
    key = load_key_ring(stack.service.key_file).access[0]
    expired = forge(header, claims | {"exp": claims["iat"] - 1, "iat": claims["iat"] - 60, "nbf": 0}, key)
    answer = stack.get("/x", expired)
    assert (answer.status, answer.reason) == (401, "TOKEN_EXPIRED")
    assert answer.headers["www-authenticate"] == INVALID


def test_a_revoked_token_is_out_at_once(stack: Stack) -> None:
    """The first request after the logout is 401."""
    token = stack.login().access_token
    assert stack.get("/x", token).status == 200
    stack.client.logout(token)
    answer = stack.get("/x", token)
    assert (answer.status, answer.reason) == (401, "SESSION_ENDED")


@pytest.mark.parametrize("target", ["/admin", "/admin/x", "/ADMIN/x", "/x/../admin", "/%61dmin", "//admin/x"])
def test_a_route_that_needs_a_role(stack: Stack, target: str) -> None:
    """403 without it, however the path is spelled; 200 with it; 401 for nobody."""
    answer = stack.get(target, stack.login().access_token)
    assert (answer.status, answer.reason) == (403, "ROLE_REQUIRED")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
    assert stack.get(target, stack.login(roles=("admin",)).access_token).status == 200
    assert stack.get(target).status == 401


@pytest.mark.parametrize(
    "target", ["/admin;x", "/admin;/x", "/;/admin", "/admin%3bx", "/admin%2fx", "/admin%5cx"]
)
def test_a_path_that_may_be_read_as_another_is_refused(stack: Stack, target: str) -> None:
    """No spelling that some server takes for the guarded path slips by its rule."""
    assert stack.get(target, stack.login().access_token).status == 400


def test_a_misspelt_demand_opens_nothing(stack: Stack) -> None:
    """A route with `roles` for `role` lets nobody in, instead of everybody."""
    with another_gateway(stack, _misspells_the_role) as gateway:
        for roles in ((), ("admin",)):
            token = stack.login(roles=roles).access_token
            assert gateway.get("/admin/x", [("authorization", f"Bearer {token}")]).status == 400


@pytest.mark.parametrize("change", [None, _tidies_no_path], ids=["as deployed", "service alone"])
def test_no_trick_makes_a_path_public(stack: Stack, change: Change | None) -> None:
    """Without a token nothing reaches upstream but what is public in its normal form, as it arrives there."""
    tails = [
        "..",
        ".",
        "%2e%2e",
        "%2E.",
        "..%2f",
        "..%5c",
        "..\\",
        "..;",
        ";",
        "%3b",
        "",
        "%252e%252e",
        "%c0%ae",
        "%",
    ]
    targets = [f"/public/{tail}/secret" for tail in tails] + [
        f"/public{tail}/secret" for tail in tails if tail
    ]
    targets += [
        "/public",
        "/publicx",
        "/Public/x",
        "/x?/public/x",
        "/public/x#/../../secret",
        "http://h/public/../x",
    ]
    with another_gateway(stack, change or (lambda _: None)) as gateway:
        answers = {target: gateway.get(target) for target in targets}
    assert {answer.status for answer in answers.values()} <= {200, 400, 401, 404}
    for target, answer in answers.items():
        if answer.status == 200:
            path = answer.json()["path"].partition("?")[0]
            assert path.startswith("/public/"), target
            assert is_normal(path), target


def test_the_gateway_knows_who_it_was(stack: Stack) -> None:
    """The facts are dynamic metadata: its access log has them, and neither token nor query."""
    login = stack.login()
    assert stack.get("/logged?secret=1", login.access_token).status == 200
    line = stack.gateway.access_log("/logged")
    assert (line["user_id"], line["session_id"], line["status"]) == ("u-1", login.session_id, 200)
    assert "secret" not in str(line)
    assert login.access_token not in str(line)


def test_the_token_is_kept_back_if_configured() -> None:
    """Upstream learns who it is and not by which token."""
    with stack_with(AUTHZ | {"remove_authorization": True}) as stack:
        answer = stack.get("/x", stack.login().access_token)
        assert _identity(answer)["x-user-id"] == "u-1"
        assert "authorization" not in answer.json()["headers"]


def test_a_store_that_is_away_says_neither(own_stack: Stack) -> None:
    """503 with the time to wait, for a good token, as long as Redis is away; then 200 again."""
    token = own_stack.login().access_token
    assert own_stack.get("/x", token).status == 200
    own_stack.redis.stop()
    for answer in (own_stack.get("/x", token), own_stack.get("/admin/x", token)):
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
    # Once Envoy knows that the service is unhealthy it asks all the same, and the service says why.
    eventually(lambda: own_stack.gateway.reports("session_service", "failed_active_hc"), timeout=30)
    answer = own_stack.get("/x", token)
    assert (answer.status, answer.reason) == (503, "STORE_UNAVAILABLE")
    assert own_stack.get("/x").status == 401
    assert own_stack.get("/public/x").status == own_stack.get("/open/x").status == 200


def test_a_service_that_is_away_opens_nothing(own_stack: Stack) -> None:
    """503 with the time to wait for whatever is guarded; what is not goes on."""
    token = own_stack.login().access_token
    own_stack.service.stop()
    for target in ("/x", "/public/x", "/admin/x"):
        answer = own_stack.get(target, token)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
    assert own_stack.get("/open/x").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_under_load(own_stack: Stack, how: str) -> None:
    """While the service is restarted a good token gets 200 or 503, a bad one 401 or 503, and nothing else."""
    good, ended = (own_stack.login().access_token for _ in range(2))
    own_stack.client.logout(ended)
    seen: dict[str, Counter[int]] = {good: Counter(), ended: Counter()}
    done = threading.Event()

    def ask(token: str) -> None:
        while not done.is_set():
            seen[token][own_stack.get("/x", token).status] += 1

    askers = [threading.Thread(target=ask, args=(token,)) for token in (good, ended) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        eventually(lambda: seen[good][200] > 20 and seen[ended][401] > 20, timeout=30)
        workers = own_stack.service.worker_pids
        getattr(own_stack.service, how)()
        eventually(lambda: not any(alive(pid) for pid in workers), timeout=30)
        eventually(lambda: seen[good][503] and seen[ended][503], timeout=30)
        own_stack.service.start()
        before = seen[good][200], seen[ended][401]
        eventually(lambda: seen[good][200] > before[0] + 20 and seen[ended][401] > before[1] + 20, timeout=30)
    finally:
        done.set()
        for asker in askers:
            asker.join()
    assert set(seen[good]) == {200, 503}
    assert set(seen[ended]) == {401, 503}
