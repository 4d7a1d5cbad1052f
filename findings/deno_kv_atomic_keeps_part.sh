#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): an atomic operation of Deno KV that fails is applied in part.
#
# Expected: an atomic operation is performed completely or not at all; a commit() that throws has changed nothing.
# Seen: the mutations before one that fails (a sum, min or max on a value of another type) are there after commit() has
# thrown, with a versionstamp of their own; those after it are not. No watch reports them. A failed check is the control.
# denokv 0.14, which has the same SQLite backend, does so too.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 >/dev/null
"$work/node_modules/.bin/deno" --version | head -n 1
cat >atomic.ts <<'EOF'
const kv = await Deno.openKv(":memory:");
await kv.set(["name"], "Ada");
const seen: string[] = [];
async function tried(operation: Deno.AtomicOperation): Promise<void> {
  await kv.atomic().delete(["before"]).delete(["after"]).commit();
  const end = await operation.set(["after"], 1).commit().then(({ ok }) => `ok ${ok}`, () => "thrown");
  const [before, after] = await kv.getMany([["before"], ["after"]]);
  seen.push(`${end}: before ${before.value}, after ${after.value}`);
}
await tried(kv.atomic().set(["before"], 1).sum(["name"], 1n));
await tried(kv.atomic().set(["before"], 1).max(["name"], 1n));
await tried(kv.atomic().check({ key: ["name"], versionstamp: null }).set(["before"], 1));
console.log(seen.join("\n"));
Deno.exit(0);
EOF
"$work/node_modules/.bin/deno" run --quiet --no-config --unstable-kv atomic.ts | tee out
cat >expected <<'EOF'
thrown: before 1, after null
thrown: before 1, after null
ok false: before null, after null
EOF
cmp -s out expected || { echo "CHANGED"; exit 1; }
echo "as described"
