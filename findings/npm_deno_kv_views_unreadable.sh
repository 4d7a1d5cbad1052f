#!/usr/bin/env bash
# npm @deno/kv 0.14.0 (Node 20.19.5, Deno 2.9.6, Linux): Deno cannot read a value that a program in Node has set, if a view of
# bytes is a part of it.
#
# Expected: both read one database, as the package says: it serializes with the v8 module of Node, natively as Deno does.
# Objects, maps, dates, an ArrayBuffer and a Uint8Array that is the whole value pass (the controls).
# Seen: an object with a Uint8Array or a Buffer in it, a Float64Array and a DataView are set without an error, and Node
# reads them. In Deno get() throws RangeError "could not deserialize value", and a list() that meets one ends with it.
# serialize() of node:v8 writes every view as a host object of Node's own, in the same version of the format (15) as the
# rest, so the version does not tell; deserialize() of node:v8 in Deno reads it. Here the database is a file; with
# a remote one (denokv 0.14.0) it is the same.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit @deno/kv@0.14.0 deno@2.9.6 node@20.19.5 >/dev/null
cat >set.mjs <<'END'
import { openKv } from "@deno/kv";
const kv = await openKv("database.sqlite");
const values = {
  "object": { name: "Ada" },
  "map": new Map([[1, new Date(0)]]),
  "Uint8Array": new Uint8Array(3),
  "ArrayBuffer": new ArrayBuffer(3),
  "object with a Uint8Array": { part: new Uint8Array(3) },
  "object with a Buffer": { part: Buffer.from("abc") },
  "Float64Array": new Float64Array(3),
  "DataView": new DataView(new ArrayBuffer(3)),
};
for (const [name, value] of Object.entries(values)) {
  await kv.set([name], value);
  const read = (await kv.get([name])).value;
  if (typeof read !== "object" || read === null) throw new Error(`Node does not read ${name}`);
}
kv.close();
console.log(JSON.stringify(Object.keys(values)));
END
cat >get.ts <<'END'
import { deserialize } from "node:v8";
import { DatabaseSync } from "node:sqlite";
const kv = await Deno.openKv("database.sqlite");
const names: string[] = JSON.parse(Deno.args[0]);
for (const name of names) {
  const read = await kv.get([name]).then(() => "read", ({ message }) => message);
  console.log(`${name}: ${read}`);
}
let count = 0;
const end = await Array.fromAsync(kv.list({ prefix: [] }), () => count++).then(() => "all", ({ message }) => message);
console.log(`list: ${end}`);
kv.close();
const rows = new DatabaseSync("database.sqlite").prepare("SELECT v FROM kv WHERE v_encoding = 1").all();
const formats = new Set(rows.map(({ v }) => (v as Uint8Array)[1]));
for (const { v } of rows) deserialize(v as Uint8Array);
console.log(`formats: ${[...formats]}; deserialize() of node:v8 in Deno reads all ${rows.length}`);
END
node_modules/.bin/node set.mjs >names
node_modules/.bin/deno run --quiet --no-config --no-check -A --unstable-kv get.ts "$(cat names)" | tee out
cat >expected <<'END'
object: read
map: read
Uint8Array: read
ArrayBuffer: read
object with a Uint8Array: could not deserialize value
object with a Buffer: could not deserialize value
Float64Array: could not deserialize value
DataView: could not deserialize value
list: could not deserialize value
formats: 15; deserialize() of node:v8 in Deno reads all 7
END
cmp -s out expected || { echo "CHANGED"; exit 1; }
echo "as described"
