/**
 * The table of all metrics: name, meaning and source. `/metrics` and docs/metrics.md are made from it (metrics_text.ts).
 *
 * Names follow the conventions of Prometheus: base units, `_total` for counters.
 */
import {
  counter,
  counts,
  gauge,
  grouped,
  histogram,
  type Metric,
  one,
  oneOf,
  sample,
  seconds,
  SECONDS_PER_MICRO,
} from "./metric.ts";
import { PEER_AUTHENTICATIONS } from "../../protocol/messages.ts";
import { DENOKV } from "./denokv_metrics.ts";
import { ETCD } from "./etcd_metrics.ts";
import { REQUESTS } from "./request_metrics.ts";
import { AUTHENTICATION } from "./security_metrics.ts";
import { SNAPSHOTS } from "./snapshot_metrics.ts";

const ROLES = ["follower", "preCandidate", "candidate", "leader"];
const PEER_STATES = ["probe", "replicate", "snapshot"];
const MEMBER_ROLES = ["voter", "learner", "leaving"];

const NODE: readonly Metric[] = [
  gauge("kvraft_info", {
    unit: "",
    labels: ["node", "cluster", "version"],
    help: "Always 1; the labels name the node.",
    measured: "lib/server/server.ts",
    read: ({ status: { id, version }, clusterId }) => [
      { labels: { node: id, cluster: clusterId, version }, value: 1 },
    ],
  }),
  gauge("kvraft_role", {
    unit: "",
    labels: ["role"],
    help: "1 for the role of the node in its term, 0 for the others.",
    measured: "lib/raft/status.ts",
    read: ({ status }) => oneOf("role", ROLES, status.role),
  }),
  gauge("kvraft_term", {
    unit: "",
    help: "The newest term that the node knows.",
    measured: "lib/raft/status.ts",
    read: ({ status }) => one(status.term),
  }),
  gauge("kvraft_leader", {
    unit: "node id",
    help: "The leader that the node knows; 0 when it knows none.",
    measured: "lib/raft/status.ts",
    read: ({ status }) => one(status.leader ?? 0),
  }),
  counter("kvraft_leader_changes_total", {
    unit: "leaders",
    help: "Changes of leader that the node has seen.",
    measured: "lib/server/leadership.ts",
    read: ({ metrics }) => one(metrics.leaderChanges),
  }),
  gauge("kvraft_lease", {
    unit: "",
    help: "1 while the node answers linearizable reads under a lease: a leader, with --read-mode lease.",
    measured: "lib/raft/lease.ts",
    read: ({ condition }) => one(condition.holdsLease ? 1 : 0),
  }),
  gauge("kvraft_members", {
    unit: "nodes",
    labels: ["role"],
    help: "Members of the newest committed configuration.",
    measured: "lib/raft/configuration_history.ts",
    read: ({ status: { members } }) =>
      MEMBER_ROLES.map((role) => (
        { labels: { role }, value: members.filter((member) => member.role === role).length }
      )),
  }),
];

