import asyncio

from daemon.keyed_locks import KeyedLocks


async def test_one_key_is_held_by_one_at_a_time_and_two_keys_do_not_meet():
    locks = KeyedLocks()
    inside: list[str] = []
    most = {"a": 0, "b": 0}

    async def work(key: str) -> None:
        async with locks.hold(key):
            inside.append(key)
            most[key] = max(most[key], inside.count(key))
            await asyncio.sleep(0.01)
            inside.remove(key)

    started = asyncio.get_running_loop().time()
    await asyncio.gather(*(work(key) for key in "aaabbb"))

    assert most == {"a": 1, "b": 1}
    assert asyncio.get_running_loop().time() - started < 1


async def test_whoever_waits_first_is_next():
    locks = KeyedLocks()
    order: list[int] = []

    async def work(number: int) -> None:
        async with locks.hold("key"):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(number) for number in range(5)))

    assert order == [0, 1, 2, 3, 4]


async def test_a_waiter_that_is_cancelled_and_a_holder_that_fails_leave_the_way_free():
    locks = KeyedLocks()
    holding = asyncio.Event()

    async def fails() -> None:
        async with locks.hold("key"):
            holding.set()
            await asyncio.sleep(0.01)
            raise ValueError

    async def waits() -> None:
        async with locks.hold("key"):
            pass

    holder = asyncio.create_task(fails())
    await holding.wait()
    waiters = [asyncio.create_task(waits()) for _ in range(2)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    ended = await asyncio.gather(holder, *waiters, return_exceptions=True)

    assert [type(one) for one in ended] == [ValueError, asyncio.CancelledError, type(None)]
    async with asyncio.timeout(1), locks.hold("key"):
        pass


async def test_a_lock_lives_only_as_long_as_somebody_wants_it():
    locks = KeyedLocks()
    for key in range(1000):
        async with locks.hold(key):
            pass

    assert locks._locks == {}
