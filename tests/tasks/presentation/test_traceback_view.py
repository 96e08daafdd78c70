"""Test that frames of libraries are folded and the project's frames stay visible."""

from __future__ import annotations

import traceback

import pytest

from taskmaster.tasks.presentation.traceback_view import innermost_own, parts

MAIL = """\
Traceback (most recent call last):
  File "/srv/app/shop/orders/tasks.py", line 41, in send_receipt
    deliver(message, tenant=order.tenant)
    ~~~~~~~^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/shop/mail/client.py", line 88, in deliver
    connection.send_messages([message])
  File "/srv/venv/lib/python3.11/site-packages/django/core/mail/backends/smtp.py", line 128, in open
    self.connection = self.connection_class(host)
  File "/usr/lib/python3.11/smtplib.py", line 341, in connect
    (code, msg) = self.getreply()
  File "/usr/lib/python3.11/smtplib.py", line 405, in getreply
    raise SMTPServerDisconnected("Connection unexpectedly closed")
smtplib.SMTPServerDisconnected: Connection unexpectedly closed
"""


def test_frames_of_libraries_are_folded_and_counted_by_package() -> None:
    first, second, folded, raised = parts(MAIL)
    assert [part.kind for part in (first, second, folded, raised)] == ["own", "own", "lib", "text"]
    assert folded.summary == "3 frames in django and smtplib"
    assert [frame.line for frame in folded.frames] == [128, 341, 405]
    assert raised.text == "smtplib.SMTPServerDisconnected: Connection unexpectedly closed"
    assert first.frames[0].source == "deliver(message, tenant=order.tenant)"


def test_the_innermost_own_frame_is_marked() -> None:
    found = parts(MAIL)
    assert [part.marked for part in found] == [False, True, False, False]
    frame = innermost_own(found)
    assert frame is not None
    assert (frame.function, frame.line, frame.file) == (
        "deliver",
        88,
        "/srv/app/shop/mail/client.py",
    )


def test_frames_of_the_worker_are_a_library() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/opt/taskmaster/workers/daemon/child/call.py"'
        ", line 3, in run\n    run()\nValueError: x\n"
    )
    assert parts(text)[0].summary == "1 frame in taskmaster"


def test_a_real_chained_traceback_keeps_its_order() -> None:
    try:
        try:
            {}["key"]
        except KeyError as error:
            raise ValueError("first line\n\nthird line") from error
    except ValueError as error:
        text = "".join(traceback.format_exception(error))
    found = parts(text)
    assert [part.kind for part in found] == ["own", "text", "own", "text"]
    assert "direct cause" in found[1].text
    assert found[3].text == "ValueError: first line\n\nthird line"
    assert [part.marked for part in found] == [False, False, True, False]


FORGED = 'Traceback (most recent call last):\n  File "<b>", line 1, in evil\n'


@pytest.mark.parametrize(
    "message",
    [f"x\n{FORGED}Evil: x", f"x\n{FORGED}ValueError: x", f"\n\n{FORGED}x", "x" * 99 + FORGED],
)
def test_a_message_that_looks_like_a_traceback_stays_a_text(message: str) -> None:
    try:
        raise ValueError(message)
    except ValueError as error:
        text = "".join(traceback.format_exception(error))
    first = message.strip().partition("\n")[0][:80]
    own, raised = parts(text, "builtins.ValueError", first)
    assert own.frames[0].function == "test_a_message_that_looks_like_a_traceback_stays_a_text"
    assert raised.text == f"ValueError: {message}".rstrip("\n")
    cut = text[text.index('  File "<b>"') :]
    assert parts(cut, "builtins.ValueError", first) == []


def test_an_earlier_exception_of_the_same_class_does_not_hide_the_frames_of_the_last_one() -> None:
    try:
        try:
            int("x")
        except ValueError as error:
            raise ValueError("no number") from error
    except ValueError as error:
        text = "".join(traceback.format_exception(error))
    found = parts(text, "builtins.ValueError", "no number")
    assert [part.kind for part in found] == ["own", "text", "own", "text"]
    assert found[2].marked


def test_repeated_frames_and_exception_groups_lose_no_line() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/app/a.py", line 1, in f\n    f()\n'
        "  [Previous line repeated 970 more times]\nRecursionError: too deep\n"
    )
    own, raised = parts(text)
    assert own.frames[0].source == "f()\n[Previous line repeated 970 more times]"
    assert raised.text == "RecursionError: too deep"
    group = "  + Exception Group Traceback (most recent call last):\n  | ExceptionGroup: two\n"
    assert parts(group) == []


@pytest.mark.parametrize("text", ["", "exit code 3", "\n\n", '  File "x"', "a\n    b\n"])
def test_other_texts_are_no_traceback(text: str) -> None:
    assert parts(text) == []


def test_a_long_path_is_shortened_and_kept() -> None:
    file = "/".join(["", *["folder"] * 12, "tasks.py"])
    [own, _] = parts(f'  File "{file}", line 7, in f\n    x\nValueError\n')
    assert own.frames[0].path == "…/folder/folder/tasks.py"
    assert own.frames[0].file == file
