"""Every key in Redis, built here and nowhere else.

``{…}`` is a literal hash tag: all of one user's keys share a slot of a Redis Cluster, so that every
change of state is one script. A user id has no braces (``domain.validation``), so the tag is exact.
"""

from __future__ import annotations

import hashlib

AUDIT_STREAM = "session_events"
# The tag is the stream's whole name, which puts the counters into its slot: one script writes both.
AUDIT_COUNTERS = "session_stats:{session_events}"
USERNAMES = "usernames"
SWEEP_LOCK = "sweep_lock"

ANY_SESSION = "user_session:{*}:*"
ANY_TOKEN = "token:{*}:*"  # noqa: S105 - a pattern
ANY_SESSION_INDEX = "user_sessions:{*}"
ANY_USER = "user:{*}"
ANY_USERNAME = "username:*"


def session_prefix(user_id: str) -> str:
    """What precedes the session id in a session's key."""
    return f"user_session:{{{user_id}}}:"


def session(user_id: str, session_id: str) -> str:
    """The hash of one session."""
    return f"user_session:{{{user_id}}}:{session_id}"


def token_prefix(user_id: str) -> str:
    """What precedes the token id in an access token's key."""
    return f"token:{{{user_id}}}:"


def token(user_id: str, token_id: str) -> str:
    """The string that holds an access token's session id for as long as the token lives."""
    return f"token:{{{user_id}}}:{token_id}"


def session_index(user_id: str) -> str:
    """The sorted set of a user's session ids by absolute expiry."""
    return f"user_sessions:{{{user_id}}}"


def user(user_id: str) -> str:
    """The hash of a directory user."""
    return f"user:{{{user_id}}}"


def username(normalised: str) -> str:
    """The string that claims a normalised name for a user id."""
    return f"username:{normalised}"


def user_devices(user_id: str) -> str:
    """The sorted set of a user's known device fingerprints by when each was last seen."""
    return f"user_devices:{{{user_id}}}"


def login_request(user_id: str, proof: str, fingerprint: str, request_id: str) -> str:
    """The string that remembers which session a creation with this request id made.

    A login by password never gets what a trusted service's creation made, nor one device another's
    session, however guessable their request ids are.
    """
    return f"login_request:{{{user_id}}}:{proof}:{fingerprint}:{request_id}"


def login_attempts(scope: str, subject: str) -> str:
    """The counter of one subject's attempts; hashed, as people type passwords into name fields."""
    return f"login_attempts:{scope}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"


def audit_writer(writer_id: str) -> str:
    """The number of the last batch of audit events that a process wrote; in the stream's slot."""
    return f"audit_writer:{{{AUDIT_STREAM}}}:{writer_id}"


def owner(key: str) -> str:
    """The user id in a key's hash tag."""
    return key[key.index("{") + 1 : key.index("}")]


def last_part(key: str) -> str:
    """The session or token id at the end of a key."""
    return key.rpartition(":")[2]


def claimed_name(key: str) -> str:
    """The normalised name that a claim's key is about."""
    return key.partition(":")[2]
