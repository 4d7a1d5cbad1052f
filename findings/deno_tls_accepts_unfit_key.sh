#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): tls.createServer of node:tls takes a private key that does not fit its
# certificate, and the server listens.
#
# Expected: createServer throws ERR_OSSL_X509_KEY_VALUES_MISMATCH, as in Node, so that an operator who configured the
# wrong file sees it at start. Deno's own Deno.listenTls throws too.
# Seen: no error and no warning. Every client then fails with ECONNRESET, and the server's tlsClientError says
# ERR_SSL_UNSUPPORTED_PROTOCOL, which does not lead to the key. No client is accepted. A server has to compare the two itself
# (checkPrivateKey of X509Certificate), also before setSecureContext.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 node@20.19.5 >/dev/null
deno=$work/node_modules/.bin/deno
node=$work/node_modules/.bin/node
"$deno" --version | head -n 1
"$node" --version
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout fitting.key -out server.pem \
  -subj "/CN=server" -addext "subjectAltName=IP:127.0.0.1" -days 30 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.key 2>/dev/null
cat >start.mjs <<'JS'
import { readFileSync } from "node:fs";
import tls from "node:tls";
const [cert, key] = ["server.pem", process.argv[2]].map((file) => readFileSync(file));
setTimeout(() => process.exit(1), 30000).unref();
let server;
try {
  server = tls.createServer({ cert, key });
} catch (error) {
  console.log(`createServer throws ${error.code}`);
  process.exit(0);
}
const atServer = new Promise((resolve) => {
  server.on("tlsClientError", (error) => resolve(error.code)).on("secureConnection", () => resolve("connected"));
});
server.listen(0, "127.0.0.1", async () => {
  const socket = tls.connect({ host: "127.0.0.1", port: server.address().port, ca: cert });
  const atClient = new Promise((resolve) => {
    socket.on("error", (error) => resolve(error.code)).on("secureConnect", () => resolve("connected"));
  });
  console.log(`listens, client ${await atClient}, server ${await atServer}`);
  process.exit(0);
});
JS
cat >native.ts <<'TS'
const [cert, key] = ["server.pem", "other.key"].map((file) => Deno.readTextFileSync(file));
try {
  Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key }).close();
  console.log("listens");
} catch (error) {
  console.log(`throws ${(error as Error).message}`);
}
TS
run() { "$deno" run --quiet --no-config --allow-net=127.0.0.1 --allow-read=. "$@"; }
seen="fitting key: $(run start.mjs fitting.key)
other key: $(run start.mjs other.key)
other key, Deno.listenTls: $(run native.ts)"
control="fitting key: $("$node" start.mjs fitting.key)
other key: $("$node" start.mjs other.key)"
printf 'Deno:\n%s\nNode:\n%s\n' "$seen" "$control"
[ "$seen" = "fitting key: listens, client connected, server connected
other key: listens, client ECONNRESET, server ERR_SSL_UNSUPPORTED_PROTOCOL
other key, Deno.listenTls: throws keys may not be consistent: KeyMismatch" ] &&
  [ "$control" = "fitting key: listens, client connected, server connected
other key: createServer throws ERR_OSSL_X509_KEY_VALUES_MISMATCH" ] || { echo "CHANGED"; exit 1; }
echo "as described"
