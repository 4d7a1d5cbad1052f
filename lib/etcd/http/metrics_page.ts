/**
 * The page `/metrics` of the front end: those of etcd's metrics that mean the same here, for dashboards and alerts that were made
 * for etcd. kvraft's own are on the pages of `--http`.
 */
import type { NodeStatus } from "../../protocol/messages.ts";
import type { ServedNode } from "../context.ts";
import { etcdRevision } from "../revisions.ts";
import { ETCD_VERSION } from "../version.ts";

/** The content type of the page: the text format of Prometheus. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A metric with one value. */
interface PageMetric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  /** As they are written: `{server_version="3.7.0"}`. */
  readonly labels?: string;
  readonly read: (status: NodeStatus) => number;
}

const METRICS: readonly PageMetric[] = [
  {
    name: "etcd_server_has_leader",
    type: "gauge",
    help: "Whether the node knows of a leader.",
    read: ({ leader }) => leader === null ? 0 : 1,
  },
  {
    name: "etcd_server_is_leader",
    type: "gauge",
    help: "Whether the node leads.",
    read: ({ role }) => role === "leader" ? 1 : 0,
  },
  {
    name: "etcd_server_is_learner",
    type: "gauge",
    help: "Whether the node is a learner.",
    read: ({ id, members }) =>
      members.some((member) => member.id === id && member.role === "learner") ? 1 : 0,
  },
  {
    name: "etcd_server_version",
    type: "gauge",
    labels: `{server_version="${ETCD_VERSION}"}`,
    help: "The version of etcd whose protocol the node speaks; it is kvraft.",
    read: () => 1,
  },
  {
    name: "etcd_server_proposals_committed_total",
    type: "gauge",
    help: "Newest log index that is known to be committed.",
    read: ({ commitIndex }) => commitIndex,
  },
  {
    name: "etcd_server_proposals_applied_total",
    type: "gauge",
    help: "Newest log index that is applied.",
    read: ({ appliedIndex }) => appliedIndex,
  },
  {
    name: "etcd_server_quota_backend_bytes",
    type: "gauge",
    help: "Bytes that keys and values may have; 0 without a quota.",
    read: ({ quotaBytes }) => quotaBytes ?? 0,
  },
  {
    name: "etcd_mvcc_db_total_size_in_bytes",
    type: "gauge",
    help: "Bytes of keys and values.",
    read: ({ stateBytes }) => stateBytes,
  },
  {
    name: "etcd_mvcc_db_total_size_in_use_in_bytes",
    type: "gauge",
    help: "Bytes of keys and values.",
    read: ({ stateBytes }) => stateBytes,
  },
  {
    name: "etcd_debugging_mvcc_current_revision",
    type: "gauge",
    help: "The newest revision.",
    read: ({ revision }) => etcdRevision(revision),
  },
  {
    name: "etcd_debugging_mvcc_keys_total",
    type: "gauge",
    help: "Number of keys.",
    read: ({ keys }) => keys,
  },
];

/** Resolves to the page. Rejects with KvraftError if the node does not tell its status. */
export async function metricsText(node: ServedNode): Promise<string> {
  const status = await node.status();
  return METRICS.map(({ name, type, help, labels = "", read }) =>
    `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}${labels} ${read(status)}\n`
  ).join("");
}
