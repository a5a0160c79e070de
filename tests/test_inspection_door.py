"""Who may ask a program, what it does with hostile guests, and that the program never notices."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import pytest

import rondeau
from inspected import by_name, look, program, said, script, threads
from rondeau.inspection import asking, listing

SLEEPS = """
    ready()
    await aio.sleep(1000)
"""
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


def knock(pid):
    """A connection of a guest that does not speak our language."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.settimeout(60)
    while True:
        with contextlib.suppress(BlockingIOError):  # As many wait as are let wait.
            door.connect(f"\0rondeau/{pid}")
            return door


def in_a_fork(action):
    """What `action` returns or raises as CannotAsk in a child of this process, as text."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest's own watchdog is a thread.
        pid = os.fork()
    if pid == 0:
        try:
            try:
                text = str(action())
            except asking.CannotAsk as error:
                text = f"CannotAsk: {error}"
            except BaseException as error:
                text = repr(error)
            os.write(writing, text.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text


def asked_by(uid, pid):
    def action():
        os.setuid(uid)
        with asking.connect(pid, 60) as there:
            return len(there.ask("tasks", 60)["tasks"])

    return in_a_fork(action)


@as_root
def test_another_users_process_refuses():
    with program(SLEEPS) as child:
        text = asked_by(NOBODY, child.pid)
        assert text.startswith(f"CannotAsk: process {child.pid} belongs to {asking.user(0)} and answers only to")
        assert asking.user(NOBODY) in text
        with asking.connect(child.pid, 60) as there:
            assert there.ask("tasks", 60)["tasks"]


@as_root
def test_root_and_the_same_user_may_ask():
    source = f"""
import os, sys, asyncio, rondeau
async def main():
    print("ready", flush=True)
    await asyncio.sleep(1000)
os.setuid({NOBODY})
rondeau.new_event_loop().run_until_complete(main())
"""
    with script(source) as child:
        said(child, "ready")
        with asking.connect(child.pid, 60) as there:
            assert len(there.ask("tasks", 60)["tasks"]) == 1
        assert asked_by(NOBODY, child.pid) == "1"
        assert asked_by(12345, child.pid).startswith("CannotAsk")


@as_root
def test_other_users_programs_are_not_listed():
    with program(SLEEPS) as child:

        def action():
            os.setuid(NOBODY)
            return [there.pid for there in asking.programs()]

        assert str(child.pid) not in in_a_fork(action)
        found = asking.programs()
        assert child.pid in [there.pid for there in found]
        for there in found:
            there.__exit__()


def test_a_stopped_program_keeps_nobody_who_lists_all():
    with program(SLEEPS) as child:
        (name,) = (name for name, number in asking.names() if number == child.pid)
        child.send_signal(signal.SIGSTOP)
        while asking.state_of(child.pid) != "T":
            pass
        with pytest.raises(asking.NoAnswer, match="it is stopped"):
            asking._enter(name, None, 3600.0)
        child.send_signal(signal.SIGCONT)


def test_somebody_who_takes_the_name_is_not_asked():
    source = """
import asyncio, rondeau
async def main():
    print("ready", flush=True)
    await asyncio.sleep(1000)
