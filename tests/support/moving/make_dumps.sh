#!/usr/bin/env bash
# Makes dumps with the real tools: make_dumps.sh etcd|consul|redis <directory> <port>. Ports from <port> to <port>+5 are used.
# The tools are those on PATH; REDIS_SERVER names another redis-server (or valkey-server).
set -euo pipefail
store=$1 target=$2 port=$3
work=$(mktemp -d)
server=
finish() { [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }; rm -rf "$work"; }
trap finish EXIT
until_ready() { for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; echo "not ready: $*" >&2; exit 1; }
mkdir -p "$target"

make_etcd() {
  local url="http://127.0.0.1:$port" peer="http://127.0.0.1:$((port + 1))"
  etcd --data-dir "$work/etcd" --listen-client-urls "$url" --advertise-client-urls "$url" --listen-peer-urls "$peer" \
    --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" --log-level fatal &
  server=$!
  local ctl=(etcdctl --endpoints "$url")
  until_ready "${ctl[@]}" endpoint health
  "${ctl[@]}" put user:1 ada >/dev/null
  "${ctl[@]}" put user:2 'Grüße, "Welt" {[' >/dev/null
  printf '\x00\xff\x80' | "${ctl[@]}" put bytes >/dev/null
  "${ctl[@]}" put empty '' >/dev/null
  local lease
  lease=$("${ctl[@]}" lease grant 600 | awk '{ print $2 }')
  "${ctl[@]}" put worker here "--lease=$lease" >/dev/null
  "${ctl[@]}" get '' --prefix -w json > "$target/etcd.json"
}

make_consul() {
  consul agent -dev -bind 127.0.0.1 -http-port "$port" -grpc-port -1 -grpc-tls-port -1 -dns-port -1 \
    -serf-lan-port $((port + 1)) -serf-wan-port $((port + 2)) -server-port $((port + 3)) >"$work/log" 2>&1 &
  server=$!
  export CONSUL_HTTP_ADDR=127.0.0.1:$port
  until_ready consul kv put user:1 ada
  consul kv put user:2 'Grüße, "Welt" {[' >/dev/null
  printf '\x00\xff\x80' | consul kv put bytes - >/dev/null
  consul kv put empty >/dev/null
  consul kv put -flags=42 flagged yes >/dev/null
  consul kv export > "$target/consul.json"
}

make_redis() {
  "${REDIS_SERVER:-redis-server}" --port "$port" --bind 127.0.0.1 --dir "$work" --save '' --appendonly yes \
    --auto-aof-rewrite-percentage 0 >"$work/log" 2>&1 &
  server=$!
  local cli=(redis-cli -p "$port")
  until_ready "${cli[@]}" ping
  "${cli[@]}" >/dev/null <<'COMMANDS'
SET user:1 ada
SET user:2 "Gr\xc3\xbc\xc3\x9fe, \"Welt\" {["
SET bytes "\x00\xff\x80"
SET empty ""
MSET int8 -7 int16 3000 int32 -200000 int64 9007199254740993
SET expires soon
PEXPIREAT expires 4102444800000
SETRANGE long 3999 x
LPUSH list a b c
SADD numbers 1 2 3
SADD words a b 3
ZADD scores 1.5 a 2 b
HSET hash field value
XADD stream 1-1 field value
XGROUP CREATE stream group 0
XREADGROUP GROUP group consumer STREAMS stream >
PFADD counted a b c
SELECT 3
SET elsewhere 3
SELECT 0
COMMANDS
  "${cli[@]}" config set list-max-ziplist-size 2 hash-max-ziplist-entries 1 zset-max-ziplist-entries 1 >/dev/null || true
  "${cli[@]}" rpush manylist 1 2 3 4 5 >/dev/null
  "${cli[@]}" hset manyhash a 1 b 2 c 3 >/dev/null
  "${cli[@]}" zadd manyscores 1 a 2 b 3.25 c >/dev/null
  "${cli[@]}" --rdb "$target/dump.rdb" >/dev/null 2>&1
  # What such a hash is, a replica with an older format, as redis-cli is one, could not be sent.
  "${cli[@]}" hset expiring field value other value >/dev/null
  "${cli[@]}" hpexpire expiring 1000000000000 FIELDS 1 field >/dev/null || true
  until_ready bash -c "redis-cli -p $port save | grep -q OK"
  cp "$work/dump.rdb" "$target/saved.rdb"
  "${cli[@]}" bgrewriteaof >/dev/null
  until_ready bash -c "redis-cli -p $port info persistence | grep -q aof_rewrite_in_progress:0 && redis-cli -p $port info persistence | grep -q aof_rewrite_scheduled:0"
  "${cli[@]}" >/dev/null <<'COMMANDS'
SETEX later 1000000000 value
DEL user:1
INCRBY int8 10
APPEND user:2 }
RENAME int16 renamed
MULTI
SET first 1
SET second 2
EXEC
LPUSH list d
SET numbers string
COMMANDS
  "${cli[@]}" config set appendfsync always >/dev/null
  "${cli[@]}" set last 1 >/dev/null
  if [ -d "$work/appendonlydir" ]; then
    (cd "$work/appendonlydir" && awk '$6 != "h" { print $2 }' appendonly.aof.manifest | xargs cat) > "$target/parts.aof"
  else
    cp "$work/appendonly.aof" "$target/parts.aof"
  fi
}

make_"$store"
