#!/usr/bin/env bash
# A kvraft cluster on this machine; `./cluster.sh help` lists what it does.
#
# Data, logs and pid files are in ./data. The script signals a process only if it runs on one of the data directories
# there. Commands that start, stop or remove something hold a lock, so that two of them run one after the other.
# Written for bash 3.2 (macOS) and later.
set -eu
# File names in the arguments of `client` are relative to the directory of the caller.
caller=$PWD
script=$0
while [ -L "$script" ]; do
  link=$(readlink "$script")
  case $link in
    /*) script=$link ;;
    *) script=$(dirname -- "$script")/$link ;;
  esac
done
cd -P -- "$(dirname -- "$script")" >/dev/null

READY_LINE='ready to serve'
START_DEADLINE_S=30
# A server ends within 5 seconds after SIGTERM.
STOP_DEADLINE_S=8
# The time that a command waits for another one that starts or stops nodes.
LOCK_DEADLINE_S=120
# After this time a lock without a pid belongs to a process that died before it wrote the pid.
LOCK_GRACE_S=3
POLL_S=0.05

usage() {
  cat <<'USAGE'
Usage: ./cluster.sh [command]

  start [nodes] [-- flags]
                  compile if needed, start 3 nodes (or 1 to 7) and wait for a leader   (the default)
                  start --tls …: with TLS, by a trial authority in ./data/tls; later starts and commands use it, too
                  start --denokv …: serves Deno KV as well, on ports from 4512 on; later starts do, too
                  start --etcd …: serves etcd v3 as well, on ports from 2379 on; later starts do, too
                  flags are passed to every server, also at later starts: start 3 -- --read-mode lease;
                  with --http 127.0.0.1:8001 node 2 uses port 8002, and so on
  client [args]   run the client on this cluster; without arguments, an interactive shell
  status          list the nodes that run, with their status
  add             start one more node and make it a member
  remove <n>      remove node n from the cluster permanently, and stop it
                  status, add and remove sign in where clients have to, by flags of the client: add --user ada
  stop            stop the nodes (SIGTERM: they transfer leadership, sync and exit)
  restart <n>     stop node n if it runs, and start it
  kill <n>        kill node n without a clean stop (SIGKILL)
  pause <n>       pause node n (SIGSTOP)
  resume <n>      resume node n (SIGCONT)
  logs [-f] <n>   print the log of node n; -f follows it
  demo [watch]    write, kill the leader, restart it, and count lost writes;
                  watch: the same with watchers and leases, and a frozen leader
  clean           remove the data of a cluster whose nodes are stopped

Nodes listen on 127.0.0.1, from port 7001 on. KVRAFT_BASE_PORT=8001 ./cluster.sh uses ports from 8001 on, and
KVRAFT_DENOKV_PORT=5512 ./cluster.sh start --denokv serves Deno KV from 5512 on; KVRAFT_ETCD_PORT does the same for
--etcd. KVRAFT_SOURCE=1 runs the source even if ./kvraft can be compiled.
USAGE
}

say() { printf '%s\n' "$*"; }
fail() {
  say "$*" >&2
  exit 1
}
misused() {
  say "$*" >&2
  say "Try: ./cluster.sh help" >&2
  exit 2
}

# Refuses arguments beyond the first `most`: `stop 2` must not stop every node.
at_most() { # most, command, arguments of the command
  local most=$1 name=$2
  shift 2
  [ $# -le "$most" ] || misused "$name takes $([ "$most" -eq 0 ] && echo 'no argument' || echo 'one node'), not '$*'."
}

# --- one command at a time -----------------------------------------------------------------------------------

# A directory, because mkdir succeeds for exactly one process on every system; it contains pid and name of the owner.
lock=.cache/cluster.lock
holds_lock=
adding= # the node that `add` has started and not yet asked the cluster to take

release_lock() {
  if [ -n "$holds_lock" ]; then rm -rf "$lock"; fi
  holds_lock=
}

# Runs when the script ends for any reason: a node that is no member yet does not stay behind.
clean_up() {
  trap '' INT TERM
  if [ -n "$adding" ]; then forget_added || :; fi
  release_lock
}

# Prints the command line of process $1, or nothing if there is no such process.
command_line() {
  if [ -r "/proc/$1/cmdline" ]; then
    tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null
  else
    printf '%s ' "$(ps -ww -o args= -p "$1" 2>/dev/null)"
  fi
}

# Prints the pid of the script that holds the lock; fails if there is none, or it no longer runs.
lock_holder() {
  local pid= name=
  read -r pid name 2>/dev/null <"$lock/pid" || return 1
  case $(command_line "$pid") in
    *"${name:-cluster.sh}"*) printf '%s' "$pid" ;;
    *) return 1 ;;
  esac
}

# Takes over the lock of a script that no longer runs. Of several attempts one creates the directory `takeover`; it checks
# again, because the lock may have been taken over before.
take_over_lock() {
  mkdir "$lock/takeover" 2>/dev/null || return 1
  if lock_holder >/dev/null; then
    rmdir "$lock/takeover"
    return 1
  fi
  echo "$$ ${0##*/}" >"$lock/pid"
  rmdir "$lock/takeover"
}

