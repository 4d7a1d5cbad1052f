#!/usr/bin/env bash
# Prints the path of a Deno that can run kvraft; if there is none, prints the reason and exits with 1.
#
# It uses the deno on the PATH if that is not older than .deno-version, otherwise npm's package `deno` of that version. The
# path is that of the real program, not of a wrapper, so that a server started with it has the process id of the command.
# The result is stored in .cache/, because npx takes half a second.
set -eu
cd "$(dirname "$0")/.."
pinned=$(cat .deno-version)
remembered=.cache/deno-$pinned

# Prints the version of the Deno at $1: 2.9.6.
version_of() { "$1" --version 2>/dev/null | sed -n 's/^deno \([0-9.]*\).*/\1/p'; }

# same_major_and_not_older 2.9.10 2.9.6
same_major_and_not_older() {
  local have want
  IFS=. read -r -a have <<<"$1"
  IFS=. read -r -a want <<<"$2"
  [ "${have[0]}" -eq "${want[0]}" ] || return 1
  [ "${have[1]}" -ne "${want[1]}" ] && { [ "${have[1]}" -gt "${want[1]}" ]; return; }
  [ "${have[2]}" -ge "${want[2]}" ]
}

# A Deno that was upgraded or removed since is looked for again.
if [ -r "$remembered" ]; then
  { read -r path && read -r version; } <"$remembered" || version=
  if [ -n "$version" ] && [ -x "$path" ] && [ "$(version_of "$path")" = "$version" ]; then
    echo "$path"
    exit 0
  fi
fi

path=
version=
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
printf '%s\n%s\n' "$path" "$(version_of "$path")" >"$remembered"
echo "$path"
