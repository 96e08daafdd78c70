"""Test that wrong cron expressions are refused with the item, the rule and the correct form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.timing.cron import cron_sets
from taskmaster.tasks.timing.cron_errors import cron_expression
from tests.tasks.timing import strategies


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("30 2 * * *", "30 2 * * *"),
        ("  30\t2  *\n* * ", "30 2 * * *"),
        ("30\u00a02 * * *", "30 2 * * *"),
        ("0 4 * JAN Mon,tue", "0 4 * jan mon,tue"),
        ("5-5/10 */2 3/4 * *", "5 */2 3/4 * *"),
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("0 0 30 2 mon", "0 0 30 2 mon"),
    ],
)
def test_an_expression_is_stored_with_single_spaces_in_lower_case(text: str, stored: str) -> None:
    assert cron_expression(text) == stored
    assert cron_expression(stored) == stored


@pytest.mark.parametrize(
    ("text", "rule", "nearest"),
    [
        ("* * * * * *", "has six fields; a schedule has five: minute hour", "* * * * *"),
        ("0 */5 * * * *", "has six fields; a schedule has five: minute hour", "*/5 * * * *"),
        ("0 0 12 * * ?", "has six fields; a schedule has five: minute hour", "0 12 * * *"),
        ("0 3 * *", "has four fields; a schedule has five: minute hour", None),
        ("x", "has one field; a schedule has five: minute hour", None),
        ("0 0 30 2 *", "has '30' in the day; 30 February does not exist", "0 0 28 2 *"),
        ("0 0 30,31 2 *", "has '30' in the day; 30 February does not exist", "0 0 28,31 2 *"),
        ("0 0 31 4,6 *", "'31' in the day; none of its months has 31 days", "0 0 30 4,6 *"),
        ("0 0 31 4 */2", "has '31' in the day; 31 April does not exist", "0 0 30 4 */2"),
        ("60 * * * *", "has '60' in the minute; the minute must be from 0 to 59", "0 * * * *"),
        ("0 24 * * *", "has '24' in the hour; the hour must be from 0 to 23", "0 0 * * *"),
        ("0 0-24 * * *", "has '0-24' in the hour; the hour must be from 0", "0 0-23 * * *"),
        ("60 24 0 13 8", "has '60' in the minute", "0 0 1 12 0"),
        ("0 22-4 * * *", "has '22-4' in the hour; a range must go up", "0 22-23,0-4 * * *"),
        ("0 0 * * fri-sun", "'fri-sun' in the weekday; a range must go up", "0 0 * * 5-7"),
        ("0 0 * * fri-mon", "'fri-mon' in the weekday; a range must go up", "0 0 * * 5-7,1"),
        ("0 0 * nov-feb *", "a range must go up", "0 0 * 11-12,1-2 *"),
        ("*/0 * * * *", "the step of the minute must be from 1 to 59", "* * * * *"),
        ("*/90 * * * *", "the step of the minute must be from 1 to 59", "0 * * * *"),
        ("0 */24 * * *", "the step of the hour must be from 1 to 23", "0 0 * * *"),
        ("0 0 * * monday", "the names of the weekday are sun, mon,", "0 0 * * mon"),
        ("0 0 * sept *", "the names of the month are jan, feb,", "0 0 * sep *"),
        ("0 0 * * xyz", "the names of the weekday are sun, mon,", None),
        ("0 0 L * *", "has 'L' in the day; 'L', 'W' and '#' are not", "0 0 28 * *"),
        ("0 0 15W * *", "has '15W' in the day; 'L', 'W' and '#' are not", "0 0 15 * *"),
        ("0 0 * * 5L", "has '5L' in the weekday; 'L', 'W' and '#' are not", "0 0 * * 5"),
        ("0 0 * * Fri#2", "has 'Fri#2' in the weekday; 'L', 'W'", "0 0 * * fri"),
        ("0 0 ? * *", "has '?' in the day; '?' is not supported", "0 0 * * *"),
        ("0~30 * * * *", "random values are not supported; use jitter_s", None),
        ("H * * * *", "random values are not supported; use jitter_s", None),
        ("1,,2 * * * *", "has '1,,2' in the minute; an item of the list is empty", "1,2 * * * *"),
        (", * * * *", "an item of the list is empty", None),
        ("1-5-7 * * * *", "the minute must be *, a number, a range such as 1-3", None),
        ("-5 * * * *", "the minute must be *, a number, a range such as 1-3", None),
        ("*/ * * * *", "the minute must be *, a number, a range such as 1-3", None),
        ("*5 * * * *", "the minute must be *, a number, a range such as 1-3", None),
        ("1.5 * * * *", "the minute must be *, a number, a range such as 1-3", None),
        ("\u0663 * * * *", "the minute must be *, a number, a range such as 1-3", None),
        ("\u00b2 * * * *", "the minute must be *, a number, a range such as 1-3", None),
        ("0 0 * * mo", "the names of the weekday are sun, mon,", None),
        ("@reboot", "is '@reboot'; it must be five fields or one of @yearly,", None),
        ("@dayly", "is '@dayly'; it must be five fields or one of @yearly,", "@daily"),
        ("@every 5m", "is '@every 5m'; it must be five fields or one of", None),
        ("", "must not be empty; for example, '30 2 * * *' is every day", None),
        (" \t\n", "must not be empty; for example, '30 2 * * *' is every day", None),
        ("*" * 10_240, "has 10240 characters; the limit is 200", None),
        ("1," * 40 + " * * * *", "an item of the list is empty", "1" + ",1" * 39 + " * * * *"),
        ("9" * 190 + " * * * *", "the minute must be from 0 to 59", "59 * * * *"),
        ("\0 * * * *", "contains U+0000", None),
        ("\ud800 * * * *", "an unpaired surrogate", None),
        (None, "must be a string, not null", None),
        (5, "must be a string, not a number", None),
        (["*"], "must be a string, not a list", None),
    ],
)
def test_a_wrong_expression_is_refused_with_the_nearest_correct_form(
    text: object, rule: str, nearest: str | None
) -> None:
    with pytest.raises(InvalidField) as refused:
        cron_expression(text)
    assert refused.value.field == "cron"
    assert rule in refused.value.rule
    if nearest is None:
        assert "nearest" not in refused.value.rule
        assert "Without" not in refused.value.rule
    else:
        assert refused.value.rule.endswith(f" is '{nearest}'.")
        cron_expression(nearest)


@given(st.text() | st.text(alphabet="0123456789*/,-#@LWmonjafri? ~", max_size=60))
def test_any_text_is_accepted_or_refused(text: str) -> None:
    try:
        expression = cron_expression(text)
    except InvalidField:
        return
    assert cron_expression(expression) == expression


@given(strategies.expressions)
def test_a_stored_expression_has_the_values_of_the_input(text: str) -> None:
    assert cron_sets(cron_expression(text)) == cron_sets(text)
