"""Limit the size of shell commands to what Linux can start."""

from __future__ import annotations

from taskmaster.tasks.errors import TooLarge

#: Most bytes of one argument or environment variable of a command: the limit of Linux, less the
#: byte that ends a string.
MAX_ARGUMENT = 131_071
#: Most bytes of the arguments and the environment of a command together, with a pointer of 8 bytes
#: and an end of 1 byte for each. Linux allows 2 MiB, which include the worker's own environment.
MAX_COMMAND = 1_572_864
#: Most bytes of a path on Linux, less the byte that ends it.
_MAX_PATH = 4_095
_FILE = "pass the data in a file"


def check_command_size(
    command: str | list[str], cwd: str | None, env: dict[str, str], *, at: str
) -> None:
    """Raise TooLarge for a command that Linux cannot start. `at` is the name of its object."""
    texts = (
        [("command", command, "put the script into a file")]
        if isinstance(command, str)
        else [(f"command[{index}]", text, _FILE) for index, text in enumerate(command)]
    )
    texts += [(f"env.{name[:40]}", f"{name}={value}", _FILE) for name, value in env.items()]
    total = 0
    for field, text, remedy in texts:
        size = _size(text)
        total += size + 9
        if size > MAX_ARGUMENT:
            raise TooLarge(
                f"{at}.{field}",
                f"has {size:,} bytes; Linux limits a script, an argument and an environment "
                f"variable to {MAX_ARGUMENT:,} bytes each; {remedy}.",
            )
    if total > MAX_COMMAND:
        raise TooLarge(
            at,
            f"needs {total:,} bytes for the arguments and the environment of the command; the "
            f"limit is {MAX_COMMAND:,}; {_FILE}.",
        )
    if cwd is not None and _size(cwd) > _MAX_PATH:
        raise TooLarge(f"{at}.cwd", f"is a path of more than {_MAX_PATH:,} bytes.")


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
