#!/usr/bin/env bash
# PyPI aetcd 1.0.0 (Python 3.11, grpcio, etcd 3.7.3, Linux): watch(fragment=True) and watch(watch_id=N) do nothing.
#
# Expected: both are documented arguments: a revision that is too large for a message arrives in parts, and the watch has
# the id that was asked for.
# Seen: neither is put into the request. The id is the next free one. A revision of 4.5 MB, which etcd sends whole to a
# watch that did not ask for parts, exceeds what grpcio receives by default (4 MiB) and ends the watch, in spite of
# fragment=True.
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
port=24810
url=http://127.0.0.1:$port
peer=http://127.0.0.1:$((port + 1))
./etcd --data-dir data --listen-client-urls $url --advertise-client-urls $url --listen-peer-urls $peer \
  --initial-advertise-peer-urls $peer --initial-cluster default=$peer >log 2>&1 &
server=$!
./etcd --version | head -n 1
cat >watch.py <<'EOF'
import asyncio, sys
import aetcd

async def main():
    async with aetcd.Client(port=int(sys.argv[1])) as client:
        while True:
            try:
                await client.put(b"ready", b"")
                break
            except aetcd.ClientError:
                await asyncio.sleep(0.2)
        named = await client.watch(b"other", watch_id=77)
        print("asked for id 77, got", named.watch_id)
        for keys in (2, 3):
            for key in range(keys):
                await client.put(b"k%d" % key, b"x" * 1500000)
            watch = await client.watch(b"k", range_end=b"l", prev_kv=True, fragment=True)
            deletes = [client.transactions.delete(b"k%d" % key) for key in range(keys)]
            await client.transaction(compare=[], success=deletes, failure=[])
            seen = 0
            try:
                async for _ in watch:
                    seen += 1
                    if seen == keys:
                        break
                print(keys, "keys deleted in one revision: all", seen, "seen")
            except Exception as error:
                print(keys, "keys deleted in one revision:", seen, "seen, then", type(error).__name__)

asyncio.run(main())
EOF
python/bin/python watch.py $port | tee out
cat >expected <<'EOF'
asked for id 77, got 0
2 keys deleted in one revision: all 2 seen
3 keys deleted in one revision: 0 seen, then ClientError
EOF
cmp -s out expected || { echo "CHANGED"; exit 1; }
echo "as described"
