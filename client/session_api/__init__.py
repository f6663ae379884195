"""The service's gRPC API as generated Python, one subpackage per version of the protos.

Needs protobuf and grpcio only. Most callers want ``session_client``, which is built on it.
"""
