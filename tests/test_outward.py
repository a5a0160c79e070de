"""Functions of CPython's that Rondeau stands before are found where a program had put them."""

import subprocess
import sys
import textwrap

PROGRAM = """
    import os, select, shutil, socket, sys, tempfile, time

    functions = [os.stat, os.open, os.unlink, os.rmdir, os.write, os.execv, os._exit, time.sleep, select.select, len]
    names = {function: function.__name__ for function in functions}
    known, frozen = set(functions), [id(function) for function in functions]
    supports = {name: set(map(id, getattr(os, name))) for name in dir(os) if isinstance(getattr(os, name), set)}
    order = list(names)

    import rondeau

    assert [id(function) for function in (os.stat, os.open, os.unlink, os.rmdir, os.write, os.execv, os._exit)] == frozen[:7]
    for function in functions:
        assert names[function] == function.__name__, function
        assert function in known, function
    assert list(names) == order
    assert len(known) == len(names) == len(functions)
    for name, there in supports.items():
        functions = getattr(os, name)
        assert set(map(id, functions)) == there
        assert all(function in functions for function in functions), name
    assert os.stat in os.supports_follow_symlinks
    assert shutil.rmtree.avoids_symlink_attacks
    print("found")
"""


def test_what_knew_a_function_before_the_import_knows_it_after():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "found\n", "")
