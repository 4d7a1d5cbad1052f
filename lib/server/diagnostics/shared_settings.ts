/** The settings that all nodes of a cluster should have alike: which of them applies follows from who leads or answers. */
import type { NodeSetting } from "../../protocol/diagnostics/report.ts";
import type { ServerConfig } from "../config/config.ts";

/** Returns them by the names of their flags, sorted. Of secrets it says whether they are there. */
export function sharedSettings(config: ServerConfig): readonly NodeSetting[] {
  const hasTls = config.tlsCert !== null;
  const settings: Readonly<Record<string, string | number>> = {
    "audit-log": config.auditLog,
    "denokv": config.denokv === null ? "none" : "served",
    "election-timeout-ms": config.electionTimeoutMs,
    "etcd": config.etcd === null ? "none" : "served",
    "heartbeat-ms": config.heartbeatMs,
    "history-bytes": config.historyBytes,
    "history-seconds": config.historySeconds ?? 0,
    "max-value-bytes": config.maxValueBytes,
    "peer-auth": config.peerSecretFile === null ? "none" : config.peerAuth,
    "peer-secret-file": config.peerSecretFile === null ? "none" : "given",
    "quota-bytes": config.quotaBytes ?? 0,
    "read-mode": config.readMode,
    "snapshot-log-bytes": config.snapshotLogBytes,
    "tls-cert": hasTls ? "given" : "none",
    "tls-client-auth": hasTls ? config.tlsClientAuth : "none",
    "tls-min-version": hasTls ? config.tlsMinVersion : "none",
  };
  return Object.entries(settings).map(([name, value]) => ({ name, value: String(value) }));
}
