"""What a session is and what may happen to it; imports nothing but the standard library.

Owns the values (``models``), the rules (``policy``, ``validation``), the use-cases (``checks``,
``logins``, ``devices``, ``administration``), the errors and the ports that the other packages
implement. Knows no Redis, no JWT library and no gRPC.
"""
