"""Provide hosts with their own addresses on one network: namespaces on a switch.

The switch is in a namespace too, so it does not appear on the machine. Some hosts have a second
cable, to the machine's database (`carry`); the others reach only each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaos.hosts import Hosts, _ip
from tests.system.fleet import ROOT

#: Reserved for documentation (RFC 5737), so no real host is hidden.
_NETWORK = "203.0.113"
_PLUG = "lan"


class Lan(Hosts):
    """A context manager that removes all its hosts at the end."""

    def __init__(self, names: Sequence[str], wired: Sequence[str]) -> None:
        # Another prefix than that of a chaos run in the same checkout.
        super().__init__(names, ROOT / "lan")
        #: The hosts with a cable to the machine.
        self._wired = frozenset(wired)

    def address(self, host: str) -> str:
        """Return the address at which the other hosts find it."""
        return f"{_NETWORK}.{10 + self._names.index(host)}"

    def cut(self, host: str) -> None:
        """Disconnect the host from the other hosts."""
        _ip("-n", self._namespace(host), "link", "set", _PLUG, "down")

    def heal(self, host: str) -> None:
        """Reconnect the host."""
        _ip("-n", self._namespace(host), "link", "set", _PLUG, "up")

    def _open(self, host: str) -> None:
        space, switch = self._namespace(host), self._namespace("switch")
        if host == self._names[0]:
            _ip("netns", "add", switch)
            _ip("-n", switch, "link", "add", _PLUG, "type", "bridge")
            _ip("-n", switch, "link", "set", _PLUG, "up")
        if host in self._wired:
            super()._open(host)
        else:
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        port = f"port{self._names.index(host)}"
        _ip(*("-n", switch, "link", "add", port), *("type", "veth", "peer", _PLUG, "netns", space))
        _ip("-n", switch, "link", "set", port, "master", _PLUG, "up")
        _ip("-n", space, "address", "add", f"{self.address(host)}/24", "dev", _PLUG)
        _ip("-n", space, "link", "set", _PLUG, "up")
