"""Put before the other modules of a process under libfaketime 0.9.10.

Told to leave the monotonic clock alone, it refuses every absolute wait on it (EINVAL), and that is
how `time.sleep` waits since Python 3.11.
"""

import select
import time


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