# Waits for the lock; it is released when this script ends.
take_lock() {
  local holder deadline=$((SECONDS + LOCK_DEADLINE_S)) silent_since=$SECONDS said=
  mkdir -p .cache
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  while :; do
    if mkdir "$lock" 2>/dev/null; then
      echo "$$ ${0##*/}" >"$lock/pid"
      holds_lock=yes
      return
    fi
    if holder=$(lock_holder); then
      silent_since=$SECONDS
      if [ -z "$said" ]; then say "Waiting for another ./cluster.sh (pid $holder) …" >&2; fi
      said=yes
    elif [ -s "$lock/pid" ] || [ $((SECONDS - silent_since)) -ge "$LOCK_GRACE_S" ]; then
      if take_over_lock; then
        holds_lock=yes
        return
      fi
    fi
    [ "$SECONDS" -lt "$deadline" ] ||
      fail "Another ./cluster.sh (pid ${holder:-unknown}) has run for $LOCK_DEADLINE_S s. If it does not exist, remove $lock."
    sleep $POLL_S
  done
}

# The description of the cluster is read only under the lock.
case ${1:-start} in
  start | add | remove | stop | restart | kill | pause | resume | demo | clean) take_lock ;;
esac

# --- the description of the cluster --------------------------------------------------------------------------

nodes=0    # the highest id ever used; 0: no node was ever started here
founders=0 # nodes 1 to this number are the initial members, later ones joined
removed=   # ids of removed nodes; an id is used once
base_port=${KVRAFT_BASE_PORT:-7001}
case $base_port in
  '' | 0* | *[!0-9]*) misused "KVRAFT_BASE_PORT is '$base_port'; it must be a port number such as 7001." ;;
esac
if [ "${#base_port}" -gt 5 ] || [ "$base_port" -gt 65529 ]; then
  misused "KVRAFT_BASE_PORT is '$base_port'; it must be from 1 to 65529."
fi

# The cluster id is derived from the addresses, so data created with one base port is refused with another.
if [ -r data/cluster ]; then
  read -r nodes stored_port founders removed <data/cluster
  if [ -n "${KVRAFT_BASE_PORT:-}" ] && [ "$base_port" != "$stored_port" ]; then
    fail "The cluster in ./data listens on ports $stored_port and up, and KVRAFT_BASE_PORT says $base_port." \
      "Unset it, or remove that cluster: KVRAFT_BASE_PORT=$stored_port ./cluster.sh clean"
  fi
  base_port=$stored_port
  founders=${founders:-$nodes}
fi

address() { printf '127.0.0.1:%s' $((base_port + $1 - 1)); }

# Runs a command that creates files in ./data, which are their owner's alone with any umask: logs name addresses,
# and flags name files with secrets.
private() { (umask 077 && "$@"); }

write_cluster() { echo "$nodes $base_port $founders $removed" >data/cluster; }
remember_cluster() { private write_cluster; }

# Prints the ids of the current nodes, separated by spaces.
node_ids() {
  local n
  for ((n = 1; n <= nodes; n++)); do
    case " $removed " in *" $n "*) ;; *) printf '%s ' "$n" ;; esac
  done
}

node_count() {
  # shellcheck disable=SC2046 # numbers separated by spaces
  set -- $(node_ids)
  echo $#
}

members() {
  local n list=
  for n in $(node_ids); do list=$list,$n=$(address "$n"); done
  printf '%s' "${list#,}"
}

# Prints the initial members, removed or not. An initial member always gets the same list: with another one and an empty
# directory it would form another cluster.
founding_members() {
  local n list=
  for ((n = 1; n <= founders; n++)); do list=$list,$n=$(address "$n"); done
  printf '%s' "${list#,}"
}

# Prints the addresses of the other nodes, for node $1, which joins.
others_of() {
  local n list=
  for n in $(node_ids); do
    if [ "$n" -ne "$1" ]; then list=$list,$(address "$n"); fi
  done
  printf '%s' "${list#,}"
}

require_cluster() {
  [ "$nodes" -gt 0 ] || fail "No cluster was started here. Start one: ./cluster.sh"
}

# Checks that $1 is a node of this cluster.
require_node() {
  local ids
  require_cluster
  ids=$(node_ids)
  case ${1:-} in
    '') misused "Which node? This cluster has nodes ${ids% }." ;;
    *[!0-9]*) misused "'$1' is no node: this cluster has nodes ${ids% }." ;;
  esac
  case " $ids" in
    *" $1 "*) ;;
    *) misused "There is no node $1: this cluster has nodes ${ids% }." ;;
  esac
}

# --- processes -----------------------------------------------------------------------------------------------

data_directory() { printf '%s/data/node-%s' "$PWD" "$1"; }

