/** The commands on the cluster itself: status, members, transfer-leader. */
import type { Answer } from "./answer.ts";
import type { Command } from "./command.ts";
import { callOptions, nodeOf } from "./command_options.ts";
import { memberRows } from "./members.ts";

/** Shows the nodes. */
export const STATUS: Command = {
  name: "status",
  aliases: [],
  isLong: false,
  arguments: [],
  options: [],
  summary: "who leads, and how each node is",
  details: [],
  example: [
    "status",
    "leader n1, term 4",
    "node  address         role      term  commit  applied  version",
    "n1    127.0.0.1:7001  leader    4     1234    1234     0.1.0",
  ],
  async run(call, context): Promise<Answer> {
    const client = await context.client();
    return { kind: "status", status: await client.status(callOptions(call, context)) };
  },
};

/** Names the members. */
export const MEMBERS: Command = {
  name: "members",
  aliases: [],
  isLong: false,
  arguments: [],
  options: [],
  summary: "the nodes of the cluster: role, address, lag, last contact, version",
  details: [
    "Roles: a voter counts; a learner receives everything and has no vote; one that is leaving still counts, until the",
    "change under way is done. Lag is in entries of the leader's log; what nobody could say is shown as ?.",
  ],
  example: [
    "members",
    "node  address         role          lag  last contact  version",
    "n1    127.0.0.1:7001  voter, leads  0    now           0.1.0",
  ],
  async run(call, context): Promise<Answer> {
    const client = await context.client();
    const options = callOptions(call, context);
    const [members, status] = await Promise.all([client.members(options), client.status(options)]);
    return { kind: "members", rows: memberRows(members, status) };
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
      leader: await client.transferLeadership(target, callOptions(call, context)),
    };
  },
};