const LOG: readonly Metric[] = [
  gauge("kvraft_commit_index", {
    unit: "log index",
    help: "Newest log index that the node knows to be committed.",
    measured: "lib/raft/status.ts",
    read: ({ status }) => one(status.commitIndex),
  }),
  gauge("kvraft_applied_index", {
    unit: "log index",
    help: "Newest log index that the node's store contains.",
    measured: "lib/kv/state_machine.ts",
    read: ({ status }) => one(status.appliedIndex),
  }),
  gauge("kvraft_commit_lag_entries", {
    unit: "entries",
    help: "Entries in the log that are not known to be committed.",
    measured: "lib/raft/status.ts",
    read: ({ status: { lastLogIndex, commitIndex } }) => one(Math.max(0, lastLogIndex - commitIndex)),
  }),
  gauge("kvraft_apply_lag_entries", {
    unit: "entries",
    help: "Entries that are committed and not applied yet.",
    measured: "lib/raft/status.ts",
    read: ({ status: { commitIndex, appliedIndex } }) => one(Math.max(0, commitIndex - appliedIndex)),
  }),
  counter("kvraft_proposals_total", {
    unit: "writes",
    labels: ["outcome"],
    help: "Writes that reached the leader's log, or were refused before it.",
    measured: "lib/server/writes.ts",
    read: ({ metrics }) => counts("outcome", metrics.proposals),
  }),
  gauge("kvraft_waiting_writes", {
    unit: "writes",
    help: "Writes that were proposed and are not applied yet.",
    measured: "lib/server/replica.ts",
    read: ({ condition }) => one(condition.waitingWrites),
  }),
  histogram("kvraft_batch_entries", {
    unit: "entries",
    help: "Entries of each write to the log.",
    measured: "lib/server/driver.ts",
    read: ({ metrics }) => [{ labels: {}, histogram: metrics.batchEntries, scale: 1 }],
  }),
  histogram("kvraft_sync_seconds", {
    unit: "seconds",
    help: "Time that each sync of the log took.",
    measured: "lib/server/driver.ts",
    read: ({ metrics }) => [{ labels: {}, histogram: metrics.syncMicros, scale: SECONDS_PER_MICRO }],
  }),
  gauge("kvraft_log_bytes", {
    unit: "bytes",
    help: "Size of the log, without what is preallocated.",
    measured: "lib/storage/wal/log_state.ts",
    read: ({ condition }) => one(condition.logBytes),
  }),
  gauge("kvraft_disk_full", {
    unit: "",
    help: "1 while the last write to the log failed because the disk was full.",
    measured: "lib/server/driver.ts",
    read: ({ condition }) => one(condition.isDiskFull ? 1 : 0),
  }),
  gauge("kvraft_disk_nearly_full", {
    unit: "",
    help:
      "1 while the disk has no space for another file: snapshots fail, and writes that add data are refused once the log has " +
      "used the space that it has reserved.",
    measured: "lib/server/disk_space_monitor.ts",
    read: ({ condition }) => one(condition.isDiskNearlyFull ? 1 : 0),
  }),
];

const PEERS: readonly Metric[] = [
  gauge("kvraft_peer_connected", {
    unit: "",
    labels: ["peer"],
    help: "1 while both of the node's connections to another are up.",
    measured: "lib/transport/peers.ts",
    read: ({ links }) => links.map(({ id, isConnected }) => sample({ peer: id }, isConnected ? 1 : 0)),
  }),
  gauge("kvraft_peer_authenticated", {
    unit: "",
    labels: ["peer", "by"],
    help: "1 for how the connections between the node and another are authenticated, the least of them.",
    measured: "lib/transport/peers.ts",
    read: ({ links }) =>
      links.flatMap(({ id, authenticatedBy }) =>
        authenticatedBy === null ? [] : oneOf("by", PEER_AUTHENTICATIONS, authenticatedBy, { peer: id })
      ),
  }),
  counter("kvraft_peer_proofs_failed_total", {
    unit: "connections",
    labels: ["reason"],
    help:
      "With a peer secret: connections of nodes that did not prove that they know it, or were dialled and did not.",
    measured: "lib/transport/handshake/peer_authentication.ts",
    read: ({ connections: { failedProofs } }) => counts("reason", { ...failedProofs }),
  }),
  gauge("kvraft_peer_round_trip_seconds", {
    unit: "seconds",
    labels: ["peer"],
    help: "Round-trip time of the last ping, both event loops included.",
    measured: "lib/transport/outbound_lane.ts",
    read: ({ links }) =>
      links.flatMap(({ id, roundTripMs }) =>
        roundTripMs === null ? [] : [sample({ peer: id }, seconds(roundTripMs))]
      ),
  }),
  gauge("kvraft_peer_lag_entries", {
    unit: "entries",
    labels: ["peer"],
    help: "Of a leader: entries of its log that another node is not known to have.",
    measured: "lib/raft/progress.ts",
    read: ({ status: { peers, lastLogIndex } }) =>
      peers.map(({ id, matchIndex }) => sample({ peer: id }, Math.max(0, lastLogIndex - matchIndex))),
  }),
  gauge("kvraft_peer_last_contact_seconds", {
    unit: "seconds",
    labels: ["peer"],
    help: "Of a leader: time since the last message of another node, in ticks of the core.",
    measured: "lib/raft/progress.ts",
    read: ({ status: { peers } }) =>
      peers.flatMap(({ id, lastContactMs }) =>
        lastContactMs === null ? [] : [sample({ peer: id }, seconds(lastContactMs))]
      ),
  }),
  gauge("kvraft_peer_state", {
    unit: "",
    labels: ["peer", "state"],
    help:
      "Of a leader: 1 for how it replicates to another node (probing for the end of its log, entries, a snapshot).",
    measured: "lib/raft/progress.ts",
    read: ({ status: { peers } }) =>
      peers.flatMap(({ id, state }) => oneOf("state", PEER_STATES, state, { peer: id })),
  }),
  gauge("kvraft_peer_disk_full", {
    unit: "",
    labels: ["peer"],
    help: "Of a leader: 1 while another node reports that its disk has no space for more of the log.",
    measured: "lib/raft/progress.ts",
    read: ({ status: { peers } }) =>
      peers.flatMap(({ id, hasDiskSpace }) =>
        hasDiskSpace === null ? [] : [sample({ peer: id }, hasDiskSpace ? 0 : 1)]
      ),
  }),
  gauge("kvraft_peer_snapshot_sent_bytes", {
    unit: "bytes",
    labels: ["peer"],
    help: "Of a leader: bytes that another node has of the snapshot that it is being sent.",
    measured: "lib/server/snapshot/sender.ts",
    read: ({ status: { peers } }) =>
      peers.map(({ id, snapshotSentBytes }) => sample({ peer: id }, snapshotSentBytes)),
  }),
  gauge("kvraft_peer_snapshot_bytes", {
    unit: "bytes",
    labels: ["peer"],
    help: "Of a leader: size of that snapshot; 0 while there is none.",
    measured: "lib/server/snapshot/sender.ts",
    read: ({ status: { peers } }) =>
      peers.map(({ id, snapshotTotalBytes }) => sample({ peer: id }, snapshotTotalBytes)),
  }),
];

