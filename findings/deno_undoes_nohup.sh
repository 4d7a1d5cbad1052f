#!/usr/bin/env bash
# Deno 2.9.6 (npm package deno@2.9.6, Linux): a program under `nohup` is killed by SIGHUP.
#
# Expected: nohup starts a program with SIGHUP ignored; an ignored signal stays ignored after exec, and a runtime does not
# change that unless the program requests it (Python is the control).
# Seen: some hundred milliseconds after its start Deno installs a handler for SIGHUP, although the program requested
# none (/proc/PID/status: bit 0 moves from SigIgn to SigCgt); SIGHUP then ends the process (129 in a shell). Right after
# the start the signal is still ignored, as it should be.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit deno@2.9.6 >/dev/null
"$work/node_modules/.bin/deno" --version | head -n 1

# Prints how a program that says "up" and then waits ends when it is sent SIGHUP, or "lives".
fate() {
  local pid code=0
  rm -f out
  nohup "$@" >out 2>err </dev/null &
  pid=$!
  for _ in $(seq 200); do grep -q up out 2>/dev/null && break; sleep 0.1; done
  # Until the process catches SIGHUP itself (the last digit of the mask is odd), or for 5 s.
  for _ in $(seq 50); do grep -q '^SigCgt:.*[13579bdf]$' "/proc/$pid/status" && break; sleep 0.1; done
  kill -HUP "$pid"
  for _ in $(seq 30); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  if kill -0 "$pid" 2>/dev/null; then
    echo lives
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
  else
    wait "$pid" 2>/dev/null || code=$?
    echo "$code"
  fi
}
echo 'console.log("up"); setInterval(() => {}, 1000);' >wait.ts
printf 'import time\nprint("up", flush=True)\ntime.sleep(60)\n' >wait.py
real=$("$work/node_modules/.bin/deno" eval 'console.log(Deno.execPath())')
seen=$(fate "$real" run --quiet --no-config wait.ts)
control=$(fate python3 wait.py)
echo "under nohup, after SIGHUP: Deno $seen, Python $control"
[ "$seen" = 129 ] && [ "$control" = lives ] || { echo "CHANGED"; exit 1; }
echo "as described"
