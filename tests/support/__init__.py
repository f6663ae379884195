"""What the tests stand on: real Redis servers, waiting without sleeping, other programs.

Import from here; fixtures come from `tests/conftest.py` without an import.

    eventually(condition, timeout=5)              poll until truthy, in synchronous tests
    await eventually_async(condition, timeout=5)  the same in asynchronous ones; may be a coroutine function
    free_port()                                   a free TCP port on 127.0.0.1
    require_tool("grpcurl")                       its path; skips aloud without it, fails with CI=true
    redis_binaries()                              the redis-server programs here: bundled (6.2), system

    with RedisServer(binary, {"maxmemory": "2mb"}) as server:   a server of one's own
        server.url, server.socket_url             redis://127.0.0.1:<port>, unix:///<path>
        server.port, server.socket_path           the same in parts
        server.client()                           a synchronous redis.Redis; use `with`
        server.start(), .stop(), .kill(), .restart(), .pause() (SIGSTOP), .resume(), .flush()
        server.launch()                           starts the process without waiting until it answers
        server.running, server.pid, server.log(), server.directory
    with RedisCluster(binary) as cluster:         three primaries, joined and answering
        cluster.addresses, .nodes (RedisServers), .client(), .owner("key"), .flush()

    with RedisSentinel(binary) as sentinel:       a primary, its replica and a Sentinel that watches them
        sentinel.address, .service_name, .primary, .first, .second, .sentinel, .fail_over()

    CertificateAuthority(directory)               its .certificate, and .issue("name") -> .certificate, .key

    with ServiceProcess({"redis": {"url": ...}, "session": {"max_sessions": 2}}) as service:
                                                  `session-service serve`, sections as in its YAML file
        service.address, .admin_key               host:port; an operator's x-service-key
        service.key_file, .key_document           the key ring: its file, its content (access: EdDSA)
        service.run("user", "list", text="...")   another command with the same configuration
        service.start(), .stop(), .kill(), .signal(signal.SIGHUP), .wait(), .close(); .launch() does not wait
        service.running, .pid, .worker_pids, .log(), .events("serving"), .output(), .directory
    with ServiceProcess(dev=True) as service:     `session-service --dev serve`, in a directory of its own
        service.development_values()              dev.env: SESSION_DEMO_USERNAME, SESSION_DEMO_PASSWORD ...

Fixtures; each test that uses one runs twice, on the bundled and on the system server:

    redis_server    the session's shared RedisServer, emptied before the test; never stop or pause it
    start_redis     start_redis({"maxmemory": "2mb"}) gives a RedisServer of the test's own, to break at will
    redis_cluster   the session's shared RedisCluster, emptied before the test; never stop or pause it
    start_cluster   start_cluster({...}) gives a RedisCluster of the test's own, to break at will
    redis_binary    the RedisBinary under test
    service_process the session's shared ServiceProcess over redis_server; never stop or pause it
    start_service   start_service({"session": {"max_sessions": 2}}, "--workers", "2") gives a ServiceProcess
                    of the test's own over redis_server (or over the Redis that its `redis` section names)

And those that stand alone:

    dev_service             a ServiceProcess in development mode, of the test's own
    certificate_authority   the session's CertificateAuthority
"""

from __future__ import annotations

from tests.support.certificates import CertificateAuthority, IssuedCertificate
from tests.support.ports import LOOPBACK, free_port
from tests.support.redis_binaries import RedisBinary, RedisOrigin, redis_binaries, require_redis
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_sentinel import RedisSentinel
from tests.support.redis_server import RedisServer
from tests.support.service_process import ServiceProcess
from tests.support.tools import require_tool
from tests.support.waiting import eventually, eventually_async

__all__ = [
    "LOOPBACK",
    "CertificateAuthority",
    "IssuedCertificate",
    "RedisBinary",
    "RedisCluster",
    "RedisOrigin",
    "RedisSentinel",
    "RedisServer",
    "ServiceProcess",
    "eventually",
    "eventually_async",
    "free_port",
    "redis_binaries",
    "require_redis",
    "require_tool",
]
