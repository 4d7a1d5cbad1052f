#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): keyUsage of node:crypto's X509Certificate names another extension of the
# certificate than in Node.
#
# Expected: the identifiers of the extended key usage (such as 1.3.6.1.5.5.7.3.2 for client authentication), as Node
# returns and documents them, and undefined for a certificate without that extension.
# Seen: the names of the bits of the plain key usage, such as DigitalSignature, and undefined where only the extended
# key usage exists. Code for Node that looks there for client authentication finds it in no certificate. The object that
# toLegacyObject() returns has no ext_key_usage either, so only the certificate's bytes (raw) tell.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 node@20.19.5 >/dev/null
deno=$work/node_modules/.bin/deno
node=$work/node_modules/.bin/node
"$deno" --version | head -n 1
"$node" --version
# Makes NAME.pem with the given extensions.
make() {
  local name=$1
  shift
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$name.key" -out "$name.pem" \
    -subj "/CN=$name" -days 30 "$@" 2>/dev/null
}
make both -addext keyUsage=digitalSignature,keyAgreement -addext extendedKeyUsage=clientAuth,serverAuth
make extended -addext extendedKeyUsage=clientAuth
make plain -addext keyUsage=digitalSignature
cat >usage.mjs <<'JS'
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
for (const name of ["both", "extended", "plain"]) {
  const certificate = new X509Certificate(readFileSync(`${name}.pem`));
  console.log(`${name}: ${certificate.keyUsage}; ext_key_usage ${certificate.toLegacyObject().ext_key_usage}`);
}
JS
clients=1.3.6.1.5.5.7.3.2
servers=1.3.6.1.5.5.7.3.1
seen=$("$deno" run --quiet --no-config --allow-read=. usage.mjs)
control=$("$node" usage.mjs)
printf 'Deno:\n%s\nNode:\n%s\n' "$seen" "$control"
[ "$seen" = "both: DigitalSignature,KeyAgreement; ext_key_usage undefined
extended: undefined; ext_key_usage undefined
plain: DigitalSignature; ext_key_usage undefined" ] &&
  [ "$control" = "both: $clients,$servers; ext_key_usage $clients,$servers
extended: $clients; ext_key_usage $clients
plain: undefined; ext_key_usage undefined" ] || { echo "CHANGED"; exit 1; }
echo "as described"
