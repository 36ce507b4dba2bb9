"""Places for builds that work at once, and lending one's own."""

import asyncio

import pytest

from daemon.slots import Slots


async def test_there_are_so_many_and_no_more():
    slots = Slots(2)
    slots.take()
    assert slots.free
    slots.take()
    assert not slots.free
    slots.give()
    assert slots.free


async def test_a_place_that_is_lent_is_somebody_else_s_meanwhile():
    slots, told = Slots(1), []
    slots.when_free(lambda: told.append(slots.free))
    slots.take()

    async with slots.lent():
        assert told == [True]
        assert slots.free

    assert not slots.free


async def test_who_comes_back_waits_for_a_place_and_goes_before_who_is_new():
    slots, order = Slots(1), []
    slots.when_free(lambda: order.append(f"free {slots.free}"))
    slots.take()
    done = asyncio.Event()

    async def lending() -> None:
        async with slots.lent():
            await done.wait()
        order.append("back")

    lender = asyncio.create_task(lending())
    await asyncio.sleep(0)
    slots.take()  # somebody else, meanwhile
    done.set()
    await asyncio.sleep(0)
    assert not slots.free
    assert order == ["free True"]

    slots.give()
    await lender

    assert order == ["free True", "free False", "back"]
    assert not slots.free


@pytest.mark.parametrize("when", ["while it is lent", "on the way back"])
async def test_who_is_cancelled_waits_for_nobody_and_its_place_is_counted_once(when: str):
    slots = Slots(1)
    slots.take()
    done = asyncio.Event()

    async def lending() -> None:
        try:
            async with slots.lent():
                await done.wait()
        finally:
            slots.give()  # as a build does that ends

    lender = asyncio.create_task(lending())
    await asyncio.sleep(0)
    slots.take()
    if when == "on the way back":
        done.set()
        await asyncio.sleep(0)
    lender.cancel()
    await asyncio.gather(lender, return_exceptions=True)

    assert not slots.free
    slots.give()
    assert slots.free


async def test_a_place_that_came_too_late_goes_to_the_next():
    slots = Slots(1)
    slots.take()
    done = asyncio.Event()

    async def lending() -> None:
        async with slots.lent():
            await done.wait()

    first = asyncio.create_task(lending())
    await asyncio.sleep(0)
    slots.take()
    second = asyncio.create_task(lending())
    await asyncio.sleep(0)
    slots.take()
    done.set()
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    slots.give()  # the cancelled one ends

    slots.give()
    await asyncio.wait_for(second, 1)
    assert not slots.free
