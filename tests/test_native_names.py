"""`import rondeau as asyncio`: every public name is there, install is opt-in and leaves nothing when it is undone."""

import asyncio
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

import rondeau
from rondeau import native

OURS = {"EventLoop", "Runner", "new_event_loop", "run"}


def test_every_public_name_of_asyncio_is_here():
    assert set(asyncio.__all__) - set(rondeau.__all__) == set()
    for name in asyncio.__all__:
        if hasattr(asyncio, name) and name not in OURS | set(native.NATIVE):
            assert getattr(rondeau, name) is getattr(asyncio, name), name


def test_every_native_name_is_one_of_asyncios_and_is_not_asyncios_object():
    for name in native.names():
        assert getattr(rondeau, name) is not getattr(asyncio, name), name
        assert getattr(rondeau, name) is native.form(name), name


def test_asyncios_submodules_are_reached_through_rondeau():
    modules = [name for name, value in vars(asyncio).items() if isinstance(value, types.ModuleType) and name != "sys"]
    for name in modules:
        for attribute, value in vars(getattr(asyncio, name)).items():
            if attribute.startswith("__") or attribute in OURS | set(native.NATIVE):
                continue
            assert getattr(getattr(rondeau, name), attribute) is value, (name, attribute)
    assert {"locks", "queues", "subprocess", "exceptions", "events", "tasks", "sslproto"} <= set(modules)


def test_a_submodule_has_the_native_forms_too():
    for name in native.names():
        home = getattr(asyncio, name).__module__.removeprefix("asyncio.")
        if isinstance(getattr(asyncio, home, None), types.ModuleType):
            assert getattr(getattr(rondeau, home), name) is getattr(rondeau, name)


def test_no_module_of_ours_hides_one_of_asyncios():
    ours = {path.stem for path in Path(rondeau.__file__).parent.glob("*.py")}
    assert {name for name in ours if f"asyncio.{name}" in sys.modules} - {"__init__", "__main__"} == {"runners"}


def test_private_names_and_deprecated_ones_are_asyncios():
    assert rondeau._get_running_loop is asyncio._get_running_loop
    if sys.version_info >= (3, 14):
        with pytest.warns(DeprecationWarning, match="DefaultEventLoopPolicy"):
            assert rondeau.DefaultEventLoopPolicy is asyncio.unix_events._DefaultEventLoopPolicy
    with pytest.raises(AttributeError, match=r"^module 'rondeau' has no attribute 'no_such_name'$"):
        rondeau.no_such_name  # noqa: B018


def test_star_import():
    names: dict[str, object] = {}
    exec("from rondeau import *", names)
    assert names["Queue"] is rondeau.Queue
    assert names["run"] is rondeau.run


def everything() -> dict[tuple[str, str], object]:
    """What every module of asyncio's binds."""
    modules = {name: module for name, module in sys.modules.items() if name == "asyncio" or name.startswith("asyncio.")}
    return {(name, key): value for name, module in modules.items() for key, value in vars(module).items()}


def test_install_rebinds_asyncio_and_its_submodules_and_uninstall_undoes_it():
    for name in native.names():  # What is loaded lazily is loaded now: only bindings are compared.
        native.form(name)
    before, policy = everything(), asyncio.events._event_loop_policy
    rondeau.install()
    try:
        rondeau.install()
        assert asyncio.new_event_loop is asyncio.events.new_event_loop is rondeau.new_event_loop
        for name in native.names():
            assert getattr(asyncio, name) is getattr(rondeau, name), name
        # Nowhere in asyncio is the old object left under its name.
        for (module, key), value in everything().items():
            if key in native.NATIVE and before[module, key] is before["asyncio", key]:
                assert value is native.form(key), (module, key)
        with asyncio.Runner() as runner:
            assert isinstance(runner.get_loop(), rondeau.EventLoop)
    finally:
        rondeau.uninstall()
    after = everything()
    assert {key for key in before if after[key] is not before[key]} == set()
    assert asyncio.events._event_loop_policy is policy
    rondeau.uninstall()


def test_uninstall_leaves_what_somebody_else_has_rebound_since():
    mine, before = object(), asyncio.new_event_loop
    rondeau.install()
    try:
        asyncio.new_event_loop = mine
        rondeau.uninstall()
        assert asyncio.new_event_loop is mine
        assert asyncio.events.new_event_loop is before
    finally:
        asyncio.new_event_loop = before


def python(*words: str) -> str:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, timeout=60).stdout


def test_nothing_happens_on_import():
    code = """
import asyncio, sys
def look():
    modules = [(name, module) for name, module in sys.modules.items() if name.startswith("asyncio")]
    return {(name, key): id(value) for name, module in modules for key, value in vars(module).items()}
before = look()
import rondeau
print(look() == before)
"""
    assert python("-c", code) == "True\n"


def test_the_command_line_installs_when_asked():
    code = (
        "import asyncio, rondeau\nprint([n for n in rondeau.native.names() if getattr(asyncio, n) is not getattr(rondeau, n)])"
    )
    assert python("-W", "ignore", "-m", "rondeau", "run", "--native", "-c", code) == "[]\n"
    code = "import asyncio, rondeau\nprint([n for n in rondeau.native.names() if getattr(asyncio, n) is getattr(rondeau, n)])"
    assert python("-W", "ignore", "-m", "rondeau", "run", "-c", code) == "[]\n"


def test_importing_loads_little_more_than_asyncio():
    code = "import sys, asyncio\nbefore = set(sys.modules)\nimport rondeau\nprint(*sorted(set(sys.modules) - before))"
    loaded = python("-c", code).split()
    assert set(loaded) - {"__future__", "gc", "rondeau._cold"} == {
        "rondeau",
        "rondeau._connections",
        "rondeau._core",
        "rondeau._running",
        "rondeau._selecting",
        "rondeau._tls",
        "rondeau.loop",
        "rondeau.native",
        "rondeau.runners",
    }


@pytest.mark.parametrize("name", ["aiofiles", "files", "testing"])
def test_a_module_is_there_when_it_is_asked_for(name):
    assert python("-c", f"import rondeau\nprint(rondeau.{name}.__name__, {name!r} in dir(rondeau))") == f"rondeau.{name} True\n"


@pytest.fixture(autouse=True)
def policies_may_be_asked_for():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
