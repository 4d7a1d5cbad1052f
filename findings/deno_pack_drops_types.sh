#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): `deno pack` leaves the declarations (.d.ts) of a module out of the package, and
# succeeds, when one public symbol of it has an inferred type.
#
# Expected: a failure, as `deno publish` fails for the same module, or declarations made by the compiler; without them only
# with --allow-slow-types, whose help says that .d.ts files are omitted.
# Seen: exit code 0 and a tarball without any .d.ts file and without "types" in package.json, so that every user of the
# package loses all types. The only trace is "error[missing-explicit-type]" on standard error. kvraft's tools/pack.ts
# therefore fails on that text.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit --prefix "$work/deno" deno@2.9.6 >/dev/null
deno="$work/deno/node_modules/.bin/deno"
"$deno" --version | head -n 1
mkdir inferred annotated
for folder in inferred annotated; do
  echo '{ "name": "@acme/tally", "version": "1.0.0", "exports": "./mod.ts" }' >"$folder/deno.json"
done
cat >inferred/mod.ts <<'TS'
/** Adds two numbers. */
export function add(a: number, b: number): number {
  return a + b;
}
/** The larger number. */
export const LIMIT = Math.max(1, 2);
TS
sed 's/LIMIT =/LIMIT: number =/' inferred/mod.ts >annotated/mod.ts
pack() {
  (cd "$1" && NO_COLOR=1 "$deno" pack --allow-dirty -o package.tgz >/dev/null 2>errors) && code=0 || code=$?
  types=$(tar tzf "$1/package.tgz" | grep -c '\.d\.ts$' || true)
  reported=$(grep -c 'error\[missing-explicit-type\]' "$1/errors" || true)
  echo "$1: exit code $code, $types declaration files, $reported errors on standard error"
}
seen="$(pack inferred)
$(pack annotated)"
echo "$seen"
[ "$seen" = "inferred: exit code 0, 0 declaration files, 1 errors on standard error
annotated: exit code 0, 1 declaration files, 0 errors on standard error" ] || { echo "CHANGED"; exit 1; }
echo "as described"
