"""Generate random cron expressions, triggers and moments, many of them near clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.timing.cron import FIELDS, MONTH, WEEKDAY, CronField
from taskmaster.tasks.timing.cron_errors import cron_expression
from taskmaster.tasks.timing.local_time import transitions
from taskmaster.tasks.timing.rules import RepeatedTime, SkippedTime
from taskmaster.tasks.timing.triggers import CronTrigger
from taskmaster.tasks.timing.zones import zone_of

#: Zones with unusual changes, among others: half an hour, at midnight, a lost day, three hours.
ZONE_NAMES = (
    "Africa/Casablanca",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
)
EARLIEST, LATEST = datetime(1995, 1, 1), datetime(2035, 1, 1)

zones = st.sampled_from(ZONE_NAMES).map(zone_of)
moments = st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC))


def _items(field: CronField) -> st.SearchStrategy[str]:
    numbers = st.integers(field.low, field.high)
    names = st.sampled_from(field.names) if field.names else st.nothing()
    values = numbers.map(str) | names
    steps = st.integers(1, field.high - field.low)
    ranges = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    return (
        values
        | ranges
        | st.builds("{}/{}".format, st.just("*") | values | ranges, steps)
        | st.just("*")
    )


def _fields(field: CronField) -> st.SearchStrategy[str]:
    lists = st.lists(_items(field), min_size=1, max_size=3).map(",".join)
    # Rare months and weekdays would make most expressions due once in years.
    return lists | (st.just("*") | st.just("*") if field in (MONTH, WEEKDAY) else st.nothing())


def _is_valid(expression: str) -> bool:
    try:
        cron_expression(expression)
    except InvalidField:
        return False
    return True


expressions = st.tuples(*map(_fields, FIELDS)).map(" ".join).filter(_is_valid)
#: Expressions that are due near the changes of most zones.
nightly = st.tuples(
    _fields(FIELDS[0]), st.sampled_from(["*", "0-4", "1,2", "2", "2,3", "0", "23", "*/2"])
).map(lambda pair: f"{pair[0]} {pair[1]} * * *")
triggers = st.builds(
    CronTrigger,
    expressions | nightly,
    zones,
    st.sampled_from(SkippedTime),
    st.sampled_from(RepeatedTime),
)


@st.composite
def near_changes(draw: st.DrawFn, trigger: CronTrigger) -> datetime:
    """Return a moment within a day of a change of the clocks, if the zone has one."""
    moment = draw(moments)
    found = transitions(trigger.zone, moment, moment + timedelta(days=200))
    if not found or draw(st.integers(0, 3)) == 0:
        return moment
    span = draw(st.sampled_from([timedelta(hours=1), timedelta(hours=3), timedelta(hours=30)]))
    return found[0].at + draw(st.timedeltas(-span, span))
