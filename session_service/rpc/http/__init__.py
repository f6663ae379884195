"""All of plain HTTP, without a server: values in, values out.

Owns REST (the protos' ``google.api.http`` bindings and their JSON), forward-auth, CORS, the probes of
balancers and the OpenAPI document. ``app.HttpApp`` is the whole as one ``values.HttpHandler``, which any
engine can carry: start reading there. May import what else is in ``rpc`` and below; knows no sockets.
"""
