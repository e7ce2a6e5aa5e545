"""A process that was forked for main.py runs it as `python main.py` would.

Loaded by server.py in the experiments' interpreter: the standard library alone.
"""

from __future__ import annotations

import atexit
import os
import sys
import traceback
import types


def run(folder: str, arguments: list[str]) -> None:
    """Execute folder/main.py and end this process with the exit code that Python would give it.

    Never returns.
    """
    path = folder + "/main.py"
    sys.argv = [path, *arguments]
    sys.path = [folder, *sys.path]
    code = execute(path)
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def execute(path: str) -> int:
    """Run the file as __main__ and return the exit code that Python would give it."""
    main = types.ModuleType("__main__")
    main.__file__ = path
    sys.modules["__main__"] = main
    try:
        with open(path, "rb") as file:
            source = compile(file.read(), path, "exec")
        exec(source, main.__dict__)
        return 0
    except SystemExit as exit:
        if exit.code is None or isinstance(exit.code, int):
            return (exit.code or 0) & 0xFF
        print(exit.code, file=sys.stderr)
        return 1
    except BaseException as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename != path:
            trace = trace.tb_next  # our own frames are not the program's
        traceback.print_exception(type(error), error, trace)
        return 1
