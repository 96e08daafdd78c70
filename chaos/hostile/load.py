"""Submit every hostile task to every executor, each followed by tasks that notice its damage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos import roster
from chaos.load import SubmissionFailed, submit_bulk

log = logging.getLogger(__name__)

WITNESSES = ("chaos.hostile.witness.observe", "chaos.hostile.witness.observe_async")
#: The set is submitted within this share of the run; the rest is for what restarts delay.
_SHARE = 0.75
_AGAIN_S = 1.0
#: Many hostile tasks fail each time: a second attempt is for a worker that a fault has killed.
_HOSTILE_ATTEMPTS = 2
#: More than the faults of any run can use up.
_WITNESS_ATTEMPTS = 50
#: A hostile task that hangs frees its slot. Longer than a worker is frozen.
_TIMEOUT_S = 40.0


@dataclass(slots=True)
class HostileSubmission:
    """Hold a hostile task or a witness for one executor."""

    key: str
    executor: str
    name: str
    #: Whether it runs before the first hostile task, and describes the slot as it must be.
    is_reference: bool = False
    acknowledged: bool = False

    @property
    def is_witness(self) -> bool:
        """Return whether it is well-behaved."""
        return self.name in WITNESSES

    @property
    def fields(self) -> dict[str, object]:
        """Return the fields of the submission."""
        fields: dict[str, object] = {
            "name": self.name,
            "tags": [self.key],
            "queue": roster.HOSTILE_QUEUES[self.executor],
            "max_attempts": _WITNESS_ATTEMPTS if self.is_witness else _HOSTILE_ATTEMPTS,
        }
        return fields if self.is_witness else fields | {"timeout_s": _TIMEOUT_S}


@dataclass(slots=True)
class HostileLoad:
    """Submit the hostile tasks of a run. `names` are those of the set."""

    names: tuple[str, ...]
    submissions: dict[str, HostileSubmission] = field(default_factory=dict)

    async def submit_references(self) -> None:
        """Submit one witness of each kind to each executor."""
        await self._submit(
            self._make(executor, name, is_reference=True)
            for executor in roster.HOSTILE_QUEUES
            for name in WITNESSES
        )

    async def run(self, seconds: float) -> None:
        """Submit the whole set, evenly over the first part of the run."""
        for name in self.names:
            await self._submit(
                self._make(executor, each)
                for executor in roster.HOSTILE_QUEUES
                for each in (name, *WITNESSES)
            )
            await asyncio.sleep(seconds * _SHARE / len(self.names))

    def _make(self, executor: str, name: str, *, is_reference: bool = False) -> HostileSubmission:
        key = f"hostile{len(self.submissions)}"
        made = HostileSubmission(key, executor, name, is_reference)
        self.submissions[key] = made
        return made

    async def _submit(self, made: Iterable[HostileSubmission]) -> None:
        """Submit until the answer arrives. Tasks whose answer was lost may be stored as well."""
        batch = list(made)
        while True:
            try:
                await asyncio.to_thread(submit_bulk, [each.fields for each in batch])
                break
            except SubmissionFailed as error:
                log.debug("submission failed: %s", error)
            await asyncio.sleep(_AGAIN_S)
            batch = [
                self._make(each.executor, each.name, is_reference=each.is_reference)
                for each in batch
            ]
        for each in batch:
            each.acknowledged = True


def hostile_names() -> tuple[str, ...]:
    """Return the names of all hostile tasks. Django must be set up."""
    from chaos.hostile import sessions, tasks  # noqa: F401 - sessions registers its tasks

    return tuple(name for name, _, _ in tasks.HOSTILE)
