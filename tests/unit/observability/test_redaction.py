"""What looks like a secret is not written."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_service.domain.policy import new_id
from session_service.domain.service_keys import new_service_key
from session_service.observability import redaction
from session_service.observability.redaction import REDACTED, redact, redact_text
from session_service.users.password_hashes import Argon2Profile, PasswordHashes


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


JWT = ".".join(
    (_b64(json.dumps({"alg": "EdDSA", "typ": "at+jwt"})), _b64(json.dumps({"sub": "u"})), "s" * 86)
)
REFRESH = f"user-1.{new_id()}.17.key-1.{'m' * 43}"
SERVICE_KEY = new_service_key()
HASH = PasswordHashes(Argon2Profile(8, 1)).hash("x")


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "token",
        "access_token",
        "refresh_token",
        "authorization",
        "Authorization",
        "x-service-key",
        "service_key",
        "password_hash",
        "client_secret",
        "private_key",
        "credentials",
    ],
)
def test_a_field_named_like_a_secret_is_not_written(name: str) -> None:
    """Whatever its value, down into mappings and lists."""
    assert redact(name, "x") == REDACTED
    assert redact("request", {name: "x", "user_id": "u"}) == {name: REDACTED, "user_id": "u"}
    assert redact("requests", [{name: ["x"]}]) == [{name: REDACTED}]


@pytest.mark.parametrize(
    "name", ["token_id", "user_id", "session_id", "method", "tokens_issued", "kid", "key_file"]
)
def test_ids_and_facts_are_written(name: str) -> None:
    """What an operator needs to follow a session stays."""
    assert redact(name, "value-1") == "value-1"


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        REFRESH,
        SERVICE_KEY,
        HASH,
        "$2b$12$" + "a" * 53,
        "$scrypt$ln=16,r=8,p=1$aa$bb",
        "pbkdf2_sha256$600000$salt$digest=",
        "scrypt$16384$salt$8$5$digest==",
    ],
)
@pytest.mark.parametrize("text", ["{}", "before {} after", "({})", '"{}"', "key={}"])
def test_a_text_that_holds_a_secret_loses_it(secret: str, text: str) -> None:
    """Tokens, refresh tokens, service keys and password hashes go, wherever they stand; the rest stays."""
    written = redact_text(text.format(secret))
    assert secret not in written
    assert REDACTED in written
    assert written.startswith(text.partition("{")[0])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("redis://user:hunter2@host:1/0", f"redis://{REDACTED}@host:1/0"),
        ("rediss://:hunter2@host", f"rediss://{REDACTED}@host"),
        ("authorization: Bearer hunter2", f"authorization: Bearer {REDACTED}"),
    ],
)
def test_passwords_of_urls_and_bearer_tokens_go(text: str, written: str) -> None:
    """The part that is secret goes and the part that helps stays."""
    assert redact_text(text) == written


@pytest.mark.parametrize(
    "text",
    [
        "session ended",
        "http://host/path@x",
        "session.v1.SessionService/VerifyToken",
        new_id(),
        "2026-01-02T03:04:05.678Z",
        "redis://host:6379/0",
        "user@example.com",
    ],
)
def test_plain_texts_stay(text: str) -> None:
    """Ids, methods, times and addresses are no secrets."""
    assert redact_text(text) == text


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_can_be_written(value: object) -> None:
    """Whatever is logged becomes something that JSON can hold."""
    json.dumps(redact("fact", value))


@pytest.mark.parametrize(
    "near_miss",
    ["a.", "ey", "ey-", "://", ":", "a" * 22 + ".1.k.", "bearer ", "$2b$ ", "$pbkdf2", "x" * 21 + "."],
)
def test_a_long_text_is_searched_in_linear_time(near_miss: str) -> None:
    """A megabyte that nearly looks like secrets costs about what a plain one does."""
    text = "://ey" + near_miss * (1_000_000 // len(near_miss))
    before = time.thread_time()
    redact_text(text)
    assert time.thread_time() - before < 0.8


_SECRETS = (JWT, REFRESH, SERVICE_KEY, SERVICE_KEY.upper(), HASH, "Bearer x", "BEARER\ty", "redis://a:b@c")
_PIECES = (*_SECRETS, "x", " ", "ssk", ".")


@given(st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=3)), max_size=5).map("".join))
def test_what_is_not_searched_holds_nothing(text: str) -> None:
    """The look before the search changes no outcome."""
    assert redact_text(text) == redaction._SECRET_TEXTS.sub(REDACTED, text)
