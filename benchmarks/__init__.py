"""Measures what the service costs: ``make bench`` prints a table and writes ``build/bench.json``.

Load comes from a process of its own that is not Python (``loadgen/``, Go), over a Redis that is a
child process with the product's own options but without persistence. What is compared alternates
in one run (A B A B …): ratios of neighbours hold on a noisy machine where figures do not.

``figures``    what is measured, each function one part of the table
``population`` users and sessions, created by the product's own stores
``processes``  Redis, the service and the empty handler as child processes, and their CPU time
``load``       builds and runs the load generator
``report``     the table, the bars, the JSON
"""
