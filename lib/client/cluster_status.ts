/** Asks every node about itself, each directly: what the client thinks of the cluster does not matter here. */
import type { Member } from "../protocol/messages.ts";
import { NetworkError } from "../platform/errors.ts";
import type { CallScope } from "./call_scope.ts";
import type { Caller } from "./caller.ts";
import { KvraftError, TimeoutError } from "./errors.ts";
import type { ConnectionPool } from "./pool.ts";
import { reasonWithin } from "./reason.ts";
import type { ClusterStatus, NodeView } from "./types.ts";

/** How long the nodes are given to answer, unless the caller gives less. */
export const STATUS_TIMEOUT_MS = 2_000;

/** What gathering the status needs. */
interface Tools {
  readonly pool: ConnectionPool;
  readonly caller: Caller;
  readonly scope: CallScope;
}

/** What every member says of itself within the scope's time; a node that can't be reached is said to be so. */
export async function gatherStatus(tools: Tools): Promise<ClusterStatus> {
  const { pool, scope } = tools;
  // An address that does not answer must leave time to ask the others.
  await scope.within(scope.remainingMs / 2).waitFor(pool.identify());
  const nodes = await Promise.all(pool.members.map((member) => viewNode(member, tools)));
  let term = 0;
  let leader: number | null = null;
  for (const node of nodes) {
    if (!node.reachable || node.term < term) continue;
    leader = node.term > term ? node.leader : leader ?? node.leader;
    term = node.term;
  }
  return { leader, term, nodes };
}

async function viewNode({ id, address }: Member, { pool, caller, scope }: Tools): Promise<NodeView> {
  const candidates = pool.addressesOf(id);
  let silence: Silence = { state: "unreachable", reason: "there is no address for it" };
  for (const [position, candidate] of candidates.entries()) {
    const share = scope.within(scope.remainingMs / (candidates.length - position));
    try {
      const { message: { status } } = await caller.runAt(candidate, {
        kind: "read",
        action: `ask the node at ${candidate} for its status`,
        request: { kind: "status" },
        scope: share,
      });
      const { members: _, ...view } = status;
      return { reachable: true, address, ...view };
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      silence = silenceOf(error, share);
    }
  }
  return { reachable: false, address, id, ...silence };
}

/** Why a node that was asked for its status did not give it. */
type Silence = Pick<NodeView & { readonly reachable: false }, "state" | "reason">;

function silenceOf(error: KvraftError, { timeoutMs }: CallScope): Silence {
  if (error instanceof TimeoutError) {
    return { state: "notAnswering", reason: `no answer within ${Math.ceil(timeoutMs)} ms` };
  }
  const isTimedOut = error.cause instanceof NetworkError && error.cause.code === "timedOut";
  return { state: isTimedOut ? "notAnswering" : "unreachable", reason: reasonWithin(error.message) };
}
