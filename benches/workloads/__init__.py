"""The workloads, one a file, in the order of the table."""

from importlib import import_module

from harness.workload import Workload

ORDER = (
    "call_soon_chain",
    "call_soon_batch",
    "call_later_cancel",
    "call_later_cancel_turns",
    "sleep_zero",
    "sleep_one_ms",
    "create_task",
    "gather_ten",
    "queue_handoff",
    "queue_get",
    "queue_priority",
    "lock_contended",
    "lock_free",
    "semaphore_contended",
    "semaphore_free",
    "event_handoff",
    "event_free",
    "condition_notify",
    "barrier",
    "future_await",
    "timeout",
    "wait_for",
    "task_group",
    "as_completed",
    "executor",
    "to_thread",
    "file_random_reads",
    "file_lines",
    "file_small",
    "file_large",
    "file_sequential",
    "file_stall",
    "threadsafe",
    "threadsafe_from_thread",
    "run_threadsafe",
    "work_queue",
    "async_tree_none_plain",
    "async_tree_none_eager",
    "async_tree_none_group",
    "async_tree_io_plain",
    "async_tree_io_eager",
    "async_tree_io_group",
    "async_tree_memoization_plain",
    "async_tree_memoization_eager",
    "async_tree_memoization_group",
    "async_tree_cpu_io_mixed_plain",
    "async_tree_cpu_io_mixed_eager",
    "async_tree_cpu_io_mixed_group",
    "sleeping_tasks",
    "idle_connections",
    "echo_protocol",
    "echo_two_writes",
    "echo_streams",
    "readline",
    "echo_sock",
    "http_uvicorn_httptools",
    "http_uvicorn_h11",
    "http_aiohttp",
    "echo_tls",
    "datagrams",
)


def load() -> dict[str, Workload]:
    """The workloads by the name of their module."""
    names = [f"{__name__}.{name}" for name in ORDER]
    return {name: import_module(name).WORKLOAD for name in names}
