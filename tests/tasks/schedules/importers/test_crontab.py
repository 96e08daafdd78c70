"""Test the import of crontab files."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers import crontab
from taskmaster.tasks.schedules.importers.found import FoundSchedule


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "crontab"


def found(file: Path, text: str, *, system: bool = False) -> list[FoundSchedule]:
    file.write_text(text)
    return list(crontab.find(str(file), "Europe/Berlin", system=system))


def test_a_line_becomes_a_shell_task(file: Path) -> None:
    text = "# backups\n\n  30 2 * * 1-5   /usr/bin/backup --all  > /dev/null # not a comment\n"
    assert found(file, text) == [
        FoundSchedule(
            "/usr/bin/backup --all > /dev/null # not a comment",
            "/usr/bin/backup --all  > /dev/null # not a comment",
            {
                "cron": "30 2 * * 1-5",
                "task": "shell",
                "kwargs": {"command": "/usr/bin/backup --all  > /dev/null # not a comment"},
                "timezone": "Europe/Berlin",
            },
        )
    ]


def test_variables_hold_for_the_lines_below(file: Path) -> None:
    first, second = found(
        file,
        "@daily one\nPATH=/opt/bin:/bin\nGREETING = ' a b '\nHOME=\"/srv\"\nCRON_TZ=Asia/Tokyo\n"
        "SHELL=/bin/bash\nRANDOM_DELAY=5\nMAILTO=ops@example.org\n@daily two",
    )
    assert first.fields["kwargs"] == {"command": "one"}
    assert second.fields == {
        "cron": "@daily",
        "task": "shell",
        "kwargs": {
            "command": ["/bin/bash", "-c", "two"],
            "cwd": "/srv",
            "env": {"PATH": "/opt/bin:/bin", "GREETING": " a b ", "HOME": "/srv"},
        },
        "timezone": "Asia/Tokyo",
        "jitter_s": 300.0,
    }
    assert second.notes == ("MAILTO is left out: the output is kept with the task",)


def test_an_escaped_percent_sign_is_kept_and_another_is_refused(file: Path) -> None:
    kept, refused = found(file, "0 0 * * * date +\\%F\n0 0 * * * mail ops%Hello%")
    assert kept.fields["kwargs"] == {"command": "date +%F"}
    assert refused.obstacle.startswith("A % starts the standard input of the command")


def test_a_system_crontab_has_a_column_for_the_user(file: Path) -> None:
    text = "17 * * * * root cd / && run-parts /etc/cron.hourly\n@weekly www tidy\n"
    first, second = found(file, text, system=True)
    assert first.fields["kwargs"] == {"command": "cd / && run-parts /etc/cron.hourly"}
    assert first.notes == ("runs as the worker's user, not as root",)
    assert (second.name, second.fields["cron"]) == ("tidy", "@weekly")
    [forgotten, _] = found(file, text)
    assert forgotten.obstacle == "'root' is a user; use --system for a system crontab."


def test_a_command_with_two_schedules_gets_two_names(file: Path) -> None:
    long = "x" * 200
    names = [each.name for each in found(file, f"0 1 * * * {long}\n0 2 * * * {long}\n0 3 * * * y")]
    assert names == ["x" * 100, f"{'x' * 88} (line 2)", "y"]


@pytest.mark.parametrize(
    ("line", "obstacle"),
    [
        ("@reboot start", "It runs when the machine starts"),
        ("0 3 * * *", "line 1 has too few columns."),
        ("@daily", "line 1 has too few columns."),
        ("RANDOM_DELAY=soon\n0 3 * * * a", "RANDOM_DELAY: is 'soon'; it must be a number"),
        (f"RANDOM_DELAY={'9' * 5_000}\n0 3 * * * a", "RANDOM_DELAY: is '9999"),
    ],
)
def test_a_schedule_that_cannot_be_imported_has_the_reason(
    file: Path, line: str, obstacle: str
) -> None:
    assert found(file, line)[-1].obstacle.startswith(obstacle)


def test_a_null_byte_stops_no_other_line(file: Path) -> None:
    bad, good = found(file, "0 3 * * * a\0b c\n0 4 * * * d")
    # The check of a new schedule refuses the command.
    assert (bad.fields["kwargs"], good.name) == ({"command": "a\0b c"}, "d")


def test_a_file_that_cannot_be_read_is_refused(file: Path) -> None:
    with pytest.raises(InvalidField, match=r"FILE: .*No such file"):
        list(crontab.find(str(file), "UTC", system=False))
    file.write_bytes(b"\xff\n")
    with pytest.raises(InvalidField, match=r"FILE: .*cannot be read"):
        list(crontab.find(str(file), "UTC", system=False))
    file.write_bytes(b"#" * 1_048_577)
    with pytest.raises(InvalidField, match=r"FILE: .*has more than 1,048,576 bytes"):
        list(crontab.find(str(file), "UTC", system=False))
