"""`rondeau.metrics` and its OpenTelemetry adapter, against OpenTelemetry's own SDK with exporters in memory."""

import asyncio
import threading
import time

import pytest

import rondeau

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rondeau.opentelemetry import instrument


@pytest.fixture
def reader():
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    reader.provider = provider
    yield reader
    provider.shutdown()


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    exporter.provider = provider
    yield exporter
    provider.shutdown()


def read(reader):
    """The last value of each instrument, and its attributes."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: (point.value, dict(point.attributes), metric.unit)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }


def test_metrics_count_what_the_loop_does():
    async def main():
        loop = asyncio.get_running_loop()
        before = rondeau.metrics()
        handles = [loop.call_later(1000, print) for _ in range(3)]
        loop.call_soon(lambda: None)
        now = rondeau.metrics(loop)
        for handle in handles:
            handle.cancel()
        await asyncio.sleep(0.01)
        after = await asyncio.to_thread(rondeau.metrics, loop)
        return before, now, after

    before, now, after = rondeau.run(main())
    assert now["timers"] - before["timers"] == 3
    assert now["ready"] - before["ready"] == 1
    assert after["turns"] > before["turns"]
    assert after["kernel_waits"] > before["kernel_waits"]
    assert 0 < after["wait_seconds"] <= after["run_seconds"]


def test_metrics_of_no_loop_or_of_another_are_refused():
    with pytest.raises(RuntimeError, match="no running event loop"):
        rondeau.metrics()
    loop = asyncio.SelectorEventLoop()
    with pytest.raises(TypeError, match="Rondeau's loops"):
        rondeau.metrics(loop)
    loop.close()


def test_instruments_are_read_from_another_thread(reader):
    async def main():
        with instrument(name="soup", threshold=None, meter_provider=reader.provider):
            return await asyncio.to_thread(read, reader), await asyncio.to_thread(read, reader)

    first, second = rondeau.run(main())
    assert first["rondeau.loop.turns"][1:] == ({"rondeau.loop": "soup"}, "{turn}")
    assert second["rondeau.loop.turns"][0] > first["rondeau.loop.turns"][0]
    assert second["rondeau.loop.run.time"][0] > first["rondeau.loop.run.time"][0] > 0
    assert set(first) == {
        "rondeau.loop.turns",
        "rondeau.loop.waits",
        "rondeau.loop.run.time",
        "rondeau.loop.wait.time",
        "rondeau.loop.longest_stretch",
        "rondeau.loop.ready",
        "rondeau.loop.timers",
        "rondeau.loop.connections",
    }


def test_a_stopped_instrument_and_a_closed_loop_observe_nothing(reader):
    loop = rondeau.new_event_loop()
    reporting = instrument(loop, threshold=None, meter_provider=reader.provider)
    assert read(reader)
    loop.close()
    assert not read(reader)
    reporting.stop()
    assert not read(reader)


def test_what_blocks_becomes_a_span_with_file_and_line(spans):
    ended = threading.Event()

    async def cook():
        time.sleep(0.5)

    async def main():
        with instrument(threshold=0.02, tracer_provider=spans.provider):
            await asyncio.create_task(cook(), name="soup")
            await asyncio.sleep(0)
        ended.set()

    rondeau.run(main())
    [span] = [span for span in spans.get_finished_spans() if span.attributes.get("rondeau.task") == "soup"]
    assert span.name == "blocked cook"
    assert span.attributes["code.file.path"] == __file__
    assert span.attributes["code.line.number"] == cook.__code__.co_firstlineno + 1
    assert span.end_time - span.start_time >= 0.02 * 1e9
    assert "time.sleep(0.5)" in span.attributes["code.stacktrace"]
