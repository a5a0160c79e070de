"""What a program can do next, right after it has written to a connection: to its transport, and to the peer. As acts.py."""

import gc
import socket
import warnings

from acts import act, taken


@act
def peer_closes(s):
    s.peer.close()


@act
def peer_closes_then_write(s):
    s.peer.close()
    s.transport.write(b"to nobody")
    s.loop.call_soon(s.marks.append, "after the write")
    return s.transport.is_closing()


@act
def peer_is_dropped_then_write(s):
    with warnings.catch_warnings(action="ignore"):
        s.forget_peer()
        s.peer = None
    s.transport.write(b"to nobody")
    s.loop.call_soon(s.marks.append, "after the write")
    return s.transport.is_closing()


@act
def peer_in_a_cycle_then_write(s):
    cycle = [s.forget_peer()]
    s.peer = None
    cycle.append(cycle)
    del cycle
    with warnings.catch_warnings(action="ignore"):
        gc.collect()
    s.transport.write(b"to nobody")
    return s.transport.is_closing()


@act
def peer_shuts_down(s):
    s.peer.shutdown(socket.SHUT_RD)
    s.transport.write(b"to the deaf")
    return s.transport.is_closing()


@act
def transport_close(s):
    s.transport.close()


@act
def transport_abort(s):
    s.transport.abort()


@act
def transport_write_eof(s):
    if s.transport.can_write_eof():
        s.transport.write_eof()


@act
def write_eof_then_write(s):
    if s.transport.can_write_eof():
        s.transport.write_eof()
        try:
            s.transport.write(b"late")
        except RuntimeError as error:
            return str(error)
    return None


@act
def queue_size(s):
    return s.transport.get_write_buffer_size()


@act
def closing(s):
    return s.transport.is_closing()


@act
def limits(s):
    s.transport.set_write_buffer_limits(high=0)
    return s.protocol.paused


@act
def no_limits_then_write(s):
    s.transport.set_write_buffer_limits(high=0)
    s.transport.write(b"small")
    return s.protocol.paused, s.transport.get_write_buffer_size()


@act
def fill_it(s):
    """The protocol is paused within the write that is too much for the kernel: which one that is, is the kernel's affair."""
    writes = 0
    while not s.protocol.paused and writes < 2000:
        s.transport.write(bytes(30_000))
        writes += 1
    s.filled = 30_000 * writes
    return writes > 1, bool(s.transport.get_write_buffer_size())


@act
def pause_reading(s):
    s.transport.pause_reading()
    s.transport.write(b"paused")
    s.transport.resume_reading()


@act
def other_transport(s):
    for transport, *_ in s.others:
        transport.write(b"other")
        s.transport.write(b"+")
    return [taken(peer) for *_, peer in s.others]
