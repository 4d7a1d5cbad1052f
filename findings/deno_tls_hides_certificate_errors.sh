#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): a server of node:tls reports UNABLE_TO_VERIFY_LEAF_SIGNATURE for every
# client certificate that it does not accept.
#
# Expected: authorizationError says why, as in Node: CERT_HAS_EXPIRED, CERT_NOT_YET_VALID, INVALID_PURPOSE. A server
# with requestCert and without rejectUnauthorized logs it, or sends it to the client in its refusal.
# Seen: an expired certificate, one that is not valid yet and one for servers only are all refused, as in Node
# (authorized is false), but with the code of a broken chain, so that the operator looks for a wrong CA. The reason has
# to be derived from the certificate (validFromDate, validToDate, checkIssued of X509Certificate).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 node@20.19.5 >/dev/null
deno=$work/node_modules/.bin/deno
node=$work/node_modules/.bin/node
"$deno" --version | head -n 1
"$node" --version

# A CA, and `issue NAME FROM TO USAGE`, which makes NAME.pem and NAME.key.
cat >ca.cnf <<'CNF'
[ca]
default_ca = any
[any]
database = issued.txt
rand_serial = yes
new_certs_dir = .
default_md = sha256
policy = names
[names]
commonName = supplied
[clientAuth]
extendedKeyUsage = clientAuth
[serverAuth]
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1
CNF
: >issued.txt
new_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
# shellcheck disable=SC2086
openssl req -x509 $new_key -keyout ca.key -out ca.pem -subj "/CN=ca" -days 3650 2>/dev/null
issue() {
  # shellcheck disable=SC2086
  openssl req $new_key -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
  openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in "$1.csr" -out "$1.pem" -startdate "$2" \
    -enddate "$3" -extensions "$4" 2>/dev/null
}
issue valid 20200101000000Z 20490101000000Z clientAuth
issue expired 20200101000000Z 20210101000000Z clientAuth
issue early 20480101000000Z 20490101000000Z clientAuth
issue server 20200101000000Z 20490101000000Z serverAuth

cat >refuse.mjs <<'JS'
import { readFileSync } from "node:fs";
import tls from "node:tls";
const [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map((file) => readFileSync(file));
setTimeout(() => process.exit(1), 30000).unref();
const server = tls.createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: false }, (socket) => {
  socket.on("error", () => {});
  socket.end(`${socket.authorized} ${socket.authorizationError}`);
});
const verdict = (name) =>
  new Promise((resolve, reject) => {
    const own = { cert: readFileSync(`${name}.pem`), key: readFileSync(`${name}.key`) };
    const socket = tls.connect({ host: "127.0.0.1", port: server.address().port, ca, ...own });
    let text = "";
    socket.setEncoding("utf8").on("data", (part) => text += part).on("error", reject).on("close", () => resolve(text));
  });
server.listen(0, "127.0.0.1", async () => {
  for (const name of ["valid", "expired", "early", "server"]) console.log(`${name}: ${await verdict(name)}`);
  process.exit(0);
});
JS
seen=$("$deno" run --quiet --no-config --allow-net=127.0.0.1 --allow-read=. refuse.mjs)
control=$("$node" refuse.mjs)
printf 'Deno (authorized, authorizationError):\n%s\nNode:\n%s\n' "$seen" "$control"
[ "$seen" = "valid: true null
expired: false UNABLE_TO_VERIFY_LEAF_SIGNATURE
early: false UNABLE_TO_VERIFY_LEAF_SIGNATURE
server: false UNABLE_TO_VERIFY_LEAF_SIGNATURE" ] && [ "$control" = "valid: true null
expired: false CERT_HAS_EXPIRED
early: false CERT_NOT_YET_VALID
server: false INVALID_PURPOSE" ] || { echo "CHANGED"; exit 1; }
echo "as described"
