"""Test that the examples and differences on the reference page are true."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.timing.cron_errors import cron_expression
from taskmaster.tasks.timing.parse import parse_timing
from taskmaster.tasks.timing.words import describe
from tests.postgres_plugin import ROOT
from tests.tasks.timing.expressions import EXPRESSIONS
from tests.tasks.timing.reference import utc

PAGE = (ROOT / "docs" / "reference" / "schedules.md").read_text(encoding="utf-8")
NOW = utc(2026)


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table with this first row, without the first row."""
    table = PAGE.split(f"\n| {heading} |\n", 1)[1].split("\n\n", 1)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1:]]


def due_on(day: datetime, cron: str, **fields: object) -> str:
    """Return the local due times of a day, as the page has them."""
    timing = parse_timing({"cron": cron, "timezone": "Europe/Berlin", **fields}, NOW).timing
    found = takewhile(
        lambda due: due.local.date() == day.date(), timing.after(day - timedelta(hours=2))
    )
    zone = timing.trigger.zone
    times = [due.at.astimezone(zone).isoformat(" ", "minutes") for due in found]
    return ", ".join(f"{time[11:16]} {time[16:]}" for time in times) or "none"


def test_the_words_of_the_examples_are_true() -> None:
    found = rows("expression | in words")
    assert len(found) == 7
    for expression, words in found:
        assert describe(parse_timing({"cron": expression.strip("`")}, NOW).timing) == words


def test_the_examples_of_clock_changes_are_true() -> None:
    found = rows("expression | rule | 29 March | 25 October")
    assert len(found) == 5
    for expression, rule, march, october in found:
        skipped, repeated = (re.findall("[a-z]+", rule) * 2)[:2]
        fields = {"skipped_time": skipped, "repeated_time": repeated}
        cron = expression.strip("`")
        assert due_on(utc(2026, 3, 29), cron, **fields) == march
        assert due_on(utc(2026, 10, 25), cron, **fields) == october


def test_the_page_has_the_length_of_the_reference_list() -> None:
    assert f"A list of {len(EXPRESSIONS)} expressions" in PAGE


@pytest.mark.parametrize(
    ("expression", "start", "lost"),
    [
        ("*/15 2 * * *", utc(2026, 4, 4, 13), ["02:00", "02:15"]),
        ("0 */3 * * *", utc(2026, 10, 3, 13), ["03:00"]),
    ],
)
def test_cronsim_loses_runs_in_lord_howe(expression: str, start: datetime, lost: list[str]) -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    fields = {"cron": expression, "timezone": zone.key}
    ours = [due.at for due in islice(parse_timing(fields, NOW).timing.after(start), 4)]
    other = [at.astimezone(UTC) for at in islice(CronSim(expression, start.astimezone(zone)), 4)]
    assert [f"{at.astimezone(zone):%H:%M}" for at in ours if at not in other] == lost


@pytest.mark.parametrize(
    "expression",
    ["0 30 2 * * *", "0 0 L * *", "0 0 LW * *", "0 0 * * 5L", "0 0 * * 5#2", "*/90 * * * *"],
)
def test_cronsim_accepts_what_is_refused_here(expression: str) -> None:
    CronSim(expression, datetime(2026, 1, 1))
    with pytest.raises(InvalidField):
        cron_expression(expression)


def test_cronsim_reads_a_range_of_one_value_with_a_step_differently() -> None:
    assert CronSim("5-5/10 * * * *", datetime(2026, 1, 1)).minutes == {5, 15, 25, 35, 45, 55}
    assert CronSim(cron_expression("5-5/10 * * * *"), datetime(2026, 1, 1)).minutes == {5}


def test_cronsim_refuses_macros() -> None:
    assert cron_expression("@daily")
    with pytest.raises(CronSimError):
        CronSim("@daily", datetime(2026, 1, 1))
