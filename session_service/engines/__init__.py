"""What carries the methods of ``rpc`` between sockets and the servicers.

Owns the servers: ``native`` (bytes move in Rust, Python decides in batches) and ``grpc_aio`` (everywhere,
and the reference for behaviour). May import ``rpc`` and what lies below it; wired by ``app`` and ``serving``.
"""
