"""What is hashed, what is accepted from elsewhere, and what it may cost."""

from __future__ import annotations

import hashlib
import re
import time
from base64 import b64encode
from typing import Any

import argon2
import bcrypt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from session_service.users.password_hashes import OWASP_ARGON2ID, Argon2Profile, PasswordHashes

PASSWORD = "correct horse lètmein"
CHEAP = PasswordHashes(Argon2Profile(memory_kib=8, passes=1))
ARGON2ID = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=4).hash(PASSWORD)
ARGON2I = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, type=argon2.Type.I).hash(PASSWORD)
BCRYPT = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
SHORT = CHEAP.hash("x")


def _crypt64(raw: bytes) -> str:
    """The base64 of passlib: no padding, and ``.`` for ``+``."""
    return b64encode(raw).decode().rstrip("=").replace("+", ".")


def _pbkdf2(digest: str, rounds: int = 1000, salt: bytes = b"saltsaltsalt") -> bytes:
    return hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), salt, rounds)


def _passlib_pbkdf2(name: str, digest: str) -> str:
    return f"${name}$1000${_crypt64(b'saltsaltsalt')}${_crypt64(_pbkdf2(digest))}"


def _django_pbkdf2(digest: str) -> str:
    return f"pbkdf2_{digest}$1000$saltsaltsalt${b64encode(_pbkdf2(digest)).decode()}"


def _scrypt() -> str:
    raw = hashlib.scrypt(PASSWORD.encode(), salt=b"saltsaltsalt", n=16, r=8, p=1, dklen=32)
    salt, digest = (b64encode(each).decode().rstrip("=") for each in (b"saltsaltsalt", raw))
    return f"$scrypt$ln=4,r=8,p=1${salt}${digest}"


def _django_bcrypt_sha256() -> str:
    inner = hashlib.sha256(PASSWORD.encode()).hexdigest().encode()
    return "bcrypt_sha256$" + bcrypt.hashpw(inner, bcrypt.gensalt(4)).decode()


BROUGHT = {
    "argon2id": ARGON2ID,
    "argon2i": ARGON2I,
    "bcrypt": BCRYPT,
    "bcrypt 2y": BCRYPT.replace("$2b$", "$2y$"),
    "scrypt": _scrypt(),
    "pbkdf2 sha1": _passlib_pbkdf2("pbkdf2", "sha1"),
    "pbkdf2 sha256": _passlib_pbkdf2("pbkdf2-sha256", "sha256"),
    "pbkdf2 sha512": _passlib_pbkdf2("pbkdf2-sha512", "sha512"),
    "django pbkdf2 sha256": _django_pbkdf2("sha256"),
    "django pbkdf2 sha1": _django_pbkdf2("sha1"),
    "django argon2id": "argon2" + ARGON2ID,
    "django argon2i": "argon2" + ARGON2I,
    "django bcrypt": "bcrypt$" + BCRYPT,
    "django bcrypt sha256": _django_bcrypt_sha256(),
}


@pytest.mark.parametrize("stored", BROUGHT.values(), ids=BROUGHT.keys())
def test_a_hash_brought_from_elsewhere_is_verified_and_replaced(stored: str) -> None:
    """A hash made by another implementation lets its password in, once more as argon2id, and no other in."""
    assert CHEAP.recognises(stored)
    kept = CHEAP.verify(PASSWORD, stored)
    assert kept is not None
    assert kept.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert CHEAP.verify(PASSWORD, kept) == kept
    assert CHEAP.verify(PASSWORD + "x", stored) is None


def test_new_hashes_have_the_parameters_of_owasp() -> None:
    """A new hash is argon2id with 19 MiB, 2 passes and 1 lane, over 16 bytes of salt."""
    stored = PasswordHashes().hash(PASSWORD)
    parameters = argon2.extract_parameters(stored)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (parameters.salt_len, parameters.hash_len) == (16, 32)
    assert argon2.PasswordHasher().verify(stored, PASSWORD)


