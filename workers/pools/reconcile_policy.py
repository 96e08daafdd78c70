"""Decide the next step for a pool from its desired state and the observed state only.

A worker that dies within 10 s of its start counts as a failure of the pool. A failure is followed
by a pause. The pause is 1 s, and doubles with each failure up to 60 s. Then one worker is started.
The others follow when it has lived for 10 s.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from taskmaster.tasks.backoff import Backoff
from taskmaster.workers.models.pool import PoolState
from taskmaster.workers.pools import validation
from taskmaster.workers.pools.provider import DeadWorker, DesiredPool, ObservedPool
from taskmaster.workers.store.pool_store import PoolFindings, PoolRow

#: A worker that dies within this number of seconds of its start counts as a failure.
EARLY_S = 10.0
_BACKOFF = Backoff(first_s=1.0, longest_s=60.0)
#: These engines have their own back-off for failing containers. The reconciler adds no pause.
_PATIENT = frozenset({"compose", "kubernetes"})


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold the next step for the provider and the new values of the pool's row."""

    #: Number of workers to set. None: leave it unchanged.
    count: int | None
    findings: PoolFindings
    #: Texts for the activity log.
    messages: tuple[str, ...] = ()


def desired_pool(pool: PoolRow, count: int | None = None) -> DesiredPool:
    """Describe the pool to its provider, with `count` in place of the desired number if given."""
    argv = ["--pool", pool.name, "--executor", pool.executor]
    argv += ["--concurrency", str(pool.concurrency)]
    if pool.queues:
        # Joined with "=" into one argument, because a queue name may start with a dash.
        argv.append(f"--queues={','.join(pool.queues)}")
    return DesiredPool(
        pool.name,
        pool.desired if count is None else count,
        tuple(argv),
        validation.permitted(pool.environment),
        pool.stop_limit_s,
    )


def decide(pool: PoolRow, observed: ObservedPool) -> Decision:
    """Decide after an observation."""
    past = pool.found
    early = [died for died in observed.died if died.lived_s < EARLY_S]
    failures, retry_in_s = _clear_old(past)
    messages = tuple(
        f"pool {pool.name}: a worker ended ({describe_end(died)}) and is replaced"
        for died in observed.died
        if died.lived_s >= EARLY_S
    )
    pausing = past.state == PoolState.BACKING_OFF and (retry_in_s or 0.0) > 0
    # A worker that dies during a pause was started before it and belongs to the same failure.
    if early and not pausing:
        failures += 1
        retry_in_s = _BACKOFF.pause_s(failures)
        messages += (
            f"pool {pool.name}: {_workers(len(early))} died at start ({describe_end(early[0])}); "
            f"the next attempt is in {retry_in_s:.0f} s",
        )
    missing = pool.desired - observed.running
    count: int | None = pool.desired
    paused = failures > 0 and missing > 0 and (retry_in_s or 0.0) > 0
    if failures and missing > 0 and pool.provider not in _PATIENT:
        if paused:
            count = None
        else:
            # Start one worker. It shows within this time whether it lives.
            count, retry_in_s = observed.running + 1, EARLY_S
    if count == observed.running:
        count = None
    backs_off = paused and (bool(early) or pausing)
    findings = PoolFindings(
        actual=observed.running + observed.stopping,
        registered=pool.staying,
        draining=observed.stopping,
        state=_state(pool, observed, backs_off=backs_off),
        error="",
        last_log=observed.died[-1].last_log if observed.died else _last_log(past, failures),
        failures=failures,
        retry_in_s=retry_in_s,
    )
    return Decision(count, findings, messages)


def decide_after_failure(pool: PoolRow, error: str) -> Decision:
    """Decide after the provider failed."""
    past = pool.found
    failed_before = past.state == PoolState.PROVIDER_FAILED
    failures = past.failures + 1 if failed_before else 1
    findings = past._replace(
        registered=pool.staying,
        state=PoolState.PROVIDER_FAILED,
        error=error,
        failures=failures,
        retry_in_s=_BACKOFF.pause_s(failures),
    )
    reported = failed_before and past.error == error
    messages = (
        () if reported else (f"pool {pool.name}: the provider {pool.provider} failed: {error}",)
    )
    return Decision(None, findings, messages)


def is_backing_off(pool: PoolRow) -> bool:
    """Return whether the provider has failed and its pause is not over."""
    past = pool.found
    return past.state == PoolState.PROVIDER_FAILED and (past.retry_in_s or 0.0) > 0


def describe_end(died: DeadWorker) -> str:
    """Describe how a worker ended, for use in a sentence."""
    if died.exit_code is None:
        return "unknown exit status"
    if died.exit_code >= 0:
        return f"exit code {died.exit_code}"
    try:
        return signal.Signals(-died.exit_code).name
    except ValueError:
        # Real-time signals have no names.
        return f"signal {-died.exit_code}"


def _clear_old(past: PoolFindings) -> tuple[int, float | None]:
    """Return the failures and the time until the next attempt.

    Both are cleared if the last started worker has lived long enough.
    """
    over = past.retry_in_s is None or past.retry_in_s <= 0
    if past.state == PoolState.PROVIDER_FAILED or (over and past.state != PoolState.BACKING_OFF):
        return 0, None
    return past.failures, past.retry_in_s


def _last_log(past: PoolFindings, failures: int) -> str:
    """Return the last log, which is shown while the pool has failures."""
    return past.last_log if failures else ""


def _state(pool: PoolRow, observed: ObservedPool, *, backs_off: bool) -> str:
    if backs_off:
        return PoolState.BACKING_OFF
    complete = observed.running == pool.staying == pool.desired
    return PoolState.STEADY if complete and not observed.stopping else PoolState.SCALING


def _workers(count: int) -> str:
    return "a worker" if count == 1 else f"{count} workers"
