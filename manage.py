#!/usr/bin/env python
"""Run TaskMaster's commands (`runcoordinator`, `runworker`, `taskmaster`) and Django's."""

from taskmaster.__main__ import main

if __name__ == "__main__":
    main()
