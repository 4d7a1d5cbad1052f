#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): a socket of node:tls goes on reading from the network after pause().
#
# Expected: once a reader pauses, the kernel's buffers fill and the rest waits at the sender, as with node:tls in Node
# and with node:net in Deno. A program that copies a download to a slow disk by pipe() needs memory for a few parts only.
# Seen: the paused socket takes all of 50 MiB into the reader's memory: the sender has nothing left, and the reader's
# process grows by more than that. kvraft therefore limits what its TLS connections may hold unread.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 node@20.19.5 >/dev/null
deno=$("$work/node_modules/.bin/deno" eval 'console.log(Deno.execPath())')
node=$work/node_modules/.bin/node
"$deno" --version | head -n 1
"$node" --version
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.pem \
  -subj "/CN=server" -addext "subjectAltName=IP:127.0.0.1" -days 30 2>/dev/null

# Reads one part, then pauses.
cat >reader.mjs <<'JS'
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
const [kind, port] = process.argv.slice(2);
const to = { host: "127.0.0.1", port: Number(port) };
const socket = kind === "tls" ? tls.connect({ ...to, ca: readFileSync("server.pem") }) : net.connect(to);
socket.on("error", () => process.exit(1)).on("data", () => socket.pause());
setTimeout(() => process.exit(1), 60000);
JS
# Starts the reader, offers it 50 MiB, and waits until nothing more leaves for 2 s, or all has left for as long.
cat >sender.mjs <<'JS'
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
const [kind, ...command] = process.argv.slice(2);
const MIB = 2 ** 20;
const [cert, key] = ["server.pem", "server.key"].map((file) => readFileSync(file));
let reader;
const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${reader.pid}/status`, "utf8"))[1]) / 1024;
function send(socket) {
  const before = memory();
  socket.on("error", () => {});
  for (let i = 0; i < 50; i++) socket.write(Buffer.alloc(MIB));
  let [left, unchanged] = [Infinity, 0];
  setInterval(() => {
    unchanged = socket.writableLength === left ? unchanged + 1 : 0;
    left = socket.writableLength;
    if (unchanged < 20) return;
    const grown = memory() - before;
    reader.kill("SIGKILL");
    console.log(`${Math.round(left / MIB)} ${Math.round(grown)}`);
    process.exit(0);
  }, 100);
}
const server = kind === "tls" ? tls.createServer({ cert, key }, send) : net.createServer(send);
server.listen(0, "127.0.0.1", () => {
  const [program, ...args] = [...command, "reader.mjs", kind, String(server.address().port)];
  reader = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
  setTimeout(() => {
    reader.kill("SIGKILL");
    process.exit(1);
  }, 60000);
});
JS
run_deno=("$deno" run --quiet --no-config --allow-net=127.0.0.1 --allow-read=.)
node_binary=$("$node" -p process.execPath)
read -r deno_left deno_grown <<<"$("$node" sender.mjs tls "${run_deno[@]}")"
read -r plain_left plain_grown <<<"$("$node" sender.mjs net "${run_deno[@]}")"
read -r node_left node_grown <<<"$("$node" sender.mjs tls "$node_binary")"
echo "50 MiB for a paused reader: left at the sender, growth of the reader's process, in MiB"
echo "node:tls in Deno: $deno_left, $deno_grown; node:net in Deno: $plain_left, $plain_grown"
echo "node:tls in Node: $node_left, $node_grown"
[ "$deno_left" -eq 0 ] && [ "$deno_grown" -ge 45 ] && [ "$plain_left" -ge 35 ] && [ "$plain_grown" -le 25 ] &&
  [ "$node_left" -ge 35 ] && [ "$node_grown" -le 25 ] || { echo "CHANGED"; exit 1; }
echo "as described"