@pytest.mark.parametrize("other", [Argon2Profile(16, 1), Argon2Profile(8, 2), Argon2Profile(16, 1, 2)])
def test_a_hash_of_other_parameters_is_replaced(other: Argon2Profile) -> None:
    """A login after a change of parameters gives a hash of today's, up or down."""
    stored = PasswordHashes(other).hash(PASSWORD)
    kept = CHEAP.verify(PASSWORD, stored)
    assert kept is not None
    assert kept.startswith("$argon2id$v=19$m=8,t=1,p=1$")


def test_the_same_password_never_gives_the_same_hash() -> None:
    """Each hash has a salt of its own."""
    assert CHEAP.hash(PASSWORD) != CHEAP.hash(PASSWORD)


def test_a_password_is_taken_as_it_is() -> None:
    """Case, spaces and the form of Unicode all count (ASVS 6.2.8)."""
    stored = CHEAP.hash("Caf\u00e9 ")
    assert CHEAP.verify("Caf\u00e9 ", stored)
    for other in ("caf\u00e9 ", "Caf\u00e9", "Cafe\u0301 "):
        assert CHEAP.verify(other, stored) is None


@pytest.mark.parametrize("password", ["x" * 73, "\u20ac" * 25, "a\0b", "\ud800"])
@pytest.mark.parametrize("stored", [BCRYPT, "bcrypt$" + BCRYPT, ARGON2ID])
def test_a_password_that_a_format_cannot_take_is_a_wrong_password(password: str, stored: str) -> None:
    """More than bcrypt's 72 bytes, NUL and lone surrogates are answered like any wrong password."""
    assert CHEAP.verify(password, stored) is None


MALFORMED = [
    "",
    "x",
    "plain text",
    "$argon2id$",
    ARGON2ID.rpartition("$")[0],
    ARGON2ID.replace("m=64", "m=1"),
    ARGON2ID.replace("v=19", "v=99"),
    ARGON2ID.replace("p=4", "p=4,keyid=aa"),
    ARGON2ID + "\u00e9",
    BCRYPT[:-1],
    BCRYPT[:29],
    "$2b$12$zz",
    "$2x$" + BCRYPT[4:],
    "$scrypt$ln=x,r=8,p=1$aa$bb",
    "$scrypt$rounds$aa$bb",
    "pbkdf2_sha256$x$salt$digest",
    "scrypt$16$salt$8$1",
    "scrypt$16$salt$8$1$not-base64!",
    "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99",
    "5f4dcc3b5aa765d61d8327deb882cf99",
    "$6$rounds=5000$salt$digest",
    "!unusable",
    "x" * 10_000,
]


@pytest.mark.parametrize("stored", MALFORMED)
def test_what_is_no_hash_lets_nobody_in(stored: str) -> None:
    """A malformed or foreign hash is not recognised, and checking against it is a wrong password."""
    assert not CHEAP.recognises(stored)
    assert CHEAP.verify(PASSWORD, stored) is None


DEAR = [
    "$argon2id$v=19$m=524288,t=1,p=1$c29tZXNhbHQ$" + "A" * 43,
    "$argon2id$v=19$m=64,t=1,p=1$" + "A" * 600 + "$" + "A" * 43,
    "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$" + "A" * 43,
    "$argon2id$v=19$m=65536,t=100000,p=1$c29tZXNhbHQ$" + "A" * 43,
    "$argon2id$v=19$m=65536,t=1,p=1000$c29tZXNhbHQ$" + "A" * 43,
    "argon2$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$" + "A" * 43,
    BCRYPT.replace("$04$", "$31$"),
    BCRYPT.replace("$04$", "$15$"),
    "bcrypt$" + BCRYPT.replace("$04$", "$31$"),
    _django_bcrypt_sha256().replace("$04$", "$31$"),
    _scrypt().replace("ln=4", "ln=30"),
    _scrypt().replace("r=8", "r=100000000"),
    _scrypt().replace("p=1", "p=1000000"),
    "scrypt$1073741824$salt$8$1$" + b64encode(bytes(64)).decode(),
    "scrypt$16384$salt$8$1000000$" + b64encode(bytes(64)).decode(),
    _django_pbkdf2("sha256").replace("$1000$", "$1000000000$"),
    _passlib_pbkdf2("pbkdf2-sha512", "sha512").replace("$1000$", "$1000000000$"),
]


