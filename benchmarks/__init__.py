"""Measures what the service costs: ``make bench`` prints a table and writes ``build/bench.json``.

Load comes from a process of its own that is not Python (``loadgen/``, Go), over a Redis that is a
child process with the product's own options but without persistence. What is compared alternates
in one run (A B A B …): ratios of neighbours hold on a noisy machine where figures do not.

Start reading at ``__main__``, which calls one function of each of these:

``against_go``    strict checks beside a peer written by hand in Go (``peers/go``)
``checks``        checks on each engine beside a handler that does nothing
``ways``          REST, forward-auth, ext_authz, TLS, a gateway
``calls``         the other methods, a storm of logins, two workers
``worker``        a worker's start and memory
``remembering``   the client's verifier, and what it costs the server
``sizes``         what a million sessions cost

They stand on these:

``engines``       the engines and their empty handlers
``population``    users and sessions, created by the product's own stores
``processes``     Redis, the service and its peers as child processes, their CPU time and memory
``go_programs``   builds the load generator and the Go peer
``load``          runs the load generator
``figures``       named numbers with their bars, and runs in turn
``report``        the table and the JSON
"""
