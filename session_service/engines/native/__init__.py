"""The native engine: the package ``session_service_engine`` moves bytes, this side answers in batches."""
