"""Everything that speaks to Redis; knows no gRPC and no JWT.

Owns the keys (``keys``), the atomic changes (``lua/``, run by ``scripts``), the stores built on them,
and the connections: ``settings`` say where Redis is, ``primary`` finds it, ``link`` and ``channel`` are
the pipelined way of reading it, ``connections`` ties them together, ``faults`` maps what goes wrong.
"""
