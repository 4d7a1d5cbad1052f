#!/usr/bin/env bash
# npm etcd3 1.1.2 (Node 20.20, etcd 3.7.3, Linux): a watch with ignore("put") delivers the puts and drops the deletions.
#
# Expected: ignore(...) leaves out the named kinds of events, only(...) leaves out the others; the builder has both.
# Seen: both do the same. ignore("put") asks the server for puts alone, so a program that waits for deletions with it
# gets none and no error. only("put") and only("delete") do what they say; to ignore a kind, name the other
# one in only(). The server is asked wrongly: the filter is in the request (shown), and etcd obeys it.
set -eu
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit etcd3@1.1.2 >/dev/null
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
port=24790
url=http://127.0.0.1:$port
peer=http://127.0.0.1:$((port + 1))
./etcd --data-dir data --listen-client-urls $url --advertise-client-urls $url --listen-peer-urls $peer \
  --initial-advertise-peer-urls $peer --initial-cluster default=$peer >log 2>&1 &
server=$!
./etcd --version | head -n 1
cat >watch.cjs <<'EOF'
const { Etcd3 } = require("etcd3");
const client = new Etcd3({ hosts: process.argv[2] });
const builders = {
  'ignore("put")': (watch) => watch.ignore("put"),
  'ignore("delete")': (watch) => watch.ignore("delete"),
  'only("put")': (watch) => watch.only("put"),
  'only("delete")': (watch) => watch.only("delete"),
};
async function main() {
  while ((await client.put("ready").value("").then(() => true, () => false)) === false);
  for (const [name, build] of Object.entries(builders)) {
    const watch = await build(client.watch().key("key")).create();
    const all = await client.watch().key("end").create();
    const seen = [];
    watch.on("put", () => seen.push("put"));
    watch.on("delete", () => seen.push("delete"));
    const ended = new Promise((resolve) => all.on("put", resolve));
    await client.put("key").value("1");
    await client.delete().key("key");
    await client.put("end").value("1");
    await ended;
    await new Promise((resolve) => setTimeout(resolve, 500));
    console.log(`${name}: filter ${watch.request.filters} sent, ${seen.join(" and ")} seen`);
    await watch.cancel();
    await all.cancel();
  }
  process.exit(0);
}
main();
EOF
node watch.cjs 127.0.0.1:$port | tee out
cat >expected <<'EOF'
ignore("put"): filter 1 sent, put seen
ignore("delete"): filter 0 sent, delete seen
only("put"): filter 1 sent, put seen
only("delete"): filter 0 sent, delete seen
EOF
cmp -s out expected || { echo "CHANGED"; exit 1; }
echo "as described"
