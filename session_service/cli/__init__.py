"""The command line: ``session-service``."""

from session_service.cli.main import main

__all__ = ["main"]
