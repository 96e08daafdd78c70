"""Replace `time.sleep` in processes under libfaketime 0.9.10.

If configured not to change the monotonic clock, it rejects every absolute wait on that clock
(EINVAL). `time.sleep` waits in this way since Python 3.11.
"""

import select
import time


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
