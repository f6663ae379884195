"""The command line: ``session-service``."""

try:
    from session_service.cli.main import main
except ModuleNotFoundError as error:
    # The command is installed with the client, too, which needs nothing of what it imports.
    if (error.name or "session_service").partition(".")[0] == "session_service":
        raise
    message = "Error: the extra 'server' is not installed: pip install 'session-service[server]'"
    raise SystemExit(f"{message} ({error})") from None

__all__ = ["main"]
