"""What every provider must do: a class of tests, and what a provider's own file must bring."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable

import pytest

from workers.pools.provider import Died, Observed, Provider, ProviderMissing, Wanted


class Bench(ABC):
    """An engine that starts workers, and a hand in it."""

    #: How long the engine may take to make a change true.
    deadline_s = 15.0
    #: Of what `crash` brings about.
    exit_code = 3

    @abstractmethod
    def provider(self) -> Provider:
        """One more, as another coordinator has it."""

    @abstractmethod
    def elsewhere(self) -> Provider:
        """One from whose place this engine cannot be reached."""

    @abstractmethod
    def wanted(self, count: int) -> Wanted:
        """A pool that the engine knows; its workers say READY and go on until they are told."""

    @abstractmethod
    async def let_go(self) -> None:
        """Those that were told to go end now; before that they do not."""

    @abstractmethod
    async def crash(self) -> None:
        """One of those that stay says `it is over` and ends with `exit_code`."""

    async def until(
        self, provider: Provider, wanted: Wanted, holds: Callable[[Observed], bool]
    ) -> tuple[Died, ...]:
        """Waits until what is observed is so; returns who died meanwhile."""
        died: tuple[Died, ...] = ()
        seen = None
        try:
            async with asyncio.timeout(self.deadline_s):
                while True:
                    seen = await provider.observe(wanted)
                    died += seen.died
                    if holds(seen):
                        return died
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"at the deadline: {seen}") from None


def runs(running: int, stopping: int = 0) -> Callable[[Observed], bool]:
    """So many run, and so many leave."""
    return lambda seen: (seen.running, seen.stopping) == (running, stopping)


class Contract:
    """Inherited by a provider's tests, which bring the fixture `bench`."""

    @pytest.fixture
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        provider = bench.provider()
        yield provider
        await provider.close()

    async def test_as_many_run_as_are_wanted_however_often_it_is_said(
        self, bench: Bench, provider: Provider
    ) -> None:
        three = bench.wanted(3)
        assert await provider.observe(three) == Observed(running=0)
        await provider.check(three)
        assert await provider.observe(three) == Observed(running=0), "asking changes nothing"
        await provider.scale(three)
        await provider.scale(three)
        assert await bench.until(provider, three, runs(3)) == ()
        await provider.scale(three)
        assert await provider.observe(three) == Observed(running=3)

    async def test_the_surplus_leaves_when_it_is_done_and_nobody_waits_for_it(
        self, bench: Bench, provider: Provider
    ) -> None:
        await provider.scale(bench.wanted(3))
        await bench.until(provider, bench.wanted(3), runs(3))
        one = bench.wanted(1)
        await provider.scale(one)
        await bench.until(provider, one, runs(1, 2))
        # Nobody is told twice: a second signal would cut off what runs.
        await provider.scale(one)
        assert await provider.observe(one) == Observed(running=1, stopping=2)
        # More are wanted while those still leave.
        two = bench.wanted(2)
        await provider.scale(two)
        await bench.until(provider, two, runs(2, 2))
        await bench.let_go()
        assert await bench.until(provider, two, runs(2)) == (), "who was told to go has not died"

    async def test_another_coordinator_goes_on_from_what_it_finds(
        self, bench: Bench, provider: Provider
    ) -> None:
        await provider.scale(bench.wanted(2))
        await bench.until(provider, bench.wanted(2), runs(2))
        none = bench.wanted(0)
        await provider.scale(none)
        await provider.close()
        other = bench.provider()
        try:
            await bench.until(other, none, runs(0, 2))
            await other.scale(none)
            await bench.let_go()
            assert await bench.until(other, none, runs(0)) == ()
        finally:
            await other.close()

    async def test_a_death_is_told_once_with_its_last_words_and_its_place_is_filled(
        self, bench: Bench, provider: Provider
    ) -> None:
        two = bench.wanted(2)
        await provider.scale(two)
        await bench.until(provider, two, runs(2))
        await bench.crash()
        died: tuple[Died, ...] = ()
        async with asyncio.timeout(bench.deadline_s):
            while not died:
                died = (await provider.observe(two)).died
        (death,) = died
        assert death.exit_code in (bench.exit_code, None)
        assert "it is over" in death.last_log
        await provider.scale(two)
        assert await bench.until(provider, two, runs(2)) == ()

    async def test_what_cannot_be_made_so_is_said_beforehand(
        self, bench: Bench, provider: Provider
    ) -> None:
        wanted = bench.wanted(1)
        elsewhere = bench.elsewhere()
        try:
            with pytest.raises(ProviderMissing) as caught:
                await elsewhere.check(wanted)
        finally:
            await elsewhere.close()
        assert len(str(caught.value)) > 40, "it says what is missing and what to do"
        assert "\n" not in str(caught.value)
        assert await provider.observe(wanted) == Observed(running=0)
