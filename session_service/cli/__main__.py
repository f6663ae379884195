"""``python -m session_service.cli``, for where the console script is not on PATH."""

from session_service.cli.main import main

if __name__ == "__main__":
    main(prog_name="session-service")
