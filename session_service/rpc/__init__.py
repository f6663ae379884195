"""The gRPC edge: servicers, status mapping, conversions and the engines they are mounted on.

Owns everything that speaks protobuf or gRPC; knows the use-cases of ``domain`` and no Redis key.
"""
