"""Test how the reports of one message are encoded and split."""

from __future__ import annotations

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.attempt import Failed, now_us
from taskmaster.workers.daemon.connection.report_message import (
    ReportMessage,
    end_size,
    text_size,
)
from taskmaster.workers.daemon.messages import Succeeded
from taskmaster.workers.daemon.output import CapturedChunk
from tests.workers.daemon.sample import an_attempt

DONE = Succeeded(1, 10, 20, "42")


def a_chunk(seq: int, text: str = "x") -> CapturedChunk:
    return CapturedChunk(seq, "stdout", text, 30)


def test_each_report_is_encoded_with_the_lease_of_its_attempt() -> None:
    started, printing, done, declined = (
        an_attempt(number, lease=number + 4, token=bytes([number])) for number in range(4)
    )
    started.started_at_us = 5
    message = ReportMessage([started], [(printing, a_chunk(3, "löwe"))], [(done, DONE)], [declined])
    update = message.encode("heron")
    assert update.worker_id == "heron"
    assert list(update.started) == [
        pb.Started(task_id=0, lease=4, attempt=1, started_at_us=5, token=b"\0")
    ]
    assert list(update.output) == [
        pb.Output(
            task_id=1,
            lease=5,
            attempt=1,
            seq=3,
            stream="stdout",
            text="löwe",
            at_us=30,
            token=b"\1",
        )
    ]
    assert list(update.completed) == [
        pb.Completed(
            task_id=2,
            lease=6,
            attempt=1,
            started_at_us=10,
            finished_at_us=20,
            result="42",
            token=b"\2",
        )
    ]
    assert [(each.task_id, each.lease, each.token) for each in update.declined] == [(3, 7, b"\3")]


def test_a_failure_keeps_its_error_and_its_times() -> None:
    ending = Failed(
        pb.EXIT_CLASS_RAISED, "KeyError: 'x'", "builtins.KeyError", "trace",
        code=3, final=True, started_at_us=10, finished_at_us=20, retry_after_s=0.0,
    )  # fmt: skip
    [failed] = ReportMessage(ends=[(an_attempt(7, lease=2), ending)]).encode("heron").failed
    assert failed == pb.Failed(
        task_id=7, lease=2, attempt=1, started_at_us=10, finished_at_us=20,
        exit_class=pb.EXIT_CLASS_RAISED, exception="builtins.KeyError", message="KeyError: 'x'",
        traceback="trace", code=3, final=True, retry_after_s=0.0,
    )  # fmt: skip


def test_a_failure_without_times_gets_the_recorded_start_and_the_current_time() -> None:
    attempt = an_attempt()
    attempt.started_at_us = 5
    ending = Failed(pb.EXIT_CLASS_SIGNAL, "killed")
    before = now_us()
    [failed] = ReportMessage(ends=[(attempt, ending)]).encode("heron").failed
    assert failed.started_at_us == 5
    assert before <= failed.finished_at_us <= now_us()
    assert not failed.HasField("retry_after_s")


def test_a_split_keeps_the_same_reports() -> None:
    attempts = [an_attempt(number) for number in range(5)]
    batch = ReportMessage(
        starts=attempts[:1],
        chunks=[(attempts[1], a_chunk(0))],
        ends=[(attempt, DONE) for attempt in attempts[2:]],
    )
    first, second = batch.split()
    assert len(first) + len(second) == len(batch)
    assert abs(len(first) - len(second)) <= 1
    assert first.ends + second.ends == batch.ends


def test_two_reports_of_different_kinds_are_separated() -> None:
    attempt = an_attempt()
    batch = ReportMessage(starts=[attempt], declined=[attempt])
    assert [len(each) for each in batch.split()] == [1, 1]


def test_characters_of_several_bytes_are_counted_in_the_size() -> None:
    for text in ("plain", "löwe", "日本", "\N{GRINNING FACE}"):
        assert text_size(text) >= len(text.encode())
        assert end_size(Succeeded(1, 1, 2, text)) >= len(text.encode())
        assert end_size(Failed(pb.EXIT_CLASS_RAISED, "", traceback=text)) >= len(text.encode())
