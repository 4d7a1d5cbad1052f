#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): while a setImmediate callback is due in every turn of the event loop, sockets are
# polled only every few dozen turns.
#
# Expected: setImmediate splits long work so that I/O is handled between the parts; Node's documentation says so ("executed
# after I/O callbacks"), and Node does it.
# Seen: one program, work of 2 ms a piece with setImmediate between the pieces, and 50 concurrent echoes over loopback. In Deno the
# echoes take about 50 times as long as in Node, with node:net as with Deno.connect; with setTimeout(f, 0) in place of
# setImmediate the same program has no such delay in Deno.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 node@20.19.5 >/dev/null
deno=$work/node_modules/.bin/deno
node=$work/node_modules/.bin/node
"$deno" --version | head -n 1
"$node" --version
cat >echo.mjs <<'JS'
import net from "node:net";
const again = process.argv[2] === "immediate" ? setImmediate : (f) => setTimeout(f, 0);
const ECHOES = 50;
const work = () => {
  const end = performance.now() + 2;
  while (performance.now() < end);
  again(work);
};
const server = net.createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1", () => {
  const socket = net.connect(server.address().port, "127.0.0.1");
  socket.setNoDelay(true);
  let left = ECHOES;
  let start = 0;
  socket.on("connect", () => {
    start = performance.now();
    work();
    socket.write("x");
  });
  socket.on("data", () => {
    left -= 1;
    if (left > 0) return void socket.write("x");
    console.log(Math.round(performance.now() - start));
    process.exit(0);
  });
});
JS
node_ms=$("$node" echo.mjs immediate)
deno_ms=$("$deno" run --quiet --no-config --allow-net=127.0.0.1 echo.mjs immediate)
timeout_ms=$("$deno" run --quiet --no-config --allow-net=127.0.0.1 echo.mjs timeout)
echo "50 echoes beside work in pieces: Node with setImmediate $node_ms ms, Deno with setImmediate $deno_ms ms, Deno with setTimeout $timeout_ms ms"
[ "$deno_ms" -gt $((10 * node_ms)) ] && [ "$deno_ms" -gt $((10 * timeout_ms)) ] || { echo "CHANGED"; exit 1; }
echo "as described"
