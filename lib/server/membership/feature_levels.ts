/**
 * The feature levels that the members' versions know, and the refusal of requests that need a higher level than the state has.
 *
 * A new cluster has the first level until every member has reported to its leader that it knows a higher one, a moment after
 * it begins to serve. So a request is refused for good only while a member is known to be of an older version; else its client
 * tries again.
 */
import { FEATURE_LEVEL } from "../../kv/mod.ts";
import { assertNever } from "../../platform/assert.ts";
import type { Configuration, NodeId, Raft } from "../../raft/mod.ts";
import { type ErrorAnswer, notApplied } from "../reply.ts";

/** Maximum number of nodes whose levels are kept: more than a cluster has members. The oldest is removed. */
const MAX_NODES = 64;
/** The version that knows {@link FEATURE_LEVEL}. */
const NEEDED = "kvraft 0.2 or later";

/** A part of the store that needs a higher feature level than the first. */
export type Feature = "history" | "leases" | "users" | "databases" | "branches";

/** The dependencies of {@link FeatureLevels}. */
export interface FeatureLevelsOptions {
  readonly self: NodeId;
  readonly raft: Pick<Raft, "configuration" | "isLeader">;
  /** Says whether messages can be sent to a node. */
  readonly peers: { readonly isConnected: (node: NodeId) => boolean };
}

/** The highest feature levels that nodes know, as they have reported to this one. */
export class FeatureLevels {
  readonly #options: FeatureLevelsOptions;
  readonly #known = new Map<NodeId, number>();

  constructor(options: FeatureLevelsOptions) {
    this.#options = options;
  }

  /** Notes the highest level that another node knows: it has called. */
  seen(node: NodeId, level: number): void {
    this.#known.delete(node);
    this.#known.set(node, level);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_NODES && oldest !== undefined) this.#known.delete(oldest);
  }

  /**
   * Whether every member is connected and knows this version's level: from the entry that raises it on, a node that does not
   * know the level would apply the log differently.
   */
  isKnownToAll({ members }: Configuration): boolean {
    return members.every(({ id }) => (this.#levelOf(id) ?? 0) >= FEATURE_LEVEL && this.#isConnected(id));
  }

  /** Returns the refusal of a request for a feature that the state does not have at its present level. */
  refusalOf(feature: Feature): ErrorAnswer {
    const { raft: { configuration: { members }, isLeader } } = this.#options;
    const ids = members.map(({ id }) => id);
    if (ids.some((id) => (this.#levelOf(id) ?? FEATURE_LEVEL) < FEATURE_LEVEL)) {
      return notApplied(
        "invalidRequest",
        `${actionOf(feature)}: every node of the cluster must run ${NEEDED}.`,
      );
    }
    const unreported = ids.filter((id) => this.#levelOf(id) === null);
    if (unreported.length > 0) {
      const verbs = unreported.length === 1
        ? "has not reported yet that it runs"
        : "have not reported yet that they run";
      return notYet(feature, `${named(unreported)} ${verbs} ${NEEDED}`);
    }
    const away = isLeader ? ids.filter((id) => !this.#isConnected(id)) : [];
    return notYet(
      feature,
      away.length > 0
        ? `this leader is not connected to ${named(away)}, and every node must run ${NEEDED}`
        : "the leader has not raised the feature level of the cluster yet",
    );
  }

  #levelOf(node: NodeId): number | null {
    return node === this.#options.self ? FEATURE_LEVEL : this.#known.get(node) ?? null;
  }

  #isConnected(node: NodeId): boolean {
    return node === this.#options.self || this.#options.peers.isConnected(node);
  }
}

/** Returns a refusal after which clients try again until their deadline. */
function notYet(feature: Feature, reason: string): ErrorAnswer {
  return notApplied("noLeader", `${actionOf(feature)}: ${reason}. Try again.`);
}

function actionOf(feature: Feature): string {
  switch (feature) {
    case "history":
      return "Cannot use the history";
    case "leases":
      return "Cannot use leases or expiring keys";
    case "users":
      return "Cannot change users";
    case "databases":
      return "Cannot use databases";
    case "branches":
      return "Cannot apply a transaction with branches";
    default:
      return assertNever(feature);
  }
}

/** Returns `node 3`, `nodes 2 and 3` or `nodes 2, 3 and 4`. */
function named(ids: readonly NodeId[]): string {
  const [last] = ids.slice(-1);
  if (ids.length < 2) return `node ${last}`;
  return `nodes ${ids.slice(0, -1).join(", ")} and ${last}`;
}
