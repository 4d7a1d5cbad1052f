/** The commands on the cluster itself: status, members, health, transfer-leader. */
import { memberRows } from "./members.ts";
import { AbortError, KvraftError } from "../../client/errors.ts";
import { reasonWithin } from "../../client/retry.ts";
import type { Answer } from "../answer.ts";
import { callOptions, type Command, nodeOf } from "../command.ts";

/** Shows the nodes. */
export const STATUS: Command = {
  name: "status",
  aliases: [],
  isLong: false,
  arguments: [],
  options: [],
  summary: "who leads, and how each node is",
  details: [
    "Asks each node itself. unreachable: no connection to it could be had; not answering: nothing came from it in time,",
    "as when its process or machine is stopped. Ends with 3 when there is no leader.",
  ],
  example: [
    "status",
    "leader n1, term 4",
    "node  address         role      term  commit  applied  version",
    "n1    127.0.0.1:7001  leader    4     1234    1234     0.1.0",
  ],
  async run(call, context): Promise<Answer> {
    const client = await context.client();
    return { kind: "status", status: await client.cluster.status(callOptions(call, context)) };
  },
};

/** Names the members. */
export const MEMBERS: Command = {
  name: "members",
  aliases: [],
  isLong: false,
  arguments: [],
  options: [],
  summary: "the nodes of the cluster: role, address, state, lag, last contact, version",
  details: [
    "Roles: a voter counts; a learner receives everything and has no vote; one that is leaving still counts, until the",
    "change under way is done. State is as status tells it, seen from here. Lag and last contact are what the leader",
    "says, in entries of its log; none yet: it has not heard from the node since it was elected. ? is not known.",
  ],
  example: [
    "members",
    "node  address         role          state  lag  last contact  version",
    "n1    127.0.0.1:7001  voter, leads  up     0    now           0.1.0",
  ],
  async run(call, context): Promise<Answer> {
    const client = await context.client();
    const options = callOptions(call, context);
    const [members, status] = await Promise.all([
      client.cluster.members(options),
      client.cluster.status(options),
    ]);
    return { kind: "members", rows: memberRows(members, status) };
  },
};

/** The key that is read: whether it exists does not matter. */
const HEALTH_KEY = "kvraft/health";

/** Says whether the cluster serves. */
export const HEALTH: Command = {
  name: "health",
  aliases: [],
  isLong: false,
  arguments: [],
  options: [],
  summary: "whether the cluster serves: ends with 0 only if a linearizable read works",
  details: [
    "For containers and scripts. Reads one key, which need not exist, from the leader or through any node that passes it",
    "on, within --timeout-ms, connecting included. Ends with 3 when that does not work, and says why.",
  ],
  example: ["health --timeout-ms 1000", "healthy: a linearizable read took 1.2 ms"],
  async run(call, context): Promise<Answer> {
    const { clock } = context.system;
    let startedAt = clock.now();
    try {
      const client = await context.client();
      startedAt = clock.now();
      await client.get(HEALTH_KEY, callOptions(call, context));
      return { kind: "health", health: { isHealthy: true, elapsedMs: clock.now() - startedAt } };
    } catch (error) {
      if (!(error instanceof KvraftError) || error instanceof AbortError) throw error;
      const { code, message } = error;
      const elapsedMs = clock.now() - startedAt;
      return { kind: "health", health: { isHealthy: false, elapsedMs, code, reason: reasonWithin(message) } };
    }
  },
};

/** Moves leadership. */
export const TRANSFER_LEADER: Command = {
  name: "transfer-leader",
  aliases: [],
  isLong: false,
  arguments: [{ name: "n", required: false, isKey: false, isNode: true, replacedBy: null }],
  options: [],
  summary: "have the leader hand over to node n, or to the best follower",
  details: [],
  example: ["transfer-leader 3", "leader n3"],
  async run(call, context): Promise<Answer> {
    const target = call.args.has("n") ? nodeOf(call, "n") : null;
    const client = await context.client();
    return {
      kind: "transferLeader",
      leader: await client.cluster.transferLeadership(target, callOptions(call, context)),
    };
  },
};
