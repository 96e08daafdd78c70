"""Hosts with addresses of their own on one network: namespaces on a switch.

The switch is in a namespace too, so nothing of it is seen on the machine. Some hosts have a second
cable, to the machine's database (`carry`); the others reach nothing but each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaos.hosts import Hosts, _ip
from tests.system.fleet import ROOT

#: Set aside for documentation (RFC 5737): no host of any name.
_NETWORK = "203.0.113"
_PLUG = "lan"


class Lan(Hosts):
    """A context: nothing is left of the hosts afterwards."""

    def __init__(self, names: Sequence[str], wired: Sequence[str]) -> None:
        # Not those of a chaos run in the same checkout.
        super().__init__(names, ROOT / "lan")
        #: Those with a cable to the machine.
        self._wired = frozenset(wired)

    def address(self, host: str) -> str:
        """Where the other hosts find it."""
        return f"{_NETWORK}.{10 + self._names.index(host)}"

    def cut(self, host: str) -> None:
        """From here on the other hosts do not reach it, nor it them."""
        _ip("-n", self._namespace(host), "link", "set", _PLUG, "down")

    def heal(self, host: str) -> None:
        """It is on the network again."""
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
