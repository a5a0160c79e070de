"""What Dask's workers are given to do by test_distributed.py; in a file of its own, since the workers import it."""

import threading


def where():
    """Which worker this is, and whether its loop is Rondeau's."""
    from distributed import get_worker

    import rondeau

    worker = get_worker()
    return worker.address, isinstance(worker.loop.asyncio_loop, rondeau.EventLoop)


def total(blob):
    return sum(blob)


def burn():
    raise ValueError("burnt")


def stew(seconds):
    threading.Event().wait(seconds)
    return "stew"