# Prints the pid of a process that runs on the data directory $1, without the pid files; fails if there is none.
process_on() {
  local pid
  if [ -r /proc/self/cmdline ]; then
    # A record of /proc/<pid>/cmdline is one argument; grep itself has the directory after another flag.
    for pid in $(grep -lzxF -e "$1" /proc/[0-9]*/cmdline 2>/dev/null | sed 's,/proc/,,; s,/.*,,'); do
      if runs_on "$pid" "$1"; then return; fi
    done
  else
    for pid in $(ps -axww -o pid= -o args= | grep -F -e "--data-dir $1" | awk '{ print $1 }'); do
      if runs_on "$pid" "$1"; then return; fi
    done
  fi
  return 1
}

# Prints the pid $1 if that process runs on the data directory $2; otherwise fails.
runs_on() {
  case $(command_line "$1") in
    *" --data-dir $2 "*) printf '%s' "$1" ;;
    *) return 1 ;;
  esac
}

# Prints the pid of node $1; fails if it does not run.
pid_of() {
  local pid=
  if [ -r "data/node-$1.pid" ]; then
    read -r pid <"data/node-$1.pid" || pid=
    if [ -n "$pid" ] && runs_on "$pid" "$(data_directory "$1")"; then return; fi
  fi
  process_on "$(data_directory "$1")"
}

running_nodes() {
  local n
  for n in $(node_ids); do
    if pid_of "$n" >/dev/null; then printf '%s ' "$n"; fi
  done
}

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# --- the program: ./kvraft if Deno can compile it, otherwise the source -----------------------------------------

program=()
program_name=
# As in deno.json.
v8_flags=--v8-flags=--max-semi-space-size=8,--heap-growing-percent=50,--no-allocation-site-pretenuring

# Whether ./kvraft is there and was compiled from this source, with the Deno that was found last.
compiled_is_current() {
  local pinned found compiled=
  [ -x kvraft ] && [ -z "$(find main.ts lib deno.json -newer kvraft | head -n 1)" ] || return 1
  read -r pinned <.deno-version
  [ -r ".cache/deno-$pinned" ] && [ -r .cache/compiled-with ] || return 0
  { read -r _ && read -r found; } <".cache/deno-$pinned" || return 0
  read -r compiled <.cache/compiled-with
  [ "$compiled" = "$found" ]
}

# Sets `deno` and `flags`, which run a source file of this checkout.
find_deno() {
  deno=$(bash tools/find_deno.sh) || exit 1
  flags=$("$deno" run -A --no-config tools/std_imports.ts)
}

# Tries to compile once. If Deno's base binary cannot be downloaded, or what was compiled does not run, a file records it and
# later starts do not try again with this Deno; `deno task forget` removes it.
compile_if_possible() {
  local version code=0
  version=$("$deno" --version | sed -n 's/^deno \([0-9.]*\).*/\1/p')
  [ ! -e ".cache/no-compile-$version" ] || return 0
  say "Compiling ./kvraft …"
  # shellcheck disable=SC2086 # flags separated by spaces
  "$deno" run -A --no-config tools/compile.ts $flags || code=$?
  case $code in 3 | 4) : >".cache/no-compile-$version" ;; esac
}

# Sets `program`; with "build", compiles ./kvraft first if possible.
choose_program() {
  if [ -z "${KVRAFT_SOURCE:-}" ]; then
    if [ "${1:-}" = build ] && ! compiled_is_current; then
      find_deno
      compile_if_possible
    fi
    if compiled_is_current; then
      program=(./kvraft)
      program_name='the compiled ./kvraft'
      return
    fi
  fi
  find_deno
  # shellcheck disable=SC2206 # flags separated by spaces
  program=("$deno" run -q -P=kvraft --no-prompt "$v8_flags" $flags main.ts)
  program_name='the source, with the permissions of the compiled form'
  if [ "${1:-}" = build ]; then
    # Downloads the packages once, before three nodes do so at the same time.
    # shellcheck disable=SC2086 # flags separated by spaces
    "$deno" cache -q $flags main.ts || fail "Cannot load kvraft's packages: see above."
  fi
}

run_client() { "${program[@]}" client --cluster "$(members)" ${client_flags[@]+"${client_flags[@]}"} "$@"; }

# Becomes the client, in the directory of the caller, whose paths it uses.
become_client() {
  local here=$PWD
  choose_program
  if [ "${program[0]}" = ./kvraft ]; then
    program=("$here/kvraft")
  else
    # shellcheck disable=SC2206 # flags separated by spaces
    program=("$deno" run -q -P=kvraft --config "$here/deno.json" --no-prompt
      ${flags/=tools/=$here/tools} "$here/main.ts")
  fi
  # It reads the certificate of the trial authority here.
  has_tls || cd -- "$caller" 2>/dev/null || :
  exec "${program[@]}" client "$@"
}

# --- the trial authority of start --tls ----------------------------------------------------------------------