const CONNECTIONS: readonly Metric[] = [
  gauge("kvraft_connections", {
    unit: "connections",
    labels: ["role"],
    help: "Accepted connections: of clients, of other nodes, and those before their hello.",
    measured: "lib/transport/listener.ts",
    read: ({ connections: { clients, peerLanes, pending } }) =>
      counts("role", { client: clients, peer: peerLanes, new: pending }),
  }),
  counter("kvraft_connections_accepted_total", {
    unit: "connections",
    help: "Connections that were accepted.",
    measured: "lib/transport/listener.ts",
    read: ({ connections }) => one(connections.accepted),
  }),
  counter("kvraft_connections_refused_total", {
    unit: "connections",
    help: "Connections that were refused after their hello.",
    measured: "lib/transport/listener.ts",
    read: ({ connections }) => one(connections.refused),
  }),
  counter("kvraft_connections_overloaded_total", {
    unit: "connections",
    help: "Connections that were closed because slow clients held too many bytes, and these held the most.",
    measured: "lib/transport/waiting_memory.ts",
    read: ({ connections }) => one(connections.overloaded),
  }),
  gauge("kvraft_waiting_bytes", {
    unit: "bytes",
    help: "Bytes that wait for slow connections: answers that are not sent, incomplete frames, " +
      "requests whose answers are not received. At most 256 MiB.",
    measured: "lib/transport/waiting_memory.ts",
    read: ({ connections }) => one(connections.waitingBytes),
  }),
  counter("kvraft_network_bytes_total", {
    unit: "bytes",
    labels: ["role", "direction"],
    help: "Bytes received and sent after the hello, of clients and of other nodes.",
    measured: "lib/transport/frame_reader.ts",
    read: ({ metrics: { clientTraffic, peerTraffic } }) => [
      sample({ role: "client", direction: "in" }, clientTraffic.bytesIn),
      sample({ role: "client", direction: "out" }, clientTraffic.bytesOut),
      sample({ role: "peer", direction: "in" }, peerTraffic.bytesIn),
      sample({ role: "peer", direction: "out" }, peerTraffic.bytesOut),
    ],
  }),
];

