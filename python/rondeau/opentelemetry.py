"""`rondeau.opentelemetry`: a loop's metrics and what blocked it, for OpenTelemetry. Needs `pip install rondeau[opentelemetry]`.

Called by programs. Metrics are observable instruments: they cost nothing until an exporter reads them, in its own thread. What
blocks the loop comes from a watchdog and becomes a span when it is over, with the file and the line.

Imports OpenTelemetry's API only; which SDK is behind it, and what it exports to, is the program's.
"""

from __future__ import annotations

import asyncio
import time
import weakref

from opentelemetry import metrics as otel_metrics
from opentelemetry import trace as otel_trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import TracerProvider

from ._block import Block
from ._instruments import metrics
from ._watchdog import watchdog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["instrument"]

# The key of `rondeau.metrics`, the instrument's kind and name, its unit, what it says.
_INSTRUMENTS = (
    ("turns", "counter", "rondeau.loop.turns", "{turn}", "Turns that the loop has taken"),
    ("kernel_waits", "counter", "rondeau.loop.waits", "{wait}", "Times that the loop waited for events"),
    ("run_seconds", "counter", "rondeau.loop.run.time", "s", "How long the loop ran"),
    ("wait_seconds", "counter", "rondeau.loop.wait.time", "s", "How long the loop waited for events"),
    ("longest_stretch_seconds", "gauge", "rondeau.loop.longest_stretch", "s", "Longest time between two looks at the kernel"),
    ("ready", "gauge", "rondeau.loop.ready", "{callback}", "Callbacks and steps that wait for their turn"),
    ("timers", "gauge", "rondeau.loop.timers", "{timer}", "Timers that are set"),
    ("connections", "gauge", "rondeau.loop.connections", "{connection}", "Open transports of sockets"),
)


class instrument:
    """Report a loop to OpenTelemetry until `stop()`, or until the loop is closed; also a context manager.

    Args:
        loop: one of Rondeau's; the running one unless given. It is not kept alive.
        name: the loop's name, the attribute `rondeau.loop` of all that is reported.
        threshold: seconds after which something blocks the loop (`rondeau.watchdog`), or `"auto"`; None for no spans.
            Such spans are of all loops in the process, and without that attribute.
        meter_provider, tracer_provider: OpenTelemetry's global ones unless given.

    Raises:
        RuntimeError: no loop was given and none runs in this thread.
        TypeError: the loop is not Rondeau's.
        ValueError: the threshold is no number of seconds from 0.001 on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        name: str = "main",
        threshold: float | str | None = 0.1,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        loop = asyncio.get_running_loop() if loop is None else loop
        metrics(loop)  # Raises where it is not Rondeau's.
        self._loop: Callable[[], Any] = weakref.ref(loop)
        self._attributes = {"rondeau.loop": name}
        self._tracer = otel_trace.get_tracer("rondeau", tracer_provider=tracer_provider)
        self._watchdog = None if threshold is None else watchdog(threshold, log=False, on_block=self._blocked)
        meter = otel_metrics.get_meter("rondeau", meter_provider=meter_provider)
        # OpenTelemetry cannot take an instrument away again: once stopped, these observe nothing.
        for key, kind, instrument_name, unit, description in _INSTRUMENTS:
            make = meter.create_observable_counter if kind == "counter" else meter.create_observable_gauge
            make(instrument_name, [self._observer(key)], unit=unit, description=description)
        if self._watchdog is not None:
            self._watchdog.start()

    def stop(self) -> None:
        """Report nothing from now on."""
        self._loop = lambda: None
        if self._watchdog is not None:
            self._watchdog.stop()

    def __enter__(self) -> instrument:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _observer(self, key: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            loop = self._loop()
            if loop is None or loop.is_closed():
                return []
            return [Observation(metrics(loop)[key], self._attributes)]

        return observe

    def _blocked(self, block: Block) -> None:
        if not block.ended:
            return
        end = time.time_ns()
        attributes: dict[str, str | int | float] = {
            "rondeau.block.kind": block.kind,
            "rondeau.block.computed": block.computed,
            "code.stacktrace": "".join(block.stack.format()),
        }
        if block.task is not None:
            attributes["rondeau.task"] = block.task
        if block.filename is not None:
            attributes["code.file.path"] = block.filename
            attributes["code.line.number"] = block.lineno
            attributes["code.function.name"] = block.function
        span = self._tracer.start_span(
            f"{block.kind} {block.function}".rstrip(), start_time=end - int(block.seconds * 1e9), attributes=attributes
        )
        span.end(end)