# A cluster has TLS if it has an authority.
has_tls() { [ -e data/tls/ca.crt ]; }

client_flags=()
if has_tls; then client_flags=(--tls-ca data/tls/ca.crt); fi
# The exit code of the client if it has to sign in.
NOT_SIGNED_IN=6

# Gives flags of the caller, such as `--user ada`, to the client. Relative paths continue the directory of the caller.
add_client_flags() {
  local word previous=
  for word in "$@"; do
    case $previous:$word in
      --*-file:/*) ;;
      --*-file:*) word=$caller/$word ;;
    esac
    client_flags+=("$word")
    previous=$word
  done
}

say_sign_in() { say "The nodes run. Clients have to sign in: ./cluster.sh client --user <name>"; }

run_openssl() {
  openssl "$@" 2>data/tls/openssl.log || fail "openssl could not make a certificate: $(cat data/tls/openssl.log)"
  rm -f data/tls/openssl.log
}

# Makes an authority whose key stays in ./data: for trials only.
make_authority() {
  command -v openssl >/dev/null || fail "start --tls needs openssl, which is not installed."
  has_tls && return
  mkdir -p data/tls
  run_openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=kvraft trial authority" \
    -keyout data/tls/ca.key -out data/tls/new.crt
  mv data/tls/new.crt data/tls/ca.crt
}

# Makes the certificate of node $1.
make_certificate() {
  local path=data/tls/node-$1
  [ -e "$path.crt" ] && return
  run_openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=node-$1" \
    -addext "subjectAltName=IP:127.0.0.1,DNS:localhost" -addext "extendedKeyUsage=serverAuth,clientAuth" \
    -keyout "$path.key" -out "$path.csr"
  run_openssl x509 -req -days 3650 -in "$path.csr" -CA data/tls/ca.crt -CAkey data/tls/ca.key -CAcreateserial \
    -copy_extensions copy -out "$path.crt"
  rm -f "$path.csr"
}

# --- Deno KV (start --denokv) --------------------------------------------------------------------------------

denokv_port= # the port of node 1, or empty: the cluster does not serve Deno KV
if [ -r data/denokv ]; then read -r denokv_port <data/denokv; fi

serves_denokv() { [ -n "$denokv_port" ]; }
write_denokv() { echo "$denokv_port" >data/denokv; }

choose_denokv_port() {
  denokv_port=${KVRAFT_DENOKV_PORT:-4512}
  case $denokv_port in
    '' | 0* | *[!0-9]*) misused "KVRAFT_DENOKV_PORT is '$denokv_port'; it must be a port number such as 4512." ;;
  esac
  if [ "${#denokv_port}" -gt 5 ] || [ "$denokv_port" -gt 65529 ]; then
    misused "KVRAFT_DENOKV_PORT is '$denokv_port'; it must be from 1 to 65529."
  fi
}

# Prints the lines that a Deno program needs.
show_denokv() {
  local scheme=http cert=
  if has_tls; then
    scheme=https
    cert="DENO_CERT='$PWD/data/tls/ca.crt' "
  fi
  say "Deno KV, in a program, and how to run it:"
  say "  const kv = await Deno.openKv(\"$scheme://127.0.0.1:$denokv_port\");"
  say "  ${cert}DENO_KV_ACCESS_TOKEN=x deno run --unstable-kv -A program.ts"
  say
}

# --- etcd v3 (start --etcd) ----------------------------------------------------------------------------------

etcd_port= # the port of node 1, or empty: the cluster does not serve etcd v3
if [ -r data/etcd ]; then read -r etcd_port <data/etcd; fi

serves_etcd() { [ -n "$etcd_port" ]; }
write_etcd() { echo "$etcd_port" >data/etcd; }

choose_etcd_port() {
  etcd_port=${KVRAFT_ETCD_PORT:-2379}
  case $etcd_port in
    '' | 0* | *[!0-9]*) misused "KVRAFT_ETCD_PORT is '$etcd_port'; it must be a port number such as 2379." ;;
  esac
  if [ "${#etcd_port}" -gt 5 ] || [ "$etcd_port" -gt 65529 ]; then
    misused "KVRAFT_ETCD_PORT is '$etcd_port'; it must be from 1 to 65529."
  fi
}

# Prints a line for etcdctl.
show_etcd() {
  local n endpoints= scheme= certificates=
  if has_tls; then
    scheme=https://
    certificates=" --cacert='$PWD/data/tls/ca.crt'"
  fi
  for n in $(node_ids); do endpoints="$endpoints${endpoints:+,}${scheme}127.0.0.1:$((etcd_port + n - 1))"; done
  say "etcd v3, with etcdctl:"
  say "  etcdctl --endpoints=$endpoints$certificates put greeting hello"
  say
}

# --- flags for every server ----------------------------------------------------------------------------------

server_flags=()
has_new_flags= # whether they were given now, and are stored once the nodes have started with them

# Reads the stored flags from data/flags, one per line.
read_flags() {
  local flag
  server_flags=()
  [ -r data/flags ] || return 0
  while IFS= read -r flag; do server_flags+=("$flag"); done <data/flags
}

check_flags() {
  local flag
  for flag in "$@"; do
    case $flag in
      *'
'*) misused "A flag cannot hold a newline: '$flag'." ;;
      --node-id | --node-id=* | --bind | --bind=* | --cluster | --cluster=* | --join | --join=* | --data-dir | --data-dir=*)
        misused "${flag%%=*} is given to each node by cluster.sh itself; it cannot be among the flags after --."
        ;;
    esac
  done
}

# Sets node_flags, the flags for one node. Each node needs its own HTTP address: node n uses the given port plus n - 1.
node_flags=()
flags_for() { # node
  local flag host port is_http=
  node_flags=()
  for flag in ${server_flags[@]+"${server_flags[@]}"}; do
    case $is_http$flag in
      yes*[0-9] | --http=*[0-9])
        # host:port, :port or port: what is before the digits stays.
        port=${flag##*[!0-9]}
        host=${flag%"$port"}
        flag=$host$((10#$port + $1 - 1))
        ;;
    esac
    if [ "$flag" = --http ]; then is_http=yes; else is_http=; fi
    node_flags+=("$flag")
  done
  if serves_denokv; then node_flags+=(--denokv "127.0.0.1:$((denokv_port + $1 - 1))"); fi
  if serves_etcd; then node_flags+=(--etcd "127.0.0.1:$((etcd_port + $1 - 1))"); fi
  if has_tls; then
    private make_certificate "$1"
    node_flags+=(--tls-ca data/tls/ca.crt --tls-cert "data/tls/node-$1.crt" --tls-key "data/tls/node-$1.key")
  fi
}

# Stores the given flags in place of the stored ones; without arguments, removes them.
write_flags() { printf '%s\n' "$@" >data/flags; }
remember_flags() { if [ $# -eq 0 ]; then rm -f data/flags; else private write_flags "$@"; fi; }

# --- starting and stopping -----------------------------------------------------------------------------------

log_from=() # for each node, the size of its log before the start

launch() {
  local n=$1 log=data/node-$1.log how=--cluster whom
  if [ "$n" -le "$founders" ]; then
    whom=$(founding_members)
  else
    how=--join
    whom=$(others_of "$n")
  fi
  private touch "$log" "data/node-$n.pid"
  log_from[n]=$(wc -c <"$log")
  flags_for "$n"
  # Starts the node in its own process group, so that Ctrl-C on this script does not end it.
  set -m
  (
    trap '' HUP
    exec "${program[@]}" server --node-id "$n" --bind "$(address "$n")" "$how" "$whom" \
      --data-dir "$(data_directory "$n")" ${node_flags[@]+"${node_flags[@]}"}
  ) </dev/null >>"$log" 2>&1 &
  echo $! >"data/node-$n.pid"
  disown
  set +m
}

log_since_launch() { tail -c +$((log_from[$1] + 1)) "data/node-$1.log"; }

# Prints what a user needs to know about the flags of a node that did not start.
note_on_flags() {
  if [ -n "$has_new_flags" ]; then
    printf '%s' " The flags after -- were not stored."
  elif [ ${#server_flags[@]} -gt 0 ]; then
    printf '%s' " It was started with flags that an earlier start stored: ${server_flags[*]}." \
      " To remove them: ./cluster.sh start $(node_count) --"
  fi
}

# Waits until node $1 logs that it is ready. Its pid is known, but its command line may still be that of this script.
wait_until_ready() {
  local n=$1 pid deadline=$((SECONDS + START_DEADLINE_S))
  read -r pid <"data/node-$n.pid"
  until log_since_launch "$n" | grep -q "$READY_LINE"; do
    if ! kill -0 "$pid" 2>/dev/null; then
      log_since_launch "$n" | tail -n 20 >&2
      rm -f "data/node-$n.pid"
      fail "Node $n did not start; the end of its log is above (data/node-$n.log).$(note_on_flags)"
    fi
    [ "$SECONDS" -lt "$deadline" ] || fail "Node $n is not ready after $START_DEADLINE_S s; see data/node-$n.log."
    sleep $POLL_S
  done
}

# Stops the given nodes at the same time, and prints which of them had to be killed.
stop_nodes() {
  local n pid deadline=$((SECONDS + STOP_DEADLINE_S))
  for n in "$@"; do
    if pid=$(pid_of "$n"); then
      kill -TERM "$pid"
      kill -CONT "$pid" # a paused process handles SIGTERM only after this
    fi
  done
  for n in "$@"; do
    while pid=$(pid_of "$n"); do
      if [ "$SECONDS" -ge "$deadline" ]; then
        say "Node $n did not stop within $STOP_DEADLINE_S s and was killed; see data/node-$n.log." >&2
        kill -KILL "$pid"
        deadline=$((SECONDS + STOP_DEADLINE_S))
      fi
      sleep $POLL_S
    done
    rm -f "data/node-$n.pid"
  done
}

# Fails if another program listens where node $1 will.
require_free_ports() {
  if port_is_taken $((base_port + $1 - 1)); then
    fail "Cannot start node $1: another program listens on $(address "$1"). Stop it, or use other ports:" \
      "KVRAFT_BASE_PORT=$((base_port + 1000)) ./cluster.sh"
  fi
  if serves_denokv && port_is_taken $((denokv_port + $1 - 1)); then
    fail "Cannot start node $1: another program listens on 127.0.0.1:$((denokv_port + $1 - 1)), where it is to serve Deno KV." \
      "Stop it, or use other ports: KVRAFT_DENOKV_PORT=$((denokv_port + 1000)) ./cluster.sh start --denokv"
  fi
  if serves_etcd && port_is_taken $((etcd_port + $1 - 1)); then
    fail "Cannot start node $1: another program listens on 127.0.0.1:$((etcd_port + $1 - 1)), where it is to serve etcd v3." \
      "Stop it, or use other ports: KVRAFT_ETCD_PORT=$((etcd_port + 10000)) ./cluster.sh start --etcd"
  fi
}


start_node() {
  require_free_ports "$1"
  read_flags
  launch "$1"
}

# --- commands ------------------------------------------------------------------------------------------------

start() {
  local wanted= n fresh= tls= denokv= etcd=
  while :; do
    case ${1:-} in
      --tls) tls=yes ;;
      --denokv) denokv=yes ;;
      --etcd) etcd=yes ;;
      *) break ;;
    esac
    shift
  done
  if [ $# -gt 0 ] && [ "$1" != -- ]; then
    wanted=$1
    shift
  fi
  if [ $# -gt 0 ]; then
    [ "$1" = -- ] || misused "Put flags for the servers after --: ./cluster.sh start 3 -- $*"
    has_new_flags=yes
    shift
    check_flags "$@"
  fi
  case $wanted in
    '' | [1-7]) ;;
    *) misused "Cannot start '$wanted' nodes: a cluster has 1 to 7." ;;
  esac
  if [ "$nodes" -gt 0 ] && [ -n "$wanted" ] && [ "$wanted" -ne "$(node_count)" ]; then
    fail "The cluster in ./data has $(node_count) nodes, not $wanted. Start it as it is (./cluster.sh) and use add and" \
      "remove, or remove it first (./cluster.sh clean)."
  fi
  if [ -n "$(running_nodes)" ]; then
    if [ -n "$has_new_flags" ] || { [ -n "$tls" ] && ! has_tls; } || { [ -n "$denokv" ] && ! serves_denokv; } ||
      { [ -n "$etcd" ] && ! serves_etcd; }; then
      fail "The cluster runs already, and servers take flags only when they start: ./cluster.sh stop, then start."
    fi
    say "The cluster runs already."
    status || [ $? -eq $NOT_SIGNED_IN ]
    if serves_denokv; then show_denokv; fi
    if serves_etcd; then show_etcd; fi
    return
  fi
  if [ "$nodes" -eq 0 ]; then
    nodes=${wanted:-3}
    founders=$nodes
    fresh=yes
  fi
  # With another port than at the start before if the caller names one.
  if [ -n "$denokv" ] && { ! serves_denokv || [ -n "${KVRAFT_DENOKV_PORT:-}" ]; }; then choose_denokv_port; fi
  if [ -n "$etcd" ] && { ! serves_etcd || [ -n "${KVRAFT_ETCD_PORT:-}" ]; }; then choose_etcd_port; fi
  for n in $(node_ids); do require_free_ports "$n"; done
  choose_program build
  private mkdir -p data
  if [ -n "$tls" ]; then
    private make_authority
    client_flags=(--tls-ca data/tls/ca.crt)
  fi
  remember_cluster
  if [ -n "$has_new_flags" ]; then server_flags=("$@"); else read_flags; fi
  if [ "$(node_count)" -eq 1 ]; then
    say "Starting one node: $program_name."
  else
    say "Starting $(node_count) nodes: $program_name."
  fi
  say "Data and logs go to ./data."
  for n in $(node_ids); do launch "$n"; done
  for n in $(node_ids); do wait_until_ready "$n"; done
  if [ -n "$has_new_flags" ]; then remember_flags "$@"; fi
  if serves_denokv; then private write_denokv; fi
  if serves_etcd; then private write_etcd; fi
  say
  if [ -n "$fresh" ]; then
    shown put greeting 'hello, world'
  fi
  shown get greeting
  if [ -z "$asks_for_user" ]; then shown status; fi
  if serves_denokv; then show_denokv; fi
  if serves_etcd; then show_etcd; fi
  cat <<'NEXT'
What to try next:
  ./cluster.sh client             open a shell: put, get, list, help
  ./cluster.sh kill 1             kill a node; the others serve clients (then: ./cluster.sh restart 1)
  ./cluster.sh add                add a node; ./cluster.sh remove 4 removes it
  ./cluster.sh demo               kill the leader under load and count lost writes
  ./cluster.sh stop               stop the nodes; their data stays until ./cluster.sh clean
NEXT
}

asks_for_user= # whether a command of `shown` was refused because clients have to sign in

# Prints a client command as a user can type it, and runs it. Exit code 1 (key not found) is not a failure, and neither is
# that clients have to sign in.
shown() {
  local code=0 word typed=
  for word in "$@"; do
    case $word in *[!A-Za-z0-9_./-]*) word="'$word'" ;; esac
    typed="$typed $word"
  done
  say "\$ ./cluster.sh client$typed"
  run_client "$@" || code=$?
  # Without a terminal, a value is printed without a newline.
  if [ "$1" = get ] && [ ! -t 1 ]; then say; fi
  if [ "$code" -eq $NOT_SIGNED_IN ]; then
    asks_for_user=yes
    say_sign_in
    code=0
  fi
  [ "$code" -le 1 ] || fail "The nodes run, but the command failed (exit code $code). See ./cluster.sh logs 1."
  say
}

# Succeeds if the last log line of node $1 says that it was removed.
was_removed() { tail -n 1 "data/node-$1.log" 2>/dev/null | grep -q 'was removed from the cluster'; }

status() {
  local n pid code=0
  require_cluster
  for n in $(node_ids); do
    if pid=$(pid_of "$n"); then
      say "n$n  $(address "$n")  runs, pid $pid"
    elif was_removed "$n"; then
      say "n$n  $(address "$n")  was removed from the cluster; ./cluster.sh remove $n removes it from this list"
    else
      say "n$n  $(address "$n")  is down; start it with ./cluster.sh restart $n"
    fi
  done
  if [ -z "$(running_nodes)" ]; then
    say "Nothing runs. Start all: ./cluster.sh"
    exit 3
  fi
  say
  choose_program
  run_client status || code=$?
  if [ "$code" -eq $NOT_SIGNED_IN ]; then say_sign_in >&2; fi
  return "$code"
}

# Stops the node that was to be added, and removes it with its data: the cluster does not know it.
forget_added() {
  local n=$adding pid= deadline=$((SECONDS + STOP_DEADLINE_S))
  adding=
  # Its command line may still be that of this script. A signal that arrives before that script has started is lost.
  if read -r pid 2>/dev/null <"data/node-$n.pid"; then
    while kill -TERM "$pid" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep $POLL_S; done
  fi
  stop_nodes "$n"
  rm -rf "data/node-$n" "data/node-$n.log"
  nodes=$((n - 1))
  remember_cluster
}

# Starts the next node and makes it a member. If the cluster refuses, or this script ends before it was asked, the node is
# removed again; if only the wait ended (Ctrl-C, --timeout-ms), it stays, because the change continues.
add() {
  local n=$((nodes + 1)) list code=0
  require_cluster
  [ -n "$(running_nodes)" ] || fail "Nothing runs. Start the cluster first: ./cluster.sh"
  [ $((base_port + n - 1)) -le 65535 ] || fail "There is no port left for node $n."
  list=$(members)
  choose_program build
  # Before it runs: `stop` and `status` know it even if this script is killed.
  nodes=$n
  adding=$n
  remember_cluster
  start_node "$n"
  wait_until_ready "$n"
  say "Node $n serves on $(address "$n") ($program_name). Making it a member …"
  adding=
  "${program[@]}" client --cluster "$list" ${client_flags[@]+"${client_flags[@]}"} member add "$n" "$(address "$n")" || code=$?
  case $code in
    1 | 2 | 3 | "$NOT_SIGNED_IN") adding=$n ;; # nothing was changed: the node is removed when this script ends
  esac
  return "$code"
}

remove_node() {
  local members_now
  require_node "$1"
  choose_program
  members_now=$(run_client members) || return $?
  # An `add` that was killed may have left a node that is no member.
  case $'\n'$members_now in
    *$'\n'"n$1 "*) run_client member remove "$1" || return $? ;;
    *) say "Node $1 is no member of the cluster." ;;
  esac
  stop_nodes "$1" # a running node stops once it learns of its removal; a paused one does not
  removed="${removed:+$removed }$1"
  remember_cluster
  say "Its data stays in data/node-$1 until ./cluster.sh clean; its id is not used again."
}

# Also stops nodes that were removed from the cluster and still run.
stop() {
  local n running=
  for ((n = 1; n <= nodes; n++)); do
    if pid_of "$n" >/dev/null; then running="$running $n"; fi
  done
  if [ -z "$running" ]; then
    say "Nothing runs."
    return
  fi
  # shellcheck disable=SC2086 # numbers separated by spaces
  stop_nodes $running
  say "Stopped. The data stays in ./data; ./cluster.sh starts it again."
}

restart() {
  require_node "$@"
  stop_nodes "$1"
  choose_program build
  start_node "$1"
  wait_until_ready "$1"
  say "Node $1 serves on $(address "$1") ($program_name)."
}

# signal_node <n> <signal> <message>
signal_node() {
  local pid
  require_node "$1"
  pid=$(pid_of "$1") || fail "Node $1 does not run."
  kill -"$2" "$pid"
  say "$3"
}

kill_node() {
  local pid
  require_node "${1:-}"
  pid=$(pid_of "$1") || fail "Node $1 does not run."
  signal_node "$1" KILL "Killed node $1. Restart it: ./cluster.sh restart $1"
  while kill -0 "$pid" 2>/dev/null && pid_of "$1" >/dev/null; do sleep $POLL_S; done
  rm -f "data/node-$1.pid"
}

logs() {
  local follow=
  if [ "${1:-}" = -f ]; then
    follow=yes
    shift
  fi
  require_node "${1:-}"
  [ -r "data/node-$1.log" ] || fail "Node $1 has no log yet."
  if [ -n "$follow" ]; then exec tail -n 20 -f "data/node-$1.log"; else cat "data/node-$1.log"; fi
}

demo() {
  local running demonstrated=writes code=0
  case ${1:-} in
    '') ;;
    watch) demonstrated=watches ;;
    *) misused "'demo $1' is not a command of cluster.sh." ;;
  esac
  if has_tls; then fail "The demo connects without TLS, which this cluster needs."; fi
  if [ "$nodes" -ne 0 ] && [ "$(node_count)" -lt 3 ]; then
    fail "The demo kills the leader, so it needs three nodes: ./cluster.sh clean, then ./cluster.sh start 3"
  fi
  if [ -z "$(running_nodes)" ]; then start; fi
  running=$(running_nodes)
  # shellcheck disable=SC2086 # numbers separated by spaces
  set -- $running
  [ $# -eq "$(node_count)" ] || fail "The demo needs all $(node_count) nodes running: see ./cluster.sh status"
  choose_program
  run_client health >/dev/null 2>&1 || code=$?
  [ "$code" -ne $NOT_SIGNED_IN ] ||
    fail "The demo does not sign in, and this cluster asks for a user: see ./cluster.sh client help auth disable"
  find_deno
  release_lock # the demo kills and restarts nodes with this script
  # shellcheck disable=SC2086 # flags separated by spaces
  exec "$deno" run -q --no-prompt --allow-net --allow-run=./cluster.sh $flags "tools/demo/$demonstrated.ts" "$(members)"
}

# Removes data only if no process uses it, not even one of a removed node, or one without a pid file.
clean() {
  local n pid running=
  if [ "$nodes" -eq 0 ]; then
    say "There is no cluster to remove."
    return
  fi
  for ((n = 1; n <= nodes; n++)); do
    if pid=$(pid_of "$n"); then running="$running n$n (pid $pid)"; fi
  done
  if [ -n "$running" ]; then
    fail "Cannot remove the data: it is in use by$running. Stop the cluster first: ./cluster.sh stop"
  fi
  for ((n = 1; n <= nodes; n++)); do rm -rf "data/node-$n" "data/node-$n.log" "data/node-$n.pid"; done
  rm -f data/cluster data/flags data/denokv data/etcd
  rm -rf data/tls
  if [ -d data ]; then rmdir data 2>/dev/null || say "./data holds other files too; they stay."; fi
  say "Removed the cluster and its data."
}

command=${1:-start}
[ $# -eq 0 ] || shift
case $command in
  status | add)
    case ${1:-} in
      --*) add_client_flags "$@" ;;
      *) at_most 0 "$command" "$@" ;;
    esac
    ;;
  remove)
    case ${2:-} in
      --*) add_client_flags "${@:2}" ;;
      *) at_most 1 "$command" "$@" ;;
    esac
    ;;
  stop | clean) at_most 0 "$command" "$@" ;;
  restart | kill | pause | resume | demo) at_most 1 "$command" "$@" ;;
esac
case $command in
  start) start "$@" ;;
  client)
    if [ "$nodes" -eq 0 ]; then
      case " $* " in
        ' help '* | *' --help '*) become_client "$@" ;;
      esac
    fi
    require_cluster
    become_client --cluster "$(members)" ${client_flags[@]+"${client_flags[@]}"} "$@"
    ;;
  status) status ;;
  add) add ;;
  remove) remove_node "${1:-}" ;;
  stop) stop ;;
  restart) restart "$@" ;;
  kill) kill_node "$@" ;;
  pause) signal_node "${1:-}" STOP "Paused node ${1:-}. Resume it: ./cluster.sh resume ${1:-}" ;;
  resume) signal_node "${1:-}" CONT "Resumed node ${1:-}." ;;
  logs) logs "$@" ;;
  demo) demo "$@" ;;
  clean) clean ;;
  help | -h | --help) usage ;;
  *) misused "'$command' is not a command of cluster.sh." ;;
esac
