"""Patroni's store of etcd v3, called as Patroni calls it: a leader's lease, members, configuration. Prints "done", or raises.

Usage: patroni_client.py <host:port>
"""

import sys

from patroni.dcs import get_dcs
from patroni.dcs.etcd3 import Etcd3


def store(name):
    return get_dcs({
        "scope": "demo", "name": name, "namespace": "/service/", "ttl": 30, "loop_wait": 10, "retry_timeout": 10,
        "etcd3": {"host": sys.argv[1]},
    })


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

    cluster = first.get_cluster()
    assert cluster.initialize == "4711", cluster.initialize
    assert cluster.leader.name == "first", cluster.leader
    assert sorted(member.name for member in cluster.members) == ["first", "second"], cluster.members
    assert first.update_leader(cluster, 100, {"first": 100})
    assert first.get_cluster().status.last_lsn == 100
    assert second.get_cluster().leader.name == "first"

    # What a switchover does.
    assert first.manual_failover("first", "second")
    assert first.get_cluster().failover.candidate == "second"
    assert first.delete_leader(first.get_cluster().leader, 100)
    assert second.attempt_to_acquire_leader()
    assert first.get_cluster().leader.name == "second"
    assert second.manual_failover("", "")
    assert second.delete_cluster()
    print("done")


main()
# The watches of Patroni are threads without an end.
sys.stdout.flush()
__import__("os")._exit(0)
