#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): a TLS client over a socket that still connects (tls.connect({ socket })) throws
# out of an event listener, where no program can catch it, if the other end has sent bytes that are no TLS and then resets
# the connection while the client's thread is busy.
#
# Expected: an event `error` of the socket, as in Node: any server can answer so.
# Seen: TypeError: Cannot read properties of null (reading '_flushEncOut'), from TLSSocket._start: the handle was destroyed
# by the call before. It is uncaught and ends the process, though the socket and the one below it have listeners for errors.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 node@20.19.5 >/dev/null
deno=$work/node_modules/.bin/deno
node=$work/node_modules/.bin/node
"$deno" --version | head -n 1
"$node" --version
cat >server.mjs <<'JS'
import net from "node:net";
const server = net.createServer((socket) => {
  socket.on("error", () => {});
  socket.write(Buffer.alloc(300));
  setTimeout(() => socket.resetAndDestroy(), Math.random() * 20);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
cat >client.mjs <<'JS'
import net from "node:net";
import tls from "node:tls";
import process from "node:process";
const thrown = new Set();
process.on("uncaughtException", (error) => thrown.add(error.message));
const port = Number(process.argv[2]);
for (let batch = 0; batch < 60; batch++) {
  setTimeout(() => {
    const until = performance.now() + batch % 20;
    while (performance.now() < until);
  });
  await Promise.all(Array.from({ length: 10 }, () => new Promise((resolve) => {
    const plain = net.connect({ host: "127.0.0.1", port });
    const socket = tls.connect({ socket: plain, rejectUnauthorized: false });
    plain.on("error", resolve).on("close", resolve);
    socket.on("error", resolve).on("close", resolve);
  })));
}
console.log(`uncaught: ${[...thrown].join("; ") || "nothing"}`);
process.exit(0);
JS
"$node" server.mjs >port &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
until [ -s port ]; do :; done
seen=$("$deno" run --quiet --no-config --allow-net=127.0.0.1 --allow-env client.mjs "$(cat port)")
control=$("$node" client.mjs "$(cat port)")
printf 'Deno: %s\nNode: %s\n' "$seen" "$control"
[ "$seen" = "uncaught: Cannot read properties of null (reading '_flushEncOut')" ] &&
  [ "$control" = "uncaught: nothing" ] || { echo "CHANGED"; exit 1; }
echo "as described"
