#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): connections of Deno.connectTls and Deno.listenTls have no setNoDelay, and the
# second of two small writes waits for about 40 ms.
#
# Expected: TLS connections can be set to send small writes at once, as the TCP connections of Deno.connect and the
# sockets of node:tls can (in Deno and in Node), or they do so by default.
# Seen: Nagle's algorithm stays on, so the second small write waits until the other side acknowledges the first, which
# it delays. It costs a client that writes a request in two parts, and a server that writes an answer in two parts, 40 ms
# each time even on loopback. A client without a certificate can use Deno.connect, setNoDelay and Deno.startTls; a
# listener has no such way, and needs node:tls.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 node@20.19.5 >/dev/null
deno=$work/node_modules/.bin/deno
node=$work/node_modules/.bin/node
"$deno" --version | head -n 1
"$node" --version
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj "/CN=ca" \
  -days 30 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj "/CN=server" \
  2>/dev/null
echo "subjectAltName=IP:127.0.0.1" >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile server.ext -days 30 -out server.pem \
  2>/dev/null

# Each prints the median time, in whole milliseconds, of 50 exchanges of 20 bytes in both directions, where one side
# writes its 20 bytes in two parts.
cat >measure.mjs <<'JS'
export async function median(exchange) {
  const times = [];
  for (let i = 0; i < 50; i++) {
    const start = performance.now();
    await exchange();
    times.push(performance.now() - start);
  }
  return Math.round(times.sort((a, b) => a - b)[25]);
}
JS
cat >native.ts <<'TS'
import { median } from "./measure.mjs";
const [way, splits] = Deno.args;
const [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map((file) => Deno.readTextFileSync(file));
const hostname = "127.0.0.1";
setTimeout(() => Deno.exit(1), 60000);
async function write(conn: Deno.Conn, inTwo: boolean) {
  for (let i = 0; i < (inTwo ? 2 : 1); i++) await conn.write(new Uint8Array(inTwo ? 10 : 20));
}
async function read(conn: Deno.Conn) {
  for (let left = 20; left > 0;) left -= (await conn.read(new Uint8Array(left))) ?? Deno.exit(1);
}
const listener = Deno.listenTls({ hostname, port: 0, cert, key });
async function answer() {
  for (const conn = await listener.accept();;) {
    await read(conn);
    await write(conn, splits === "server");
  }
}
answer();
const { port } = listener.addr;
let conn: Deno.Conn;
if (way === "connectTls") {
  conn = await Deno.connectTls({ hostname, port, caCerts: [ca] });
} else {
  const tcp = await Deno.connect({ hostname, port });
  tcp.setNoDelay(true);
  conn = await Deno.startTls(tcp, { hostname, caCerts: [ca] });
}
if ("setNoDelay" in conn) throw new Error("it has setNoDelay");
console.log(await median(async () => {
  await write(conn, splits === "client");
  await read(conn);
}));
Deno.exit(0);
TS
cat >node_tls.mjs <<'JS'
import { readFileSync } from "node:fs";
import tls from "node:tls";
import { median } from "./measure.mjs";
const [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map((file) => readFileSync(file));
setTimeout(() => process.exit(1), 60000);
const whenRead = (socket, f) => {
  let count = 0;
  socket.on("error", () => {}).on("data", (bytes) => {
    count += bytes.length;
    if (count < 20) return;
    count = 0;
    f();
  });
};
const write = (socket) => socket.write(Buffer.alloc(10), () => socket.write(Buffer.alloc(10)));
const server = tls.createServer({ cert, key }, (socket) => {
  socket.setNoDelay(true);
  whenRead(socket, () => write(socket));
});
server.listen(0, "127.0.0.1", () => {
  let answered = () => {};
  const socket = tls.connect({ host: "127.0.0.1", port: server.address().port, ca }, async () => {
    socket.setNoDelay(true);
    console.log(await median(() => {
      write(socket);
      return new Promise((resolve) => answered = resolve);
    }));
    process.exit(0);
  });
  whenRead(socket, () => answered());
});
JS
run() { "$deno" run --quiet --no-config --allow-net=127.0.0.1 --allow-read=. "$@"; }
client=$(run native.ts connectTls client)
server=$(run native.ts startTls server)
start=$(run native.ts startTls client)
deno_node=$(run node_tls.mjs)
control=$("$node" node_tls.mjs)
echo "Deno.connectTls, request in two writes: $client ms; Deno.listenTls, answer in two writes: $server ms"
echo "Deno.startTls after setNoDelay, request in two writes: $start ms"
echo "node:tls with setNoDelay, request and answer in two writes: Deno $deno_node ms, Node $control ms"
[ "$client" -ge 20 ] && [ "$server" -ge 20 ] && [ "$start" -le 10 ] && [ "$deno_node" -le 10 ] &&
  [ "$control" -le 10 ] || { echo "CHANGED"; exit 1; }
echo "as described"
