"""Stubs of the proto package ``session.v1``; all but this file is written by ``make proto``.

``session_pb2``
    User, DeviceInfo, Session.
``session_service_pb2``, ``session_service_pb2_grpc``
    SessionService: log in, check, list, end.
``admin_service_pb2``, ``admin_service_pb2_grpc``
    AdminService: users and sessions, for operators and trusted services.
``error_reason_pb2``
    ErrorReason: why a call failed.
"""