input()
rondeau.new_event_loop().run_until_complete(main())
"""
    with script(source) as child, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as squatter:
        squatter.bind(f"\0rondeau/{child.pid}")
        squatter.listen()
        child.stdin.write("\n")
        child.stdin.flush()
        said(child, "ready")
        assert len(look(child).tasks) == 1


def test_why_there_is_nobody_to_ask():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with pytest.raises(asking.CannotAsk, match=f"process {child.pid} is no Rondeau program"):
            asking.connect(child.pid)
        child.communicate(b"\n")
    with pytest.raises(asking.CannotAsk, match=f"no such process: {child.pid}"):
        asking.connect(child.pid)
    source = "import rondeau; print('ready', flush=True); input()"
    with script(source) as child:
        said(child, "ready")
        with pytest.raises(asking.CannotAsk, match="has no open loop that has run"):
            asking.connect(child.pid)


def test_it_can_be_switched_off():
    with program(SLEEPS, RONDEAU_INSPECT="0") as child:
        with pytest.raises(asking.CannotAsk, match="RONDEAU_INSPECT=0"):
            asking.connect(child.pid)
        assert len(os.listdir(f"/proc/{child.pid}/task")) == 1


def test_a_program_of_another_version_is_not_misunderstood():
    with pytest.raises(asking.CannotAsk, match=r"runs Rondeau 9\.0, whose answers"):
        asking.check({"protocol": 9, "rondeau": "9.0", "loops": []}, 1)
    for garbage in (b"\xff\xfe", b"[1]", b"{", b"null"):
        with pytest.raises(asking.CannotAsk, match="does not speak"):
            asking.read(garbage)


def test_a_call_that_keeps_pythons_lock_is_told_from_a_loop_that_waits():
    body = """
        import ctypes
        asyncio.get_running_loop().call_later(0.01, ctypes.PyDLL(None).pause)
        ready()
        await aio.sleep(1000)
    """
    with program(body) as child, asking.connect(child.pid, 60) as there:
        while state_of_main_thread(child.pid) != "pause":
            time.sleep(0.01)
        with pytest.raises(asking.NoAnswer) as caught:
            there.ask("tasks", 0.2)
        text = str(caught.value)
        assert text.startswith(f"process {child.pid} does not answer: something in it holds Python's lock")
        assert f"loop 1 (thread {child.pid}, " in text
        assert "was last in the kernel" in text
        # Others are greeted all the same, and told that somebody has asked before them.
        with asking.connect(child.pid, 60) as second, pytest.raises(asking.NoAnswer, match="others have asked it"):
            second.ask("tasks", 2.0)


def state_of_main_thread(pid):
    """`pause` once the program's main thread sleeps in pause(2)."""
    with open(f"/proc/{pid}/syscall") as file:
        number = file.read().split()[0]
    return "pause" if number == {"x86_64": "34", "aarch64": "73"}[os.uname().machine] else number


def test_a_stopped_program_is_told():
    with program(SLEEPS) as child:
        child.send_signal(signal.SIGSTOP)
        while asking.state_of(child.pid) != "T":
            pass
        with pytest.raises(asking.NoAnswer, match="it is stopped"):
            asking.connect(child.pid, 0.2)
        child.send_signal(signal.SIGCONT)
        assert look(child).tasks


def test_garbage_is_answered_and_nothing_breaks():
    with program(SLEEPS) as child:
        with knock(child.pid) as door:
            door.recv(65536)
            for question in (
                b"\0" * 100,
                b"\xff\xfe",
                b"what?",
                b"some\nzz\n",
                b"some\n" + b"f" * 40,
                b"tasks ",
                b"x" * 100_000,
            ):
                door.send(question)
                answer = json.loads(door.recv(65536))
                assert list(answer) == ["error"], question
        for addresses in ("some", "some\n", "some\n1 2 3\n4 5 6", f"some\n{2**64 - 1:x}\n{2**63:x}"):
            with asking.connect(child.pid, 60) as there:
                assert there.ask(addresses, 60)["tasks"] == []
        assert look(child).tasks


def test_silent_guests_hold_nobody_up():
    with program(SLEEPS) as child, contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(knock(child.pid))
        assert look(child).tasks


def test_guests_that_do_not_read_hold_nobody_up():
    with program(SLEEPS) as child, contextlib.ExitStack() as stack:
        for _ in range(10):
            door = stack.enter_context(knock(child.pid))
            door.setblocking(False)
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                while True:
                    door.send(b"nonsense")
        assert look(child).tasks


def test_guests_that_go_at_once():
    with program(SLEEPS) as child:
        for number in range(200):
            door = knock(child.pid)
            if number % 2:
                door.send(b"tasks")
            door.close()
        assert look(child).tasks
        assert len(os.listdir(f"/proc/{child.pid}/task")) <= 3


def test_many_who_ask_at_once_are_all_answered():
    with program(SLEEPS) as child:
        counts = []

        def ask():
            counts.append(len(look(child).tasks))

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [1] * 12


