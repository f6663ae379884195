"""The command line: ``session-service``."""

import os

# gRPC reads it when it is imported, and would write a line of its own for each header that it cannot read:
# whoever sends those could fill the disk.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

try:
    from session_service.cli.main import main
except ModuleNotFoundError as error:
    # The command is installed with the client, too, which needs nothing of what it imports.
    if (error.name or "session_service").partition(".")[0] == "session_service":
        raise
    message = "Error: the extra 'server' is not installed: pip install 'session-service[server]'"
    raise SystemExit(f"{message} ({error})") from None

__all__ = ["main"]
