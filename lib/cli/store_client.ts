/** What the command line needs of a client, so that a test can bring its own. */
import type { KvClient } from "../client/client.ts";
import type { ClusterClient } from "../client/cluster.ts";

/** The part of {@link KvClient} that commands call. */
export interface StoreClient extends
  Pick<
    KvClient,
    | "put"
    | "get"
    | "delete"
    | "list"
    | "compareAndSet"
    | "transaction"
    | "connectionState"
    | "onStateChange"
    | "close"
  > {
  readonly cluster: Pick<
    ClusterClient,
    "status" | "members" | "transferLeadership" | "changeMembership" | "takeSnapshot" | "openSnapshot"
  >;
}
