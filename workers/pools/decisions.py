"""What is to be done about a pool: from what is desired and what was found, nothing else.

A worker that dies within 10 s of its start counts as a failure of the pool. After one there is a
pause, 1 s that doubles with each to 60 s; then one worker is tried, and the others follow when it
has lived for those 10 s.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from workers.models.pool import State
from workers.pools.provider import Died, Observed
from workers.pools.store import Findings, Pool

#: Who dies sooner after the start cannot live.
EARLY_S = 10.0
#: The first pause, and the longest.
PAUSE_S = (1.0, 60.0)
#: What an engine backs off from by itself is not backed off from twice.
_PATIENT = frozenset({"compose", "kubernetes"})


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers the provider shall run now, and what the row says."""

    #: None: leave it as it is.
    count: int | None
    findings: Findings
    #: For the activity log.
    words: tuple[str, ...] = ()


def decide(pool: Pool, seen: Observed) -> Decision:
    """After a look."""
    past = pool.found
    early = [died for died in seen.died if died.lived_s < EARLY_S]
    failures, retry_in_s = _clear_old(past)
    words = tuple(
        f"pool {pool.name}: a worker ended ({how(died)}) and is replaced"
        for died in seen.died
        if died.lived_s >= EARLY_S
    )
    pausing = past.state == State.BACKING_OFF and (retry_in_s or 0.0) > 0
    # What dies during a pause began before it, with what it is a pause for.
    if early and not pausing:
        failures += 1
        retry_in_s = pause_s(failures)
        words += (
            f"pool {pool.name}: {_workers(len(early))} died at start ({how(early[0])}); "
            f"the next try is in {retry_in_s:.0f} s",
        )
    missing = pool.desired - seen.running
    count: int | None = pool.desired
    paused = failures > 0 and missing > 0 and (retry_in_s or 0.0) > 0
    if failures and missing > 0 and pool.provider not in _PATIENT:
        if paused:
            count = None
        else:
            # One, which shows by then whether it lives.
            count, retry_in_s = seen.running + 1, EARLY_S
    if count == seen.running:
        count = None
    backs_off = paused and (bool(early) or pausing)
    findings = Findings(
        actual=seen.running + seen.stopping,
        registered=pool.staying,
        draining=seen.stopping,
        state=_state(pool, seen, backs_off=backs_off),
        error="",
        last_log=seen.died[-1].last_log if seen.died else _last_log(past, failures),
        failures=failures,
        retry_in_s=retry_in_s,
    )
    return Decision(count, findings, words)


def fail(pool: Pool, error: str) -> Decision:
    """After a provider that did not do what it was asked."""
    past = pool.found
    failed_before = past.state == State.PROVIDER_FAILED
    failures = past.failures + 1 if failed_before else 1
    findings = past._replace(
        registered=pool.staying,
        state=State.PROVIDER_FAILED,
        error=error,
        failures=failures,
        retry_in_s=pause_s(failures),
    )
    said = failed_before and past.error == error
    words = () if said else (f"pool {pool.name}: the provider {pool.provider} failed: {error}",)
    return Decision(None, findings, words)


def waits(pool: Pool) -> bool:
    """Whether its provider has failed and is left alone for now."""
    past = pool.found
    return past.state == State.PROVIDER_FAILED and (past.retry_in_s or 0.0) > 0


def pause_s(failures: int) -> float:
    """Before the next try, after so many failures in a row."""
    first, longest = PAUSE_S
    return min(longest, first * 2.0 ** min(failures - 1, 30))


def how(died: Died) -> str:
    """How a worker ended, for a sentence."""
    if died.exit_code is None:
        return "nobody saw how"
    if died.exit_code >= 0:
        return f"exit code {died.exit_code}"
    try:
        return signal.Signals(-died.exit_code).name
    except ValueError:
        # Real-time signals have no names.
        return f"signal {-died.exit_code}"


def _clear_old(past: Findings) -> tuple[int, float | None]:
    """Failures and the time until the next try, unless the one that was tried then has lived."""
    over = past.retry_in_s is None or past.retry_in_s <= 0
    if past.state == State.PROVIDER_FAILED or (over and past.state != State.BACKING_OFF):
        return 0, None
    return past.failures, past.retry_in_s


def _last_log(past: Findings, failures: int) -> str:
    """It is shown for as long as the pool has trouble."""
    return past.last_log if failures else ""


def _state(pool: Pool, seen: Observed, *, backs_off: bool) -> str:
    if backs_off:
        return State.BACKING_OFF
    there = seen.running == pool.staying == pool.desired
    return State.STEADY if there and not seen.stopping else State.SCALING


def _workers(count: int) -> str:
    return "a worker" if count == 1 else f"{count} workers"
