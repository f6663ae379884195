# ruff: noqa: INP001, T201 - a script that talks to people
"""A WSGI application that only logged-in users can use; one of its paths needs a role.

With ``make run`` in another terminal::

    set -a; . .session-service/dev.env; set +a
    .venv/bin/python examples/guarded_wsgi.py

Then, in a third one, with a ``TOKEN`` as README.md gets it::

    curl -i -H "authorization: Bearer $TOKEN" http://127.0.0.1:8000/me
    curl -i -H "authorization: Bearer $TOKEN" http://127.0.0.1:8000/secret

``.venv/bin/session-service --dev user roles demo admin`` lets the user see the secret as well, at once;
``LISTEN=127.0.0.1:8001`` takes another port.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from session_client import SessionClient, TokenVerifier, WsgiSessionMiddleware, current_identity, require_role


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Tell anybody, users, or administrators something, by the path."""
    match environ["PATH_INFO"]:
        case "/healthy":
            text = "yes"
        case "/secret":
            require_role("admin")
            text = "42"
        case _:
            text = current_identity().username
    start_response("200 OK", [("content-type", "text/plain")])
    return [text.encode()]


def main() -> None:
    """Serve until interrupted."""
    host, _, port = os.environ.get("LISTEN", "127.0.0.1:8000").rpartition(":")
    with SessionClient(os.environ["SESSION_ADDRESS"]) as sessions, TokenVerifier(sessions) as verifier:
        guarded = WsgiSessionMiddleware(application, verifier.verify, public=["/healthy"])
        with make_server(host, int(port), guarded) as server:
            print(f"serving on port {server.server_port}", flush=True)
            with suppress(KeyboardInterrupt):
                server.serve_forever()


if __name__ == "__main__":
    main()
