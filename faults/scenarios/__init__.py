"""Small programs that use each thing that has descriptors. Each takes a Wire, ends by itself, and leaves nothing.

Run by sweep.py (a system call fails) and by cancel.py (a task is cancelled), on Rondeau and on asyncio, which is the oracle:
where asyncio hangs or leaks as well, the scenario is asked to be better, not the loop.
"""

from collections.abc import Awaitable, Callable

from wire import Wire

from . import local, other, tcp, tls

Scenario = Callable[[Wire], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in [
        tcp.streams,
        tcp.twenty_clients,
        tcp.told_together,
        tcp.protocols,
        tcp.buffered,
        tcp.half_close,
        tcp.aborted,
        tcp.sock_calls,
        tcp.handed_over,
        local.unix_streams,
        local.datagrams,
        local.unix_datagrams,
        local.pipes,
        local.subprocess_pipes,
        tls.tls_streams,
        tls.upgraded,
        other.started_and_stopped,
        other.executor,
        other.sendfile,
        other.sock_sendfile,
        other.files,
        other.threads,
        other.signals,
    ]
}
