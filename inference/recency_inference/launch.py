"""Becomes the given program, and ends with the process that started it: `python launch.py PARENT_PID PROGRAM ARG…`.

Its own few lines rather than `preexec_fn`, which is not safe in a process with threads (the gateway's). The signal comes
when the *thread* that started it ends, so start from one that lives as long as the server should.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Asks for SIGTERM at the parent's death, makes sure the parent has not died before, and runs the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(f"launch: process {parent} is gone; nothing started")
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
