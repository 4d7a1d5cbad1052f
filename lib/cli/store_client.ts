/** What the command line needs of a client, so that a test can bring its own. */
import type { KvClient } from "../client/client.ts";

/** The part of {@link KvClient} that commands call. */
export type StoreClient = Pick<
  KvClient,
  | "put"
  | "get"
  | "delete"
  | "list"
  | "compareAndSet"
  | "transaction"
  | "status"
  | "members"
  | "transferLeadership"
  | "changeMembership"
  | "takeSnapshot"
  | "openSnapshot"
  | "connectionState"
  | "onStateChange"
  | "close"
>;
