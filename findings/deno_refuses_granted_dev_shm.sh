#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): a permission that is "granted" is refused below /dev.
#
# Expected: where Deno.permissions.query says "granted" for reading and writing a folder, its files can be used, so
# that a program can check its data folder at start. /dev/shm is an ordinary file system in memory, which databases and
# their tests use.
# Seen: with --allow-read and --allow-write (for everything, or for exactly that folder) the query says "granted" for a
# folder in /dev/shm, and every operation there throws NotCapable, "Requires all access". Only --allow-all permits it.
# The same folder elsewhere (the control) works.
set -eu
work=$(mktemp -d)
memory=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$work" "$memory"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 >/dev/null
deno=$work/node_modules/.bin/deno
"$deno" --version | head -n 1

cat >write.ts <<'TS'
const [folder = ""] = Deno.args;
const states = (["read", "write"] as const).map((name) => Deno.permissions.querySync({ name, path: folder }).state);
let result = "written";
try {
  Deno.writeTextFileSync(`${folder}/file`, "text");
} catch (error) {
  result = error instanceof Deno.errors.NotCapable ? "NotCapable" : String(error);
}
console.log(`${states.join(",")} ${result}`);
TS
run() { "$deno" run --quiet --no-config --no-prompt "$@"; }
exactly=$(run "--allow-read=$memory" "--allow-write=$memory" write.ts "$memory")
everything=$(run --allow-read --allow-write write.ts "$memory")
all=$(run --allow-all write.ts "$memory")
control=$(run "--allow-read=$work" "--allow-write=$work" write.ts "$work")
echo "in /dev/shm: this folder permitted: $exactly; all folders permitted: $everything; --allow-all: $all"
echo "elsewhere, this folder permitted: $control"
[ "$exactly" = "granted,granted NotCapable" ] && [ "$everything" = "$exactly" ] &&
  [ "$all" = "granted,granted written" ] && [ "$control" = "$all" ] || { echo "CHANGED"; exit 1; }
echo "as described"
