"""PyPI's etcd3gw against the JSON gateway of one server: values, a transaction, a lease, a lock, and watches of large values.

Prints "done", or raises.

Usage: etcd3gw_client.py <host> <port>

etcd3gw 2.7.0 parses each HTTP chunk of a watch as one text of JSON, without looking for its end. That holds with etcd
3.7.3, which sends a message of any size in one chunk. Of one in two chunks it reports nothing: the thread of the watch
ends with an error that is never read.
"""

import queue
import sys

import etcd3gw
from etcd3gw.watch import Watcher

WATCH_SECONDS = 30
SIZES = [1, 3_000, 50_000, 300_000, 1_000_000]


def watch_large_values(client):
    events = queue.Queue()
    start = int(client.status()["header"]["revision"]) + 1
    watcher = Watcher(client, "gw/w", events.put, start_revision=start)
    for size in SIZES:
        client.put("gw/w", "v" * size)
    seen = [len(events.get(timeout=WATCH_SECONDS)["kv"]["value"]) for _ in SIZES]
    watcher.stop()
    assert seen == SIZES, seen


def main():
    client = etcd3gw.client(host=sys.argv[1], port=int(sys.argv[2]))
    client.put("gw/a", "1")
    assert client.get("gw/a") == [b"1"]
    assert client.get("gw/none") == []
    assert client.replace("gw/a", "1", "2")
    assert not client.replace("gw/a", "1", "3")
    assert client.create("gw/b", "3")
    assert not client.create("gw/b", "4")
    assert [value for value, _ in client.get_prefix("gw/")] == [b"2", b"3"]

    lease = client.lease(ttl=60)
    client.put("gw/leased", "5", lease=lease)
    assert lease.keys() == [b"gw/leased"]
    assert lease.refresh() > 0
    assert lease.revoke()
    assert client.get("gw/leased") == []

    with client.lock("gw", ttl=60) as lock:
        assert lock.is_acquired()
    assert not lock.is_acquired()

    watch_large_values(client)
    print("done")


main()
