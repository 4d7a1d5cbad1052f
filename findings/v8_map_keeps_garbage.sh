#!/usr/bin/env bash
# V8 as in Node 20.19.5 and Deno 2.9.6 (npm packages): a Map whose entries come and go keeps the entries that were removed
# until the next collection of the whole heap, once it has gone through one such collection.
#
# Expected: a Map with 64 entries at any time, each removed soon after it was added, costs the collector of young objects as
# much as an array with 64 places. Removed entries cannot be reached from the program.
# Seen: after one major collection, most of what the Map has ever held survives every minor collection, and the
# program takes several times as long. When a Map moves to a new table, the old one refers to the new one, for its iterators;
# the major collection makes the table of that time old, and a dead old table keeps the next alive, and so on.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 node@20.19.5 >/dev/null
deno=$work/node_modules/.bin/deno
node=$work/node_modules/.bin/node
"$deno" --version | head -n 1
"$node" --version
cat >churn.mjs <<'JS'
const COUNT = 2_000_000;
const ring = new Array(64).fill(null);
const map = new Map();
for (let i = 0; i < COUNT; i++) {
  const entry = { i, payload: [i, i, i, i] };
  if (process.argv[2] === "map") {
    map.set(i, entry);
    map.delete(i - 64);
  } else ring[i % 64] = entry;
  if (i === COUNT / 4) globalThis.gc();
}
JS
cat >kept.sh <<'SH'
# The megabytes by which the heap grew from one minor collection to the next, of all of them together.
"$@" | sed -n 's/.*Scavenge .* -> \([0-9.]*\) .*/\1/p' |
  awk 'NR > 1 && $1 > last { sum += $1 - last } { last = $1 } END { printf "%d\n", sum }'
SH
in_node() { bash kept.sh "$node" --expose-gc --trace-gc churn.mjs "$1"; }
in_deno() { bash kept.sh "$deno" run --quiet --no-config --v8-flags=--expose-gc,--trace-gc churn.mjs "$1"; }
node_map=$(in_node map) node_ring=$(in_node ring) deno_map=$(in_deno map) deno_ring=$(in_deno ring)
echo "MB that minor collections kept: Node with a Map $node_map, with an array $node_ring; Deno with a Map $deno_map, with an array $deno_ring"
[ "$node_map" -gt $((10 * node_ring + 20)) ] && [ "$deno_map" -gt $((10 * deno_ring + 20)) ] || { echo "CHANGED"; exit 1; }
echo "as described"
