"""Test the execution of tasks: results, output, errors, time-outs, crashes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from taskmaster.tasks.models import Task
from taskmaster.workers.models import Worker
from tests.system.fleet import coordinator
from tests.system.workers import call, cancel, online, output, shell, until_gone, worker
from tests.waiting import until_counted, until_finished

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("executor", ["process", "thread", "async"])
async def test_every_executor_runs_sync_and_async_tasks_and_shell(
    executor: str, tmp_path: Path
) -> None:
    async with (
        coordinator() as address,
        worker(address, "--executor", executor, "--concurrency", "3"),
    ):
        value = {"a": [1, None, "ü"]}
        ids = [await call("echo", value), await call("echo_later", value)]
        assert [(await until_finished(task_id)).result for task_id in ids] == [value, value]
        again = await call("number_of_attempt")
        assert (await until_finished(again)).result == 1
        script = await shell("seq 3 | sort -r; pwd", cwd=str(tmp_path))
        assert (await until_finished(script)).result == {"exit_code": 0}
        assert await output(script) == [("stdout", f"3\n2\n1\n{tmp_path}\n")]
        argv = await shell(["printf", "%s|", "a b", "$HOME"])
        await until_finished(argv)
        assert await output(argv) == [("stdout", "a b|$HOME|")]

        raising = await until_finished(await call("print_and_raise"))
        assert raising.status == "failed"
        [error] = raising.errors
        assert (error["class"], error["exception"]) == ("raised", "builtins.ValueError")
        assert (error["attempt"], error["worker"]) == (1, "heron")
        assert 'raise ValueError("no such order")' in error["traceback"]
        assert await output(raising.pk) == [
            ("log", "WARNING tests.system.sample_tasks: to the log\n"),
            ("stderr", "to stderr\n"),
            ("stdout", "to stdout\n"),
        ]
        exiting = await until_finished(await shell("echo oops >&2; exit 7"))
        assert [(e["class"], e["code"]) for e in exiting.errors] == [("exit_code", 7)]
        assert await output(exiting.pk) == [("stderr", "oops\n")]
        missing = await until_finished(await shell(["no-such-command-here"]))
        assert missing.errors[0]["code"] == 127
        assert "no-such-command-here" in missing.errors[0]["message"]
        useless = await until_finished(await call("return_non_json"))
        assert "The result cannot be converted to JSON" in useless.errors[0]["message"]


async def test_output_is_stored_decoded_and_truncated_with_a_marker() -> None:
    cap = "4096"
    async with (
        coordinator(TASKMASTER_OUTPUT_MAX_BYTES=cap) as address,
        worker(address, "--concurrency", "1"),
    ):
        strange = await call("print_non_utf8")
        await until_finished(strange)
        assert await output(strange) == [("stdout", "caf\ufffd \ufffd\n")]
        flooding = await call("flood", 2_000)
        await until_finished(flooding)
        [(_, text)] = await output(flooding)
        assert text.startswith("line 0\nline 1\n")
        assert "bytes cut …" in text
        assert text.endswith("line 1999\n")
        assert len(text.encode()) < 4_096 + 100


async def test_a_time_out_kills_the_process_tree_and_frees_the_slot() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "2"):
        ids = [
            await call("spin", timeout_s=0.5),
            await call("sleep", 300, timeout_s=0.5),
            await call("start_and_sleep", "300.111", timeout_s=0.5),
            await shell("sleep 300.222 | cat & sleep 300.333", timeout_s=0.5),
        ]
        for task_id in ids:
            task = await until_finished(task_id)
            assert task.status == "failed"
            [error] = task.errors
            assert error["class"] == "timeout"
            assert error["message"] == "time-out after 0.5 s"
        for marker in ("300.111", "300.222", "300.333"):
            await until_gone(marker)
        assert (await until_finished(await call("echo", 1))).result == 1


async def test_an_unstoppable_thread_is_reported_and_other_threads_continue() -> None:
    options = ("--executor", "thread", "--concurrency", "2")
    async with coordinator() as address, worker(address, *options):
        neighbour = await call("sleep", 2)
        stuck = await call("sleep", 300, timeout_s=0.5)
        assert (await until_finished(stuck)).errors[0]["class"] == "timeout"
        assert (await until_finished(neighbour)).result == 2
        assert (await until_finished(await call("echo", 1))).result == 1


async def test_the_output_of_a_crashed_child_is_kept_and_only_its_task_fails() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "2"):
        neighbour = await call("sleep", 1.5)
        crashed = await until_finished(await call("crash"))
        [error] = crashed.errors
        assert (error["class"], error["code"]) == ("signal", 11)
        assert await output(crashed.pk) == [("stdout", "last words\n")]
        assert (await until_finished(neighbour)).result == 1.5
        assert (await until_finished(await call("echo", 1))).result == 1


async def test_a_failed_task_is_retried_until_its_attempts_are_used_up() -> None:
    async with coordinator(TASKMASTER_RETRY_BASE_S="0.05") as address, worker(address):
        task = await until_finished(await call("print_and_raise", max_attempts=3))
    assert (task.status, task.attempt) == ("failed", 3)
    assert [error["attempt"] for error in task.errors] == [1, 2, 3]


@pytest.mark.parametrize("executor", ["process", pytest.param("async", marks=pytest.mark.long)])
async def test_a_task_chooses_its_retry_delay_and_when_to_stop(executor: str) -> None:
    async with coordinator() as address, worker(address, "--executor", executor):
        again = await call("retry_then_return", 0.3, max_attempts=5)
        gone = await call("discard", max_attempts=5)
        wrong = await call("raise_key_error", max_attempts=5)
        task = await until_finished(again)
        assert (task.status, task.result, task.attempt) == ("complete", 2, 2)
        assert task.errors[0]["message"] == "not yet"
        assert task.errors[0]["exception"] == "taskmaster.tasks.retries.Retry"
        for task_id, message in ((gone, "the page is gone"), (wrong, "KeyError: 'no such row'")):
            task = await until_finished(task_id)
            assert (task.status, task.attempt) == ("failed", 1)
            assert task.errors[0]["message"] == message


async def test_a_cancelled_attempt_is_recorded() -> None:
    async with coordinator() as address, worker(address):
        task_id = await call("sleep", 300)
        await until_counted(1, status="started")
        await cancel(task_id)
        task = await until_finished(task_id)
    [error] = task.errors
    assert (error["class"], error["attempt"], error["worker"]) == ("cancelled", 1, "heron")


async def test_cancelling_stops_a_running_task() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "2"):
        python, script = await call("start_and_sleep", "300.444"), await shell("sleep 300.555")
        await until_counted(2, status="started")
        for task_id in (python, script):
            await cancel(task_id)
        await until_gone("300.444")
        await until_gone("300.555")
        assert (await until_finished(python)).status == "cancelled"
        assert (await until_finished(await call("echo", 1))).result == 1


async def test_a_child_that_holds_the_gil_delays_no_heartbeat() -> None:
    async with (
        coordinator(
            TASKMASTER_HEARTBEAT_INTERVAL_S="0.5",
            TASKMASTER_RECONNECT_GRACE_S="1",
            TASKMASTER_LOST_CONTACT_MARGIN_S="0.5",
        ) as address,
        worker(address, "--executor", "thread", "--concurrency", "2"),
    ):
        holding = await call("hold_the_gil", 250_000_000)
        await until_counted(1, status="started")
        seen = (await online("heron")).last_seen_at
        gaps = []
        async with asyncio.timeout(60):
            while await still_runs(holding):
                now = (await Worker.objects.aget(name="heron")).last_seen_at
                if now != seen:
                    gaps.append(now - seen)
                    seen = now
                await asyncio.sleep(0.05)
        assert len(gaps) >= 3, "the task ended before a heartbeat was due"
        assert max(gaps) < timedelta(seconds=2.5)
        done = await until_finished(holding)
        assert (done.status, done.attempt) == ("complete", 1)


async def still_runs(task_id: int) -> bool:
    """Return whether the task has begun and not ended."""
    return (await Task.objects.aget(pk=task_id)).status == "started"


async def test_offers_do_not_wait_behind_a_long_task() -> None:
    async with coordinator() as address, worker(address, "--concurrency", "1"):
        for _ in range(20):
            await until_finished(await call("echo", 1))
        # The coordinator has learnt that tasks are short here, and offers more than one.
        long = await call("sleep", 60)
        await until_counted(1, status="started")
        short = [await call("echo", number) for number in range(5)]
        async with worker(address, name="stork"):
            for task_id in short:
                assert (await until_finished(task_id)).worker == "stork"
            assert await still_runs(long)
        await cancel(long)
