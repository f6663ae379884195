"""The tests of session-service."""
