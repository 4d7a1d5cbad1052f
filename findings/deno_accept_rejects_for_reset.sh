#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): accept() of a TCP listener rejects with NotConnected for a connection that
# its client reset while it waited in the queue.
#
# Expected: accept(2) on Linux returns such a connection, and the first read reports the reset (as in Node and Python). An
# error of accept() means that the listener itself has a problem, for which servers pause or stop.
# Seen: `Deno.Listener.accept()` rejects with Deno.errors.NotConnected. A loop that pauses on every error of accept(), as
# one should when descriptors run out, is held up by each reset; `for await (const conn of listener)` ends.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 >/dev/null
"$work/node_modules/.bin/deno" --version | head -n 1
cat >reset.py <<'PY'
import socket, struct, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
PY
cat >accept.ts <<'TS'
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
const { port } = listener.addr as Deno.NetAddr;
await new Deno.Command("python3", { args: ["reset.py", String(port)] }).output();
try {
  await listener.accept();
  console.log("accepted");
} catch (error) {
  console.log((error as Error).name);
}
listener.close();
TS
cat >accept.py <<'PY'
import socket, subprocess
l = socket.create_server(("127.0.0.1", 0))
subprocess.run(["python3", "reset.py", str(l.getsockname()[1])], check=True)
try:
    l.accept()
    print("accepted")
except OSError as error:
    print(error)
PY
seen=$("$work/node_modules/.bin/deno" run --quiet --no-config --allow-net=127.0.0.1 --allow-run=python3 accept.ts)
control=$(python3 accept.py)
echo "a connection that was reset in the queue: Deno $seen, Python $control"
[ "$seen" = NotConnected ] && [ "$control" = accepted ] || { echo "CHANGED"; exit 1; }
echo "as described"
