#!/usr/bin/env bash
# PyPI aetcd 1.0.0 (Python 3.11, grpcio, etcd 3.7.3, Linux): each attempt of a lock that is taken leaves a lease behind.
#
# Expected: a lease that was granted for an attempt to lock is revoked when the attempt fails, or used by the next one.
# Seen: acquire() grants a lease, tries, forgets the lease if the key exists, and grants another one when it tries again.
# None is revoked: they stay for their whole time to live, also after the lock was released. With many waiting clients
# and a long time to live the server fills with leases that hold nothing.
set -eu
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check aetcd==1.0.0
mkdir build && cd build
cat >main.go <<'EOF'
package main

import _ "go.etcd.io/etcd/server/v3/etcdmain"

func main() {}
EOF
go mod init example >/dev/null 2>&1
go get go.etcd.io/etcd/server/v3@v3.7.3 >/dev/null 2>&1
go build -o ../etcd go.etcd.io/etcd/server/v3
cd ..
port=24800
url=http://127.0.0.1:$port
peer=http://127.0.0.1:$((port + 1))
./etcd --data-dir data --listen-client-urls $url --advertise-client-urls $url --listen-peer-urls $peer \
  --initial-advertise-peer-urls $peer --initial-cluster default=$peer >log 2>&1 &
server=$!
./etcd --version | head -n 1
cat >lock.py <<'EOF'
import asyncio, sys
import aetcd
from aetcd import rpc

async def leases(client):
    return len((await client.leasestub.LeaseLeases(rpc.LeaseLeasesRequest())).leases)

async def main():
    async with aetcd.Client(port=int(sys.argv[1])) as client:
        holder = client.lock(b"job", ttl=600)
        while True:
            try:
                await holder.acquire()
                break
            except aetcd.ClientError:
                await asyncio.sleep(0.2)
        before = await leases(client)
        for _ in range(3):
            print("acquired", await client.lock(b"job", ttl=600).acquire(timeout=0))
        await holder.release()
        print("leases before", before, "after three attempts and the release", await leases(client))

asyncio.run(main())
EOF
python/bin/python lock.py $port | tee out
cat >expected <<'EOF'
acquired False
acquired False
acquired False
leases before 1 after three attempts and the release 4
EOF
cmp -s out expected || { echo "CHANGED"; exit 1; }
echo "as described"
