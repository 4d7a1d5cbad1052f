"""PyPI's aetcd against one server: values, transactions, watches, leases and a lock. Prints "done", or raises.

Usage: aetcd_client.py <host> <port>
"""

import asyncio
import sys

import aetcd

WATCH_SECONDS = 30


async def watch(client):
    kinds = []
    # The watch may begin between two of these writes.
    task = asyncio.create_task(write(client))
    watcher = await client.watch_prefix(b"py/w/")
    async for event in watcher:
        kinds.append((str(event.kind), event.kv.key))
        if kinds[-2:] == [("PUT", b"py/w/a"), ("DELETE", b"py/w/a")]:
            break
    await watcher.cancel()
    task.cancel()


async def write(client):
    while True:
        await client.put(b"py/w/a", b"1")
        await client.delete(b"py/w/a")
        await asyncio.sleep(0.05)


async def main():
    host, port = sys.argv[1], int(sys.argv[2])
    async with aetcd.Client(host=host, port=port) as client:
        await client.delete_prefix(b"py/")
        await client.put(b"py/a", b"1")
        assert (await client.get(b"py/a")).value == b"1"
        assert await client.get(b"py/none") is None
        assert await client.replace(b"py/a", b"1", b"2")
        assert not await client.replace(b"py/a", b"1", b"3")
        await client.put(b"py/b", b"3")
        found = await client.get_prefix(b"py/", sort_order="descend", sort_target="key")
        assert [kv.key for kv in found] == [b"py/b", b"py/a"]

        transactions = client.transactions
        succeeded, _ = await client.transaction(
            compare=[transactions.value(b"py/a") == b"2", transactions.version(b"py/a") > 0],
            success=[transactions.put(b"py/c", b"4")],
            failure=[transactions.delete(b"py/a")],
        )
        assert succeeded

        lease = await client.lease(60)
        await client.put(b"py/leased", b"x", lease=lease)
        assert (await lease.keys()) == [b"py/leased"]
        await lease.refresh()
        await lease.revoke()
        assert await client.get(b"py/leased") is None

        await asyncio.wait_for(watch(client), WATCH_SECONDS)

        lock = client.lock(b"py-lock", ttl=30)
        assert await lock.acquire()
        assert await lock.is_acquired()
        assert await lock.release()
        assert (await client.delete_prefix(b"py/")).deleted >= 3
    print("done")


asyncio.run(main())