def test_a_fork_does_not_warn_and_each_side_has_its_own_door():
    source = """
import asyncio, os, sys, warnings, rondeau
# As an exception it would come to nothing: fork only shows it.
warnings.showwarning = lambda *warning: print("warned", os.getpid(), flush=True)
warnings.simplefilter("always")

async def child():
    asyncio.current_task().set_name("in the child")
    print("child", os.getpid(), flush=True)
    await asyncio.sleep(1000)

async def main():
    asyncio.current_task().set_name("in the parent")
    for _ in range(50):
        pid = os.fork()
        if not pid:
            os._exit(3)
        assert os.waitpid(pid, 0)[1] >> 8 == 3
    if not os.fork():
        asyncio._set_running_loop(None)
        try:
            rondeau.new_event_loop().run_until_complete(child())
        finally:
            os._exit(0)
    print("parent", os.getpid(), flush=True)
    await asyncio.sleep(1000)

rondeau.new_event_loop().run_until_complete(main())
"""
    with script(source) as parent:
        numbers = {}
        for _ in range(2):
            who, number = parent.stdout.readline().split()
            numbers[who] = int(number)
        try:
            for who, pid in numbers.items():
                with asking.connect(pid, 60) as there:
                    assert [task[1] for task in there.ask("tasks", 60)["tasks"]] == [f"in the {who}"]
        finally:
            os.kill(numbers["child"], signal.SIGKILL)


def test_children_inherit_nothing():
    body = """
        child = await aio.create_subprocess_exec(
            sys.executable, "-c", "import os; print(len(os.listdir('/proc/self/fd')))", stdout=-1)
        print("children have", (await child.communicate())[0].decode(), flush=True)
        ready()
        await aio.sleep(1000)
    """
    with program(body, wait=False) as child:
        assert said(child, "children have") == "4"  # The standard three, and the one that lists them.


def test_it_ends_while_it_is_asked():
    source = """
import asyncio, rondeau, sys

async def main(number):
    tasks = [asyncio.ensure_future(asyncio.sleep(10)) for _ in range(300)]
    await asyncio.sleep(0.002)
    if number == 0:
        print("ready", flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

for number in range(150):
    loop = rondeau.new_event_loop()
    loop.run_until_complete(main(number))
    if number < 149:
        loop.close()
"""
    with script(source, "-W", "error") as child:
        said(child, "ready")
        answers = 0
        while child.poll() is None:
            try:
                with asking.connect(child.pid, 60) as there:
                    while True:
                        there.ask("tasks", 60)
                        answers += 1
            except asking.CannotAsk:
                pass
        assert child.returncode == 0
        assert answers


def test_no_signal_goes_to_the_threads():
    with program(SLEEPS) as child:
        look(child)
        for number in os.listdir(f"/proc/{child.pid}/task"):
            with open(f"/proc/{child.pid}/task/{number}/status") as file:
                fields = dict(line.split(":\t") for line in file)
            blocked = int(fields["SigBlk"], 16)
            usual = (1 << signal.SIGINT - 1) | (1 << signal.SIGTERM - 1) | (1 << signal.SIGCHLD - 1)
            assert blocked & usual == (0 if int(number) == child.pid else usual)


def test_a_program_that_closes_every_descriptor_is_left_alone():
    source = """
import asyncio, os, socket, rondeau

async def main():
    def is_door(number):
        try:
            return socket.socket(fileno=os.dup(number)).getsockname().startswith(b"\\0rondeau/")
        except (OSError, AttributeError, TypeError):
            return False

    door = next(number for number in range(3, 100) if is_door(number))
    os.close(door)
    own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if own.fileno() != door:
        os.dup2(own.fileno(), door)
        own.close()
        own = socket.socket(fileno=door)
    own.bind("\\0own/" + str(os.getpid()))
    own.listen()
    print("ready", flush=True)
    guest = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    guest.connect("\\0own/" + str(os.getpid()))
    own.settimeout(60)
    own.accept()[0].close()
    print("served", flush=True)
    return own

loop = rondeau.new_event_loop()
own = loop.run_until_complete(main())
loop.close()
own.getsockname()
"""
    with script(source) as child:
        said(child, "ready")
        said(child, "served")
        assert child.wait(60) == 0


def test_a_name_cannot_speak_to_the_terminal():
    body = """
        task = aio.create_task(aio.sleep(1000), name="\\x1b[2J\\r\\udc80evil\\u202e")
        await aio.sleep(0.01)
        ready()
        await task
    """
    with program(body) as child:
        snapshot = look(child)
        lines = [listing.plain(line) for line in listing.tasks(snapshot)]
        assert all(line.isprintable() for line in lines)
        assert any("evil" in line for line in lines)
        assert len(by_name(snapshot)) == 2


def test_a_loop_that_is_dropped_and_never_closed_is_forgotten():
    before = threads()
    loop = rondeau.new_event_loop()
    loop.call_soon(loop.stop)
    loop.run_forever()
    (door,) = threads() - before
    loop._release()
    assert door not in threads()
    loop.close()