@pytest.mark.parametrize("stored", DEAR)
def test_a_hash_that_costs_too_much_is_refused_unrun(stored: str) -> None:
    """Parameters that would take gigabytes or minutes are refused before anything is computed."""
    before = time.thread_time()
    assert not CHEAP.recognises(stored)
    assert CHEAP.verify(PASSWORD, stored) is None
    assert time.thread_time() - before < 0.5


@pytest.mark.parametrize(
    "stored",
    [
        "$argon2id$v=19$m=262144,t=4,p=8$c29tZXNhbHQ$" + "A" * 43,
        "argon2$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHQ$" + "A" * 43,
        BCRYPT.replace("$04$", "$14$"),
        _scrypt().replace("ln=4", "ln=17"),
        _django_pbkdf2("sha256").replace("$1000$", "$1200000$"),
    ],
)
def test_the_strongest_defaults_in_use_are_within_the_limits(stored: str) -> None:
    """What Django, OWASP, libsodium (moderate) and bcrypt users set by default can be brought along."""
    assert CHEAP.recognises(stored)


def test_an_unknown_user_costs_what_a_wrong_password_costs() -> None:
    """Processor time does not tell an unknown user, or a broken hash, from a wrong password (ASVS 6.3.8)."""
    hashes = PasswordHashes(OWASP_ARGON2ID)
    stored = hashes.hash(PASSWORD)

    def cost(against: str | None) -> float:
        before = time.thread_time()
        assert hashes.verify("wrong", against) is None
        return time.thread_time() - before

    wrong = min(cost(stored) for _ in range(5))
    for against in (None, "malformed", DEAR[0], BCRYPT[:-1]):
        assert 0.7 * wrong < min(cost(against) for _ in range(5)) < 1.4 * wrong


@given(st.text(max_size=200))
def test_no_text_breaks_recognition(text: str) -> None:
    """Whatever stands where a hash should, the answer is yes or no, not an exception."""
    assert isinstance(CHEAP.recognises(text), bool)


@pytest.mark.filterwarnings("ignore:encountered a bcrypt:passlib.exc.PasslibHashWarning")
@settings(deadline=None, max_examples=300)
@given(st.sampled_from([SHORT, BCRYPT, *BROUGHT.values()]), st.data())
def test_a_damaged_hash_never_raises(stored: str, data: st.DataObject) -> None:
    """A hash with one character changed or cut out is answered, and lets nobody in."""
    position = data.draw(st.integers(0, len(stored) - 1))
    character = data.draw(st.characters(max_codepoint=0x2FF) | st.just(""))
    damaged = stored[:position] + character + stored[position + 1 :]
    assume(damaged != stored and not re.search(r"\$1\d\$", damaged))  # bcrypt's cost 14 takes a second
    assert isinstance(CHEAP.recognises(damaged), bool)
    CHEAP.verify("wrong", damaged)


@pytest.mark.parametrize(
    "changed",
    [
        {"hash_len": 16},
        {"time_cost": 2},
        {"memory_cost": 16},
        {"parallelism": 2, "memory_cost": 16},
    ],
    ids=str,
)
def test_a_hash_that_differs_in_anything_is_replaced(changed: dict[str, int]) -> None:
    """Only one exactly as those of today is kept as it is."""
    today = {"time_cost": 1, "memory_cost": 8, "parallelism": 1, "hash_len": 32}
    make: Any = argon2.PasswordHasher
    kept = make(**today).hash(PASSWORD)
    assert CHEAP.verify(PASSWORD, kept) == kept
    other = make(**today | changed).hash(PASSWORD)
    replaced = CHEAP.verify(PASSWORD, other)
    assert replaced not in {None, other}
    assert CHEAP.verify(PASSWORD + "x", other) is None
