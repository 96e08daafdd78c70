"""Run a Python program whose secrets come through a pipe.

`python -m taskmaster.workers.security -m MODULE …` or `… SCRIPT …`, started with
`private_process.pass_on`.
"""

from __future__ import annotations

import runpy
import sys

from taskmaster.workers.security import private_process


def main() -> None:
    """Take the secrets, and run the program in place of this module."""
    private_process.enter()
    if sys.argv[1] == "-m":
        sys.argv = sys.argv[2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
