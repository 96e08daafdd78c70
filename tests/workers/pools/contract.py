"""Define the tests that every provider must pass, and the interface that they need."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable

import pytest

from taskmaster.workers.pools.provider import (
    DeadWorker,
    DesiredPool,
    ObservedPool,
    Provider,
    ProviderMissing,
)


class Bench(ABC):
    """Control an engine that runs workers, from the side of the test."""

    #: Time within which the engine applies a change, in seconds.
    deadline_s = 15.0
    #: Exit code of the worker that `crash` ends.
    exit_code = 3

    @abstractmethod
    def provider(self) -> Provider:
        """Return a new provider, as another coordinator would have it."""

    @abstractmethod
    def elsewhere(self) -> Provider:
        """Return a provider that cannot reach this engine."""

    @abstractmethod
    def desired(self, count: int) -> DesiredPool:
        """Return a pool of the engine. Its workers print READY and run until they are stopped."""

    @abstractmethod
    async def release(self) -> None:
        """End the workers that were asked to stop. They continue to run until this call."""

    @abstractmethod
    async def crash(self) -> None:
        """Make a worker that was not asked to stop print `it is over` and exit with `exit_code`."""

    async def until(
        self, provider: Provider, desired: DesiredPool, holds: Callable[[ObservedPool], bool]
    ) -> tuple[DeadWorker, ...]:
        """Observe until the condition holds. Return the workers that died until then."""
        died: tuple[DeadWorker, ...] = ()
        seen = None
        try:
            async with asyncio.timeout(self.deadline_s):
                while True:
                    seen = await provider.observe(desired)
                    died += seen.died
                    if holds(seen):
                        return died
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"at the deadline: {seen}") from None


def runs(running: int, stopping: int = 0) -> Callable[[ObservedPool], bool]:
    """Return a condition on the number of running and of stopping workers."""
    return lambda seen: (seen.running, seen.stopping) == (running, stopping)


class Contract:
    """Test a provider. Its test module inherits this class and defines the fixture `bench`."""

    @pytest.fixture
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        provider = bench.provider()
        yield provider
        await provider.close()

    async def test_scaling_is_idempotent(self, bench: Bench, provider: Provider) -> None:
        three = bench.desired(3)
        assert await provider.observe(three) == ObservedPool(running=0)
        await provider.check(three)
        assert await provider.observe(three) == ObservedPool(running=0), "a check changes nothing"
        await provider.scale(three)
        await provider.scale(three)
        assert await bench.until(provider, three, runs(3)) == ()
        await provider.scale(three)
        assert await provider.observe(three) == ObservedPool(running=3)

    async def test_surplus_workers_finish_their_tasks_without_delaying_the_caller(
        self, bench: Bench, provider: Provider
    ) -> None:
        await provider.scale(bench.desired(3))
        await bench.until(provider, bench.desired(3), runs(3))
        one = bench.desired(1)
        await provider.scale(one)
        await bench.until(provider, one, runs(1, 2))
        # Each worker is signalled once: a second signal would hand its tasks back.
        await provider.scale(one)
        assert await provider.observe(one) == ObservedPool(running=1, stopping=2)
        # More workers are desired while those are still stopping.
        two = bench.desired(2)
        await provider.scale(two)
        await bench.until(provider, two, runs(2, 2))
        await bench.release()
        assert await bench.until(provider, two, runs(2)) == (), (
            "a worker that was asked to stop does not count as dead"
        )

    async def test_another_coordinator_continues_from_the_observed_state(
        self, bench: Bench, provider: Provider
    ) -> None:
        await provider.scale(bench.desired(2))
        await bench.until(provider, bench.desired(2), runs(2))
        none = bench.desired(0)
        await provider.scale(none)
        await provider.close()
        other = bench.provider()
        try:
            await bench.until(other, none, runs(0, 2))
            await other.scale(none)
            await bench.release()
            assert await bench.until(other, none, runs(0)) == ()
        finally:
            await other.close()

    async def test_a_death_is_reported_once_with_its_log_and_the_worker_is_replaced(
        self, bench: Bench, provider: Provider
    ) -> None:
        two = bench.desired(2)
        await provider.scale(two)
        await bench.until(provider, two, runs(2))
        await bench.crash()
        died: tuple[DeadWorker, ...] = ()
        async with asyncio.timeout(bench.deadline_s):
            while not died:
                died = (await provider.observe(two)).died
        (death,) = died
        assert death.exit_code in (bench.exit_code, None)
        assert "it is over" in death.last_log
        await provider.scale(two)
        assert await bench.until(provider, two, runs(2)) == ()

    async def test_a_missing_provider_is_reported_before_scaling(
        self, bench: Bench, provider: Provider
    ) -> None:
        desired = bench.desired(1)
        elsewhere = bench.elsewhere()
        try:
            with pytest.raises(ProviderMissing) as caught:
                await elsewhere.check(desired)
        finally:
            await elsewhere.close()
        assert len(str(caught.value)) > 40, "the message names what is missing and what to do"
        assert "\n" not in str(caught.value)
        assert await provider.observe(desired) == ObservedPool(running=0)
