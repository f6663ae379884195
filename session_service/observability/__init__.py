"""Seeing the service run: structured logs, Prometheus metrics.

Owns how a log line is written and what may never be in it, the metrics and how they are served
with one worker or several. The other packages log through ``logging`` and tell their observers
(small protocols of their own, which the parts of ``Metrics`` satisfy); none of them imports this.
"""
