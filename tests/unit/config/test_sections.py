"""The sections' limits and the values they become."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from session_service.config import Config
from session_service.domain.models import SessionPolicy
from session_service.domain.service_keys import ServiceKeys, new_service_key, service_key_digest
from session_service.domain.throttling import ThrottlePolicy


def test_the_defaults_are_the_domains() -> None:
    """A configuration that says nothing is the policy that the domain has by itself."""
    assert Config().session.policy() == SessionPolicy()
    assert Config().throttling.policy() == ThrottlePolicy()


def test_throttling_becomes_the_domains_policy() -> None:
    """Every limit reaches its counter."""
    values = {"per_account_and_address": 1, "per_address": 2, "per_account": 3, "window": 4}
    config = Config.model_validate({"throttling": values})
    assert config.throttling.policy() == ThrottlePolicy(**values)


def test_a_configured_key_identifies_its_holder() -> None:
    """A digest as it was printed, in either case, lets its key in with its roles."""
    key = new_service_key()
    entry = {"name": "ops", "digest": service_key_digest(key).upper(), "roles": ["admin"]}
    config = Config.model_validate({"admin": {"service_keys": [entry]}})
    found = ServiceKeys(config.admin.keys()).identify(key)
    assert found is not None
    assert (found.name, found.roles) == ("ops", ("admin",))
    assert service_key_digest(key) not in repr(config)


def test_admin_is_closed_unless_configured() -> None:
    """No key comes with the service (ASVS 6.3.2)."""
    assert Config().admin.keys() == ()


def test_gateways_are_not_answered_unless_configured() -> None:
    """The decision for gateways is off, and then nothing is public and no cookie counts."""
    assert Config().authz == Config.model_validate({"authz": {"enabled": False}}).authz
    assert (Config().authz.enabled, Config().authz.cookie, Config().authz.public_paths) == (False, None, ())


def test_public_paths_from_one_text() -> None:
    """The environment gives them between commas; a wrong one is told with what is wrong about it."""
    config = Config.model_validate({"authz": {"public_paths": "/login,/static/*"}})
    assert config.authz.public_paths == ("/login", "/static/*")
    with pytest.raises(ValidationError, match="would make every path public"):
        Config.model_validate({"authz": {"public_paths": "/login,/*"}})


@pytest.mark.parametrize("listen", ["127.0.0.1:50051", "[::1]:0", "unix:/run/session.sock", "localhost:1"])
def test_where_to_listen(listen: str) -> None:
    """TCP addresses and unix sockets are taken."""
    assert Config.model_validate({"server": {"listen": listen}}).server.listen == listen


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("server", {"listen": "127.0.0.1"}),
        ("server", {"listen": ":50051"}),
        ("server", {"listen": "::1:50051"}),
        ("server", {"listen": "unix:"}),
        ("server", {"listen": "localhost:65536"}),
        ("server", {"workers": 0}),
        ("server", {"workers": 257}),
        ("server", {"shutdown_grace": "inf"}),
        ("server", {"max_message_bytes": 100}),
        ("server", {"max_message_bytes": 2**31}),
        ("server", {"max_metadata_bytes": 100}),
        ("server", {"max_connection_age": 2_592_000}),
        ("server", {"tls": {"cert_file": "c"}}),
        ("server", {"trusted_proxies": ["10.0.0.1/8"]}),
        ("redis", {"port": 0}),
        ("redis", {"db": -1}),
        ("redis", {"connect_timeout": 0}),
        ("redis", {"command_timeout": "nan"}),
        ("redis", {"sentinel": {"service": "m", "nodes": []}}),
        ("redis", {"cluster": {"nodes": ["a"]}}),
        ("session", {"token_expire": 0}),
        ("session", {"token_expire": 2**31}),
        ("session", {"touch_interval": 0}),
        ("session", {"max_sessions": 1_001}),
        ("session", {"idle_timeout": -1}),
        ("throttling", {"per_address": 0}),
        ("tokens", {"issuer": ""}),
        ("admin", {"service_keys": [{"name": "a b", "digest": "0" * 64, "roles": ["admin"]}]}),
        ("admin", {"service_keys": [{"name": "a", "digest": "0" * 63, "roles": ["admin"]}]}),
        ("admin", {"service_keys": [{"name": "a", "digest": "0" * 64, "roles": []}]}),
        ("admin", {"service_keys": [{"name": "a", "digest": "0" * 64}]}),
        ("authz", {"cookie": "a b"}),
        ("authz", {"cookie": ""}),
        ("authz", {"public_paths": ["static/*"]}),
        ("authz", {"public_paths": ["/*"]}),
        ("authz", {"public_paths": ["/static*"]}),
        ("authz", {"public_paths": ["/a/../b"]}),
        ("logging", {"level": "loud"}),
        ("metrics", {"listen": "9464"}),
    ],
)
def test_a_value_out_of_its_limits_is_refused(section: str, values: dict[str, Any]) -> None:
    """Each limit is kept."""
    with pytest.raises(ValidationError):
        Config.model_validate({section: values})
