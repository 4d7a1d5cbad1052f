#!/usr/bin/env bash
# Five MessagePack libraries of npm that a client of kvraft in Node may be written with: msgpackr 1.11.5,
# @msgpack/msgpack 3.1.2, msgpack-lite 0.1.26, msgpack5 6.0.2, notepack.io 3.0.1. (Node, Linux.)
#
# Expected: an integer below 2^53 is written as an integer and read as a number; a decoded byte string is the reader's own;
# a Uint8Array is written as a byte string; decoding two values behind each other fails, or there is a call for it.
# Seen:
# - msgpackr and msgpack-lite write integers from 2^32 on as floats. kvraft's reader takes a float with an integral value
#   for an integer, and a test holds that (tests/unit/protocol/msgpack_test.ts).
# - msgpackr reads an unsigned 64-bit integer as a BigInt, even one of 2^32, which it would never have written so. kvraft
#   writes such integers as floats, so its answers are read as numbers by all five.
# - Byte strings that msgpackr, @msgpack/msgpack, msgpack5 and notepack.io return are views of the buffer that was decoded:
#   a client that reads into the same buffer again changes values that it has returned. msgpack-lite copies.
# - msgpack-lite writes a Uint8Array as an extension of type 18, and only a Buffer as a byte string. kvraft refuses it.
# - msgpack-lite and msgpack5 ignore bytes behind the first value; the others fail.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes >/dev/null
npm install --silent --no-fund --no-audit msgpackr@1.11.5 @msgpack/msgpack@3.1.2 msgpack-lite@0.1.26 msgpack5@6.0.2 \
  notepack.io@3.0.1 >/dev/null
node --version
cat >try.mjs <<'JS'
import * as msgpackr from "msgpackr";
import * as msgpack from "@msgpack/msgpack";
import lite from "msgpack-lite";
import msgpack5 from "msgpack5";
import notepack from "notepack.io";

const five = msgpack5();
const libraries = {
  "msgpackr": [msgpackr.pack, msgpackr.unpack],
  "@msgpack/msgpack": [msgpack.encode, msgpack.decode],
  "msgpack-lite": [lite.encode, lite.decode],
  "msgpack5": [(value) => five.encode(value).slice(), (bytes) => five.decode(bytes)],
  "notepack.io": [notepack.encode, notepack.decode],
};
const first = (bytes) => Buffer.from(bytes).subarray(0, 1).toString("hex");
for (const [name, [encode, decode]] of Object.entries(libraries)) {
  const integer = first(encode(2 ** 32));
  const read = typeof decode(Buffer.from("cf0000000100000000", "hex"));
  const bytes = first(encode(Uint8Array.of(1, 2)));
  const frame = Buffer.from("9201c4020908", "hex");
  const value = decode(frame)[1];
  frame.fill(0);
  const kept = value[0] === 9 ? "copy" : "view";
  let trailing = "ignored";
  try {
    decode(Buffer.from("0102", "hex"));
  } catch {
    trailing = "refused";
  }
  console.log(`${name}: 2^32 as ${integer}, uint64 read as ${read}, Uint8Array as ${bytes}, ${kept}, trailing ${trailing}`);
}
JS
seen=$(node try.mjs)
echo "$seen"
[ "$seen" = "msgpackr: 2^32 as cb, uint64 read as bigint, Uint8Array as c4, view, trailing refused
@msgpack/msgpack: 2^32 as cf, uint64 read as number, Uint8Array as c4, view, trailing refused
msgpack-lite: 2^32 as cb, uint64 read as number, Uint8Array as d5, copy, trailing ignored
msgpack5: 2^32 as cf, uint64 read as number, Uint8Array as c4, view, trailing ignored
notepack.io: 2^32 as cf, uint64 read as number, Uint8Array as c4, view, trailing refused" ] || { echo "CHANGED"; exit 1; }
echo "as described"
