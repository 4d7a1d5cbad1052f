#!/usr/bin/env bash
# V8 in Deno 2.9.6 (npm package deno@2.9.6, Linux): one burst of waiting requests makes all later objects of the same literal
# long-lived ones, for as long as the process runs.
#
# Expected: an object that refers to a request's body and is dropped a moment later dies young, however long the
# queue of the first requests was.
# Seen: while the young generation has its maximum size, V8 counts for each object literal how many of its objects survive a
# scavenge. If 100 or more and at least 80 % of those made did once, its later objects are allocated in the old generation,
# and that is not looked at again. There each dead object keeps its body until a full collection: 5 million requests, one
# waiting at a time, take none without the burst, and some 80 after a burst of 2,000. Lowering
# --max-semi-space-size, as servers do to save memory, makes it likely at the first burst, since the young generation has its
# maximum size from the start. --no-allocation-site-pretenuring switches it off. Not counted are objects of classes, and
# copies by spread ({ ...a, b: 1 }).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 >/dev/null
deno=$work/node_modules/.bin/deno
"$deno" --version | sed -n '1,2p'
cat >burst.ts <<'TS'
const [burst = 0, form = ""] = [Number(Deno.args[0]), Deno.args[1]];
class Request {
  constructor(readonly id: number, readonly body: Uint8Array) {}
}
const waiting: unknown[] = [];
export let garbage: unknown;
function ask(id: number): void {
  const body = new Uint8Array(64);
  if (form === "class") waiting.push(new Request(id, body));
  else if (form === "spread") {
    const part = { id };
    waiting.push({ ...part, body });
  } else waiting.push({ id, body });
}
// All of the burst wait while other work makes garbage, then all are answered.
for (let id = 0; id < burst; id++) ask(id);
for (let id = 0; id < 40_000; id++) garbage = new Array(100).fill(id);
waiting.length = 0;
// From here on one request waits at a time.
for (let id = 0; id < 5_000_000; id++) {
  ask(id);
  waiting.pop();
}
TS
full() { # flags of V8, burst, form
  "$deno" run --quiet --no-config --v8-flags="--trace-gc,--max-semi-space-size=1$1" burst.ts "$2" "$3" | grep -c Mark-Compact || true
}
none=$(full "" 0 literal)
burst=$(full "" 2000 literal)
class=$(full "" 2000 class)
spread=$(full "" 2000 spread)
off=$(full ",--no-allocation-site-pretenuring" 2000 literal)
echo "full collections in 5 million requests: no burst $none, after a burst $burst, of a class $class, of copies by spread $spread, switched off $off"
[ "$none" -le 2 ] && [ "$burst" -ge 20 ] && [ "$class" -le 2 ] && [ "$spread" -le 2 ] && [ "$off" -le 2 ] || { echo "CHANGED"; exit 1; }
echo "as described"
