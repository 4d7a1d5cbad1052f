#!/usr/bin/env bash
# Bun 1.4.5 (npm package bun@1.4.5, Linux): the callback of node:crypto's scrypt gets undefined in place of null.
#
# Expected: without an error the first argument of the callback is null, as in Node and Deno and as the types of Node
# declare it, so that `error === null` means success.
# Seen: in Bun it is undefined. Code that compares with null takes every hash for a failure, whose error is undefined.
# pbkdf2 and randomBytes are printed beside it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit bun@1.4.5 >/dev/null
bun=$work/node_modules/.bin/bun
"$bun" --version

cat >hash.mjs <<'JS'
import { pbkdf2, randomBytes, scrypt } from "node:crypto";
scrypt("password", "salt", 32, (ofScrypt) => {
  pbkdf2("password", "salt", 1, 32, "sha256", (ofPbkdf2) => {
    randomBytes(8, (ofRandom) => console.log(`scrypt ${ofScrypt}, pbkdf2 ${ofPbkdf2}, randomBytes ${ofRandom}`));
  });
});
JS
seen=$("$bun" hash.mjs)
control=$(node hash.mjs)
echo "Bun: $seen"
echo "Node: $control"
case $seen in "scrypt undefined,"*) ;; *) echo "CHANGED" && exit 1 ;; esac
case $control in "scrypt null,"*) ;; *) echo "CHANGED" && exit 1 ;; esac
echo "as described"
