"""What is run: the modules of the interpreter's `test.test_asyncio`, by arm.

Read by run.py. An arm is one way to run a module: `asyncio` is the base-line, on the interpreter as it is; `loop` has
Rondeau's loop in every place where a test asks for one; `types` has the native Task and Future as the classes under test
as well; `native` has everything that `rondeau` offers under asyncio's names. substitute.py says how.

Left out, since they test CPython's own classes in pieces and ask for no loop, or drive one through `_run_once`:
test_base_events, test_selector_events, test_proactor_events, test_windows_*, test_transports, test_protocols; test_tools, which
tests the command `python -m asyncio ps` on made-up data; and of two modules the classes in LEFT_OUT.
"""

import importlib.util

PACKAGE = "test.test_asyncio"

# Long ones first, so that none of them is left alone at the end.
LOOP = [
    "test_ssl",
    "test_events",
    "test_tasks",
    "test_subprocess",
    "test_sslproto",
    "test_unix_events",
    "test_sock_lowlevel",
    "test_sendfile",
    "test_streams",
    "test_free_threading",
    "test_futures",
    "test_locks",
    "test_server",
    "test_server_context",
    "test_taskgroups",
    "test_runners",
    "test_queues",
    "test_timeouts",
    "test_waitfor",
    "test_buffered_proto",
    "test_context",
    "test_eager_task_factory",
    "test_futures2",
    "test_graph",
    "test_pep492",
    "test_staggered",
    "test_threads",
]

# The suites of Task and Future, and what derives from these.
TYPES = ["test_tasks", "test_futures", "test_eager_task_factory", "test_futures2"]

# They test asyncio's Task in Python, by rebinding `asyncio.tasks.Task` in the middle of a test: a loop that makes its own has
# nothing to show to the functions in Python that go with it. The same tests for C's functions are run.
LEFT_OUT = (
    "test_graph.TestCallStackPy.",
    "test_free_threading.TestPyFreeThreading.",
    "test_free_threading.TestEagerPyFreeThreading.",
)

# They put asyncio's private `_CTask` and `_CFuture` in the place of the public names, and then ask `isinstance(task,
# Future)`: asyncio's own class says yes to a native task, the native Future does not, since Task cannot derive from it. So
# these names stay asyncio's for them; the loop makes native tasks all the same.
REBINDERS = ("test_graph",)

# The suites of what `import rondeau as asyncio` makes native.
NATIVE = [
    "test_tasks",
    "test_streams",
    "test_futures",
    "test_locks",
    "test_taskgroups",
    "test_runners",
    "test_queues",
    "test_timeouts",
    "test_waitfor",
    "test_eager_task_factory",
    "test_futures2",
    "test_graph",
    "test_pep492",
    "test_staggered",
    "test_threads",
]

BASELINE = "asyncio"
ARMS = {"loop": LOOP, "types": TYPES, "native": NATIVE}


def present(modules: list[str]) -> list[str]:
    """Those that this interpreter has: suites were added over the years.

    Raises:
        LookupError: the interpreter has no test package; the text says what to do.
    """
    try:
        if importlib.util.find_spec(PACKAGE) is None:
            raise ModuleNotFoundError(PACKAGE)
    except ModuleNotFoundError:
        raise LookupError(
            "this interpreter has no package test.test_asyncio, so there is nothing to conform to. Debian and Ubuntu "
            "have it in libpythonX.Y-testsuite; a CPython built from source and pyenv's have it; python-build-standalone "
            "has it in its full archives."
        ) from None
    return [module for module in modules if importlib.util.find_spec(f"{PACKAGE}.{module}")]
