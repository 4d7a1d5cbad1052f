/**
 * The client library of kvraft, a linearizable key-value store. It runs in Deno, Node and Bun; a program begins with
 * {@link KvClient.connect}. Several keys are read and changed in one step by {@link KvClient.transaction}; docs/transactions.md
 * in the repository describes transactions.
 *
 * @example
 * ```ts
 * import { KvClient } from "@kvraft/kvraft";
 *
 * export async function greet(): Promise<void> {
 *   await using client = await KvClient.connect({ cluster: ["127.0.0.1:7001", "127.0.0.1:7002"] });
 *   await client.put("greeting", "hello");
 * }
 * ```
 *
 * @module
 */
export { KvClient } from "./client/client.ts";
export type { AuthClient } from "./client/auth/auth_client.ts";
export type * from "./client/auth/types.ts";
export type { ClusterClient } from "./client/cluster.ts";
export type { KeyspaceClient } from "./client/keyspace_client.ts";
export type { LeaseClient } from "./client/leases/lease_client.ts";
export type * from "./client/leases/types.ts";
export type * from "./client/locks/types.ts";
export { counterBytes, counterValue } from "./client/transaction/counter.ts";
export * from "./client/errors.ts";
export type * from "./client/transaction/types.ts";
export type * from "./client/types.ts";
export type * from "./client/watch/types.ts";
export type { Grant, GrantedKeys } from "./kv/auth/auth_command.ts";
export type { Attachment, KeyValue, KeyVersion } from "./kv/command.ts";
export type * from "./protocol/diagnostics/report.ts";
export type {
  Credential,
  DiskState,
  Member,
  MemberRole,
  MembershipChange,
  MemberUrl,
  NodeStatus,
  Outcome,
  PeerAuthenticatedBy,
  PeerLink,
  PeerStatus,
} from "./protocol/messages.ts";
