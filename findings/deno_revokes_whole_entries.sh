#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): revoking the permission for one path does nothing, or takes far more.
#
# Expected: `Deno.permissions.revoke({ name: "read", path })` takes the permission for that path, as its description says,
# so that a program that was started with --allow-read can give back what it does not need.
# Seen: with --allow-read (without a list) it answers "granted" and the path is read as before. With a list, it takes every
# entry that contains the path: after revoking one file of /, nothing of / can be read. An entry beside it stays.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 >/dev/null
deno=$work/node_modules/.bin/deno
"$deno" --version | head -n 1
mkdir secret other listed
for folder in secret other listed; do echo text >"$folder/file"; done

cat >revoke.ts <<'TS'
const reads = (path: string): string => {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch (error) {
    return error instanceof Deno.errors.NotCapable ? "refused" : String(error);
  }
};
const { state } = Deno.permissions.revokeSync({ name: "read", path: "secret/file" });
console.log(state, ...["secret/file", "other/file", "listed/file"].map(reads));
TS
run() { "$deno" run --quiet --no-config --no-prompt "$@" revoke.ts; }
everything=$(run --allow-read)
root=$(run --allow-read=/)
listed=$(run "--allow-read=/,$work/listed")
echo "after revoking secret/file: state, secret/file, other/file, listed/file"
echo "--allow-read: $everything"
echo "--allow-read=/: $root"
echo "--allow-read=/,listed: $listed"
[ "$everything" = "granted text text text" ] && [ "$root" = "prompt refused refused refused" ] &&
  [ "$listed" = "prompt refused refused text" ] || { echo "CHANGED"; exit 1; }
echo "as described"