const STORE: readonly Metric[] = [
  gauge("kvraft_keys", {
    unit: "keys",
    help: "Keys in the store.",
    measured: "lib/kv/state_machine.ts",
    read: ({ status }) => one(status.keys),
  }),
  gauge("kvraft_state_bytes", {
    unit: "bytes",
    help: "Bytes of all keys and values.",
    measured: "lib/kv/state_machine.ts",
    read: ({ status }) => one(status.stateBytes),
  }),
  gauge("kvraft_quota_bytes", {
    unit: "bytes",
    help: "--quota-bytes, which bounds kvraft_state_bytes; 0 without a quota.",
    measured: "lib/server/node_status.ts",
    read: ({ status }) => one(status.quotaBytes ?? 0),
  }),
  gauge("kvraft_sessions", {
    unit: "sessions",
    help: "Client sessions in the store.",
    measured: "lib/kv/state_machine.ts",
    read: ({ status }) => one(status.sessions),
  }),
  gauge("kvraft_revision", {
    unit: "writes",
    help: "The store's revision: number of applied writes.",
    measured: "lib/kv/state_machine.ts",
    read: ({ status }) => one(status.revision),
  }),
  gauge("kvraft_leases", {
    unit: "leases",
    help: "Leases that exist.",
    measured: "lib/kv/leases/leases.ts",
    read: ({ condition }) => one(condition.leases),
  }),
  counter("kvraft_leases_ended_total", {
    unit: "leases",
    help:
      "Leases that ended because their time was over, in the entries that the node has applied since its start.",
    measured: "lib/server/replica.ts",
    read: ({ condition }) => one(condition.endedLeases),
  }),
  counter("kvraft_lease_keep_alives_total", {
    unit: "leases",
    help: "Leases that the node has kept alive for its clients, each time.",
    measured: "lib/server/leases/keep_alives.ts",
    read: ({ metrics }) => one(metrics.keepAlives),
  }),
  gauge("kvraft_history_bytes", {
    unit: "bytes",
    help: "Bytes of earlier versions of keys; --history-bytes bounds them.",
    measured: "lib/kv/pages/store_reader.ts",
    read: ({ condition }) => one(condition.historyBytes),
  }),
  gauge("kvraft_compacted_revision", {
    unit: "writes",
    help: "The revision from which on earlier versions of keys are kept.",
    measured: "lib/kv/pages/paged_store.ts",
    read: ({ condition }) => one(condition.compactedRevision),
  }),
  gauge("kvraft_watches", {
    unit: "watches",
    help: "Watches of the node's clients.",
    measured: "lib/server/watch/watch_hub.ts",
    read: ({ condition }) => one(condition.watches.watches),
  }),
  gauge("kvraft_watches_behind", {
    unit: "watches",
    help: "Watches that have events in the history that they were not sent yet.",
    measured: "lib/server/watch/watch_hub.ts",
    read: ({ condition }) => one(condition.watches.behind),
  }),
  counter("kvraft_watch_events_total", {
    unit: "events",
    help: "Events that watches were sent; one event counts for each of them.",
    measured: "lib/server/watch/watch_hub.ts",
    read: ({ condition }) => one(condition.watches.sentEvents),
  }),
];

const PROCESS: readonly Metric[] = [
  histogram("kvraft_event_loop_delay_seconds", {
    unit: "seconds",
    help: "Delay of the timer that ticks twice in each --heartbeat-ms.",
    measured: "lib/server/driver.ts",
    read: ({ metrics }) => [{ labels: {}, histogram: metrics.loopMicros, scale: SECONDS_PER_MICRO }],
  }),
  gauge("kvraft_uptime_seconds", {
    unit: "seconds",
    help: "Time since the process began.",
    measured: "lib/server/metrics/monitor.ts",
    read: ({ uptimeMs }) => one(seconds(uptimeMs)),
  }),
  gauge("kvraft_memory_bytes", {
    unit: "bytes",
    labels: ["area"],
    help: "Memory of JavaScript: the heap in use, the whole heap, and buffers outside of it.",
    measured: "lib/server/startup/deno_platform.ts",
    read: ({ resources: { heapUsedBytes, heapTotalBytes, externalBytes } }) =>
      counts("area", { heapUsed: heapUsedBytes, heapTotal: heapTotalBytes, external: externalBytes }),
  }),
  gauge("process_resident_memory_bytes", {
    unit: "bytes",
    help: "Resident memory of the process.",
    measured: "lib/server/startup/deno_platform.ts",
    read: ({ resources }) => one(resources.residentBytes),
  }),
  counter("process_cpu_seconds_total", {
    unit: "seconds",
    help: "CPU time of the process.",
    measured: "lib/server/startup/deno_platform.ts",
    read: ({ resources }) => one(seconds(resources.cpuMs)),
  }),
];

/** All metrics, in the order in which they are shown. */
export const METRICS: readonly Metric[] = [
  ...grouped("Node", NODE),
  ...grouped("Log", LOG),
  ...grouped("Other nodes", PEERS),
  ...grouped("Requests", REQUESTS),
  ...grouped("Connections", CONNECTIONS),
  ...grouped("Authentication", AUTHENTICATION),
  ...grouped("Deno KV", DENOKV),
  ...grouped("etcd v3", ETCD),
  ...grouped("Store and snapshots", [...STORE, ...SNAPSHOTS]),
  ...grouped("Process", PROCESS),
];
