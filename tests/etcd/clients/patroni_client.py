"""Patroni's store of etcd v3, called as Patroni calls it: a leader's lease, members, configuration. Prints "done", or raises.

Usage: patroni_client.py <host:port>
"""

import sys
import time

from patroni.dcs import get_dcs
from patroni.dcs.etcd3 import Etcd3


def store(name):
    return get_dcs({
        "scope": "demo", "name": name, "namespace": "/service/", "ttl": 30, "loop_wait": 10, "retry_timeout": 10,
        "etcd3": {"host": sys.argv[1]},
    })


def wait_for(store, what):
    """Returns what a store sees once it is there: a watch feeds its view of others' changes."""
    deadline = time.monotonic() + 30
    while not what(store.get_cluster()):
        assert time.monotonic() < deadline, store.get_cluster()
        time.sleep(0.05)
    return store.get_cluster()


def leads(name):
    return lambda cluster: cluster.leader is not None and cluster.leader.name == name


def main():
    first, second = store("first"), store("second")
    assert isinstance(first, Etcd3)
    assert first.initialize(create_new=True, sysid="4711")
    assert not second.initialize(create_new=True, sysid="4712")
    assert first.touch_member({"conn_url": "postgres://first", "state": "running"})
    assert second.touch_member({"conn_url": "postgres://second", "state": "running"})
    assert first.set_config_value('{"ttl": 30}')
    assert first.attempt_to_acquire_leader()
    assert not second.attempt_to_acquire_leader()

    cluster = wait_for(first, lambda cluster: leads("first")(cluster) and len(cluster.members) == 2)
    assert cluster.initialize == "4711", cluster.initialize
    assert sorted(member.name for member in cluster.members) == ["first", "second"], cluster.members
    assert first.update_leader(cluster, 100, {"first": 100})
    wait_for(first, lambda cluster: cluster.status.last_lsn == 100)
    wait_for(second, leads("first"))

    # What a switchover does.
    assert first.manual_failover("first", "second")
    cluster = wait_for(first, lambda cluster: cluster.failover is not None)
    assert cluster.failover.candidate == "second"
    assert first.delete_leader(cluster.leader, 100)
    assert second.attempt_to_acquire_leader()
    wait_for(first, leads("second"))
    assert second.manual_failover("", "")
    assert second.delete_cluster()
    print("done")


main()
# The watches of Patroni are threads without an end.
sys.stdout.flush()
__import__("os")._exit(0)
