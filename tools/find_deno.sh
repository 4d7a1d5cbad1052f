#!/usr/bin/env bash
# Prints the path of a Deno that can run kvraft, or says in one sentence why there is none and exits 1.
#
# First the one on the PATH, if it is no older than .deno-version; else the one that npm's package `deno` brings,
# pinned to that version. The path is that of the real program, never of a wrapper: whoever starts a server with
# it gets the server's own process id. The answer is remembered in .cache/, since asking npx takes half a second.
set -eu
cd "$(dirname "$0")/.."
pinned=$(cat .deno-version)
remembered=.cache/deno-$pinned

# same_major_and_not_older 2.9.10 2.9.6
same_major_and_not_older() {
  local have want
  IFS=. read -r -a have <<<"$1"
  IFS=. read -r -a want <<<"$2"
  [ "${have[0]}" -eq "${want[0]}" ] || return 1
  [ "${have[1]}" -ne "${want[1]}" ] && { [ "${have[1]}" -gt "${want[1]}" ]; return; }
  [ "${have[2]}" -ge "${want[2]}" ]
}

if [ -r "$remembered" ] && [ -x "$(cat "$remembered")" ]; then
  cat "$remembered"
  exit 0
fi

path=
found=
where='console.log(Deno.execPath())'
if command -v deno >/dev/null 2>&1; then
  found=$(deno eval 'console.log(Deno.version.deno.split("-")[0])' 2>/dev/null) || found=unknown
  case $found in
    [0-9]*.[0-9]*.[0-9]*) if same_major_and_not_older "$found" "$pinned"; then path=$(deno eval "$where"); fi ;;
  esac
fi
if [ -z "$path" ] && command -v npx >/dev/null 2>&1; then
  if [ -n "$found" ]; then
    echo "The deno on the PATH is $found; kvraft needs $pinned. Fetching it with npx, once." >&2
  else
    echo "There is no deno on the PATH. Fetching deno $pinned with npx, once." >&2
  fi
  path=$(npx -y "deno@$pinned" eval "$where" </dev/null) || path=
fi
if [ -z "$path" ] || [ ! -x "$path" ]; then
  echo "Cannot find Deno $pinned or newer. Install it (https://deno.com), run 'deno upgrade' if you have an older one," \
    "or install Node: its npx is enough." >&2
  exit 1
fi
mkdir -p .cache
echo "$path" >"$remembered"
echo "$path"
