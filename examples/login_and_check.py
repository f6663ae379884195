# ruff: noqa: INP001, T201 - a script that talks to people
"""Logs the demo user in, checks the token, shows the user's sessions, and logs out again.

With ``make run`` in another terminal::

    set -a; . .session-service/dev.env; set +a
    .venv/bin/python examples/login_and_check.py
"""

import os

from session_client import Device, ServiceUnavailable, SessionClient, TokenError


def main() -> None:
    """One session from its beginning to its end."""
    with SessionClient(os.environ["SESSION_ADDRESS"]) as sessions:
        login = sessions.login(
            os.environ["SESSION_DEMO_USERNAME"],
            os.environ["SESSION_DEMO_PASSWORD"],
            device=Device(name="example", platform="cli"),
        )
        print(f"logged in: session {login.session_id} until {login.session_expire_time:%d %B, %H:%M} UTC")
        print(f"check: {is_logged_in(sessions, login.access_token)}")
        for session in sessions.iter_sessions(login.access_token):
            print(f"session on {session.device.name}{' (this one)' if session.current else ''}")
        sessions.logout(login.access_token)
        print(f"check after logout: {is_logged_in(sessions, login.access_token)}")


def is_logged_in(sessions: SessionClient, access_token: str) -> str:
    """What a backend does on each request of its own."""
    try:
        identity = sessions.verify_token(access_token)
    except TokenError as error:
        return f"no, {error}"
    except ServiceUnavailable:
        return "not known at this moment"  # answer 503: neither let in nor log out
    return f"yes, {identity.username}"


if __name__ == "__main__":
    main()
