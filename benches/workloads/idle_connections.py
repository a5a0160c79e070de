"""A great many connections open at once that say nothing: memory a connection, and wake-ups.

Each connection has echoed one message before it falls silent. Memory counts the user's protocol object too
(48 B with its one slot).
"""

from harness.workload import Idle
from workloads.echo_protocol import serve

WORKLOAD = Idle(
    name="idle connections",
    operation="one connection: CPU to accept it and echo its greeting, private user memory while it is open",
    serve=serve,
    levels=(2500, 5000, 10_000),
    fresh=True,
    most_rounds=3,
)
