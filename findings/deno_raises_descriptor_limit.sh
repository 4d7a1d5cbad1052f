#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux) raises its soft limit on open files to the hard limit at start.
#
# Expected: a soft limit that was set for a process applies to it (Python is the control).
# Seen: with a soft limit of 300 and a hard one of 5,000 a Deno program opens 1,000 files at once. Only the hard limit
# applies: to test a program without free descriptors, lower the hard limit.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 >/dev/null
deno=$work/node_modules/.bin/deno
"$deno" --version | head -n 1

cat >open.ts <<'TS'
const files: Deno.FsFile[] = [];
try {
  while (files.length < 1000) files.push(Deno.openSync("open.ts"));
} catch { /* the limit */ }
console.log(files.length);
TS
cat >open.py <<'PY'
files = []
try:
    while len(files) < 1000:
        files.append(open("open.py"))
except OSError:
    pass
print(len(files))
PY
seen=$(ulimit -Sn 300; ulimit -Hn 5000; "$deno" run --quiet --no-config --allow-read=. open.ts)
control=$(ulimit -Sn 300; ulimit -Hn 5000; python3 open.py)
echo "soft limit 300, hard limit 5000: Deno opened $seen files, Python $control"
[ "$seen" -eq 1000 ] && [ "$control" -lt 300 ] || { echo "CHANGED"; exit 1; }
echo "as described"
