"""Test how a batch of reports is split, and what it adds to the statistics."""

from __future__ import annotations

from uuid import UUID

from taskmaster.coordinator.reports import batch as module
from taskmaster.coordinator.reports.batch import BatchOutcome, ReportBatch
from taskmaster.tasks.messages import Completion, RecordedAttempt, Release, Start
from taskmaster.tasks.statistics.histogram import histogram

WORKER = UUID(int=1)


def start(task_id: int) -> Start:
    return Start(task_id, 1, 1, 0.0, "heron", WORKER)


def completion(task_id: int) -> Completion:
    return Completion(task_id, 1, 1, 0.5, 0.2, "heron", WORKER, None)


def release(task_id: int) -> Release:
    return Release(task_id, 1, handed_back=False, unused=False)


def test_a_batch_is_split_into_halves_in_the_order_of_writing() -> None:
    batch = ReportBatch(
        starts=[start(1), start(2)], completions=[completion(3)], releases=[release(4), release(5)]
    )
    first, second = batch.split()
    assert first == ReportBatch(starts=[start(1), start(2)])
    assert second == ReportBatch(completions=[completion(3)], releases=[release(4), release(5)])


def test_repeated_splits_end_with_single_reports() -> None:
    pending, single = [ReportBatch(starts=[start(n) for n in range(7)])], []
    while pending:
        batch = pending.pop(0)
        halves = batch.split()
        pending += halves
        if not halves:
            single.append(batch)
    assert [batch.starts for batch in single if batch.starts] == [[start(n)] for n in range(7)]


def test_a_batch_needs_one_statement_for_each_kind_and_one_for_the_statistics() -> None:
    assert ReportBatch().statement_count == 0
    assert ReportBatch(starts=[start(1)]).statement_count == 1
    assert ReportBatch(releases=[release(1)], starts=[start(2)]).statement_count == 2
    assert ReportBatch(completions=[completion(1)]).statement_count == 2


def test_durations_of_a_large_batch_are_sampled() -> None:
    count = module._SAMPLES_MAX * 3
    outcome = BatchOutcome(
        completed=[RecordedAttempt(n, "a.task", "mail", 0.1) for n in range(count)]
    )
    ended = outcome.ended_tasks([completion(n) for n in range(count)])
    assert ended.complete == count
    weight = count // module._SAMPLES_MAX + 1
    samples = -(-count // weight)
    assert samples <= module._SAMPLES_MAX
    assert ended.wait == histogram([0.1] * samples, weight)
    assert ended.run == histogram([0.3] * samples, weight)
