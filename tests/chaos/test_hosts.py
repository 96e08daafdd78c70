"""Test hosts that can be disconnected, if this machine supports them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos.hosts import Hosts

needs_namespaces = pytest.mark.skipif(bool(Hosts(()).missing), reason=Hosts(()).missing)


async def port_answers(hosts: Hosts, port: int) -> bool:
    """Return whether the machine's port port_answers on the host's loopback."""
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port}; read -t 1 line <&3; [ $line = here ]"
    asked = await asyncio.create_subprocess_exec(
        *hosts.inside("a", ["bash", "-c", script]), stderr=subprocess.DEVNULL
    )
    return await asked.wait() == 0


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """Serve a greeting; yield the port."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@needs_namespaces
async def test_a_host_is_reachable_until_it_is_cut_off_and_again_after_healing(
    tmp_path: Path,
) -> None:
    async with serving() as port:
        with Hosts(("a",), tmp_path) as hosts:
            hosts.carry("a", outward=[port])
            async with asyncio.timeout(10):
                while not await port_answers(hosts, port):
                    await asyncio.sleep(0.05)
            hosts.cut("a")
            assert not await port_answers(hosts, port)
            hosts.heal("a")
            async with asyncio.timeout(10):
                while not await port_answers(hosts, port):
                    await asyncio.sleep(0.05)


@needs_namespaces
def test_hosts_are_removed_also_those_of_a_killed_run(tmp_path: Path) -> None:
    killed = Hosts(("a", "b"), tmp_path)
    mine = killed.inside("a", [])[3].removesuffix("-a")

    def leftovers() -> str:
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
        spaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True)
        return "\n".join(
            line for line in (links.stdout + spaces.stdout).splitlines() if mine in line
        )

    killed.__enter__()
    assert leftovers()
    with Hosts(("a", "b"), tmp_path):
        pass
    assert not leftovers()


def test_without_namespaces_a_command_runs_where_it_is() -> None:
    hosts = Hosts(("a",))
    hosts.missing = "no root"
    assert hosts.inside("a", ["true"]) == ["true"]
    hosts.carry("a", outward=[1])
