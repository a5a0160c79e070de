"""ainput at a terminal: typed like at input(), which is the oracle, and the terminal is left as it was."""

import signal

import pytest

from terminal import Terminal

ARMS = ["input", "asyncio", "rondeau"]
ASYNC = ARMS[1:]

ASK = """
async def main():
    while True:
        try:
            line = await ainput("what? ")
        except EOFError as error:
            line = error
        print(repr(line))
        if line == "bye":
            return
run(main())
"""


@pytest.mark.parametrize("arm", ARMS)
def test_lines_are_edited_by_the_terminal(arm):
    with Terminal(arm, ASK) as terminal:
        for keys, line in [
            ("cherries\n", "'cherries'"),
            ("\n", "''"),
            ("  two  spaces \n", "'  two  spaces '"),
            ("sp\x7foup\n", "'soup'"),  # backspace
            ("roast\x15lamb\n", "'lamb'"),  # kill the line
            ("half a pie\x17cake\n", "'half a cake'"),  # kill the word
            ("K\u00e4se\x7f\x7fse\n", "'K\u00e4se'"),
            ("one\x16\x03two\n", "'one\\x03two'"),  # ^V: Ctrl-C as a character
        ]:
            terminal.shows("what? ")
            terminal.type(keys)
            terminal.shows(line + "\r\n")
        terminal.type("bye\n")
        assert terminal.ends() == 0


@pytest.mark.parametrize("arm", ARMS)
def test_ctrl_d(arm):
    with Terminal(arm, ASK) as terminal:
        terminal.shows("what? ")
        terminal.type("\x04")
        terminal.shows("EOFError(")
        terminal.shows("what? ")  # the terminal's input goes on
        terminal.type("so\x04up\n")
        terminal.shows("'soup'")
        terminal.shows("what? ")
        # The first hands over what has no end yet, the second is the end: so it is for all who read. `input` alone asks again.
        if arm != "input":
            terminal.type("pie\x04\x04")
            terminal.shows("'pie'")
            terminal.shows("what? ")
        terminal.type("bye\n")
        assert terminal.ends() == 0


# Not compared with `input`: between its prompt and its read(2) it does not hear a Ctrl-C.
@pytest.mark.parametrize("arm", ASYNC)
def test_ctrl_c(arm):
    with Terminal(arm, ASK) as terminal:
        terminal.shows("what? ")
        terminal.type("half a li\x03")
        shown = terminal.shows("\r\nKeyboardInterrupt\r\n")
        assert "NotYet" not in shown  # how it works inside is nobody's concern
        assert terminal.ends() == -signal.SIGINT


@pytest.mark.parametrize("arm", ASYNC)
def test_ctrl_c_can_be_caught_and_asked_again(arm):
    program = """
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: asked.cancel())
    for n in range(2):
        asked = asyncio.create_task(ainput(f"{n}? "))
        try:
            print(repr(await asked))
        except asyncio.CancelledError:
            print("asked in vain")
run(main())
"""
    with Terminal(arm, program) as terminal:
        terminal.shows("0? ")
        terminal.type("thrown away by the terminal\x03")
        terminal.shows("asked in vain")
        terminal.shows("1? ")
        terminal.type("soup\n")
        terminal.shows("'soup'")
        assert terminal.ends() == 0


@pytest.mark.parametrize("arm", ASYNC)
def test_two_prompts_at_once_take_turns(arm):
    program = """
async def main():
    print(await asyncio.gather(ainput("starter? "), ainput("main? "), ainput("dessert? ")))
run(main())
"""
    with Terminal(arm, program) as terminal:
        terminal.shows("starter? ")
        terminal.type("soup\n")
        shown = terminal.shows("main? ")
        assert shown == "soup\r\n"  # the echo: no other prompt came before its turn
        terminal.type("roast\ncake\n")  # typed ahead
        terminal.shows("dessert? ")
        terminal.shows("['soup', 'roast', 'cake']")
        assert terminal.ends() == 0


@pytest.mark.parametrize("arm", ASYNC)
def test_others_print_meanwhile(arm):
    program = """
async def cook(n):
    for minute in range(100):
        print(f"dish {n} minute {minute}")
        await asyncio.sleep(0)
async def main():
    asked = asyncio.create_task(ainput("what? "))
    await asyncio.gather(*map(cook, range(3)))
    print("all cooked")
    print(repr(await asked))
run(main())
"""
    with Terminal(arm, program) as terminal:
        shown = terminal.shows("all cooked")
        assert shown.count("minute") == 300
        assert "what? " in shown
        terminal.type("cherries\n")
        terminal.shows("'cherries'")
        assert terminal.ends() == 0


@pytest.mark.parametrize("arm", ASYNC)
def test_cancelled_with_half_a_line_typed(arm):
    program = """
async def main():
    asked = asyncio.create_task(ainput("what? "))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.cancel)
    try:
        await asked
    except asyncio.CancelledError:
        print("cancelled")
    print(repr(await ainput("again? ")))
run(main())
"""
    with Terminal(arm, program) as terminal:
        terminal.shows("what? ")
        terminal.type("lamb, ro\x04")  # Ctrl-D: these are in the program's hands, without a line's end
        terminal.type("ast")  # and these in the terminal's
        terminal.shows("ast")
        terminal.process.send_signal(signal.SIGUSR1)
        terminal.shows("again? ")
        terminal.type("ed\n")
        terminal.shows("'lamb, roasted'")
        assert terminal.ends() == 0


@pytest.mark.parametrize("arm", ASYNC)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_killed_at_a_prompt(arm, number):
    program = """
async def main():
    stdout().write(b"served\\n")
    await ainput("what? ")
run(main())
"""
    with Terminal(arm, program) as terminal:
        terminal.shows("what? ")
        terminal.type("half a li")
        terminal.shows("half a li")
        terminal.is_sane()  # while it waits
        terminal.process.send_signal(number)
        assert terminal.ends() == -number


@pytest.mark.parametrize("arm", ASYNC)
def test_a_program_that_imported_readline(arm):
    with Terminal(arm, "import readline\n" + ASK) as terminal:
        terminal.shows("what? ")
        terminal.type("so\x7fup\n")
        terminal.shows("'sup'")
        terminal.shows("what? ")
        terminal.is_sane()
        terminal.process.kill()
        assert terminal.ends() == -signal.SIGKILL


@pytest.mark.parametrize("arm", ASYNC)
def test_a_child_gets_what_is_typed_while_nobody_waits(arm):
    program = """
async def main():
    print(repr(await ainput("parent? ")))
    child = await asyncio.create_subprocess_exec("sh", "-c", "printf 'child? '; read line; echo child: $line")
    await child.wait()
    print(repr(await ainput("parent again? ")))
run(main())
"""
    with Terminal(arm, program) as terminal:
        terminal.shows("parent? ")
        terminal.type("soup\n")
        terminal.shows("child? ")
        terminal.type("roast\n")
        terminal.shows("child: roast")
        terminal.shows("parent again? ")
        terminal.type("cake\n")
        terminal.shows("'cake'")
        assert terminal.ends() == 0
