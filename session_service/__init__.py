"""A login-state service: sessions in Redis, short JWTs over them, served over gRPC.

Owns the promise in ``docs/architecture.md``: a token is accepted only if its signature holds
*and* its session is alive, and an ended session is refused everywhere at once.
"""
