"""Split the text of a Python traceback into frames, and fold the frames of libraries.

The text comes from another process, perhaps on another machine, so it is only parsed. What does
not look like a traceback stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

_FRAME = re.compile(r'  File "(?P<file>[^"\n]*)", line (?P<line>\d+)(?:, in (?P<function>.*))?')
#: The line below the source that marks columns.
_COLUMNS = re.compile(r"\s*[~^]+[~^ ]*")
_HEADING = "Traceback (most recent call last):"
#: Frames that a traceback repeats are counted in a line such as this.
_REPEATED = re.compile(r"  \[Previous line repeated \d+ more times?\]")

#: Folders of packages that were installed, and of Python's own library.
_INSTALLED = re.compile(r".*/(?:site|dist)-packages/(?P<package>[^/.]+)")
_STANDARD = re.compile(r".*/python\d(?:\.\d+)?/(?P<package>[^/.]+)")
_OWN_CODE = re.compile(r".*/(?:taskmaster/)?(?:workers/daemon|tasks/(?!tasks\.py)[a-z_]+)\b.*")
_FROZEN = re.compile(r"<frozen (?P<package>[\w.]+?)(?:\._?bootstrap\w*)?>")
#: Longer paths show only their last parts.
_PATH_MAX = 60


@dataclass(frozen=True, slots=True)
class Frame:
    """Describe one call."""

    file: str
    line: int
    function: str
    source: str = ""
    #: The package of a library, or empty for the project's own code.
    library: str = ""

    @property
    def path(self) -> str:
        """Return the file, shortened to its last parts if it is long."""
        if len(self.file) <= _PATH_MAX:
            return self.file
        return "…/" + "/".join(self.file.replace("\\", "/").split("/")[-3:])


@dataclass(frozen=True, slots=True)
class TracebackPart:
    """Hold an own frame, consecutive frames of libraries, or a text between tracebacks."""

    #: `own`, `lib` or `text`.
    kind: str
    frames: list[Frame] = field(default_factory=list)
    text: str = ""
    #: The innermost own frame: the project's line that led to the error.
    marked: bool = False

    @property
    def summary(self) -> str:
        """Return the summary of folded frames: `4 frames in django and smtplib`."""
        names = list(dict.fromkeys(frame.library for frame in self.frames))
        listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        return f"{len(self.frames)} frame{'' if len(self.frames) == 1 else 's'} in {listed}"


def parts(text: str, exception: str = "", message: str = "") -> list[TracebackPart]:
    """Return the parts of a traceback in order, or an empty list if the text is not one.

    `exception` is the path of the exception's class and `message` the first line of its message, if
    they are known. The message may quote anything, so its lines are never read as frames.
    """
    begin = _message_begin(text, exception, message) if exception else len(text)
    items = _parse(text[:begin])
    if raised := text[begin:].strip("\n"):
        items.append(raised)
    if not any(isinstance(item, Frame) for item in items):
        return []
    found: list[TracebackPart] = []
    for kind, group in groupby(items, key=_kind):
        members = list(group)
        if kind == "text":
            lines = "\n".join(str(each) for each in members)
            found.append(TracebackPart("text", text=lines.strip("\n")))
        elif kind == "own":
            found += [TracebackPart("own", [frame]) for frame in _frames(members)]
        else:
            found.append(TracebackPart("lib", _frames(members)))
    return _mark(found)


def innermost_own(found: Sequence[TracebackPart]) -> Frame | None:
    """Return the project's frame in which the error occurred, if there is one."""
    return next((part.frames[0] for part in reversed(found) if part.marked), None)


def _message_begin(text: str, exception: str, message: str) -> int:
    """Return where the line of the exception begins, after which everything is its message."""
    if not text.startswith(_HEADING):
        # The beginning was cut off, so the rest may be a part of the message.
        return 0
    name = exception.removeprefix("builtins.").removeprefix("__main__.")
    line = re.compile(rf"^{re.escape(name)}(?::|$)", re.MULTILINE)
    matches = list(line.finditer(text))
    for match in matches:
        # An earlier exception of the same class may have led to this one.
        if text[match.end() :].lstrip().startswith(message):
            return match.start()
    return matches[0].start() if matches else len(text)


def _parse(text: str) -> list[Frame | str]:
    items: list[Frame | str] = []
    for line in text.rstrip("\n").split("\n"):
        last = items[-1] if items else None
        if match := _FRAME.fullmatch(line):
            file = match["file"]
            items.append(
                Frame(file, int(match["line"]), match["function"] or "", library=_library(file))
            )
        elif line == _HEADING or not line.strip():
            # Keep an empty line within a message of several lines.
            if isinstance(last, str) and not line:
                items[-1] = f"{last}\n"
        elif isinstance(last, Frame) and line.startswith("    "):
            if not _COLUMNS.fullmatch(line):
                source = f"{last.source}\n{line[4:]}" if last.source else line[4:]
                items[-1] = Frame(last.file, last.line, last.function, source, last.library)
        elif isinstance(last, Frame) and _REPEATED.fullmatch(line):
            source = f"{last.source}\n{line.strip()}".lstrip("\n")
            items[-1] = Frame(last.file, last.line, last.function, source, last.library)
        else:
            items.append(line)
    return items


def _library(file: str) -> str:
    """Return the package of a library's file, or an empty text for the project's own."""
    path = file.replace("\\", "/")
    for pattern in (_INSTALLED, _STANDARD, _FROZEN):
        if match := pattern.match(path):
            return match["package"]
    return "taskmaster" if _OWN_CODE.fullmatch(path) and "taskmaster" in path else ""


def _kind(item: Frame | str) -> str:
    if isinstance(item, str):
        return "text"
    return "lib" if item.library else "own"


def _frames(items: Sequence[Frame | str]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def _mark(found: list[TracebackPart]) -> list[TracebackPart]:
    for index in range(len(found) - 1, -1, -1):
        if found[index].kind == "own":
            found[index] = TracebackPart("own", found[index].frames, marked=True)
            break
    return found
