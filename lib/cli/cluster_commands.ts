/** The commands on the cluster itself: status, members, transfer-leader. */
import type { Answer } from "./answer.ts";
import { integerOfText } from "./arguments.ts";
import type { Command } from "./command.ts";
import { callOptions } from "./command_options.ts";

/** Shows the nodes. */
export const STATUS: Command = {
  name: "status",
  aliases: [],
  isLong: false,
  arguments: [],
  options: [],
  summary: "who leads, and how each node is",
  details: [],
  example: ["status"],
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
  summary: "the nodes of the cluster and their addresses",
  details: [],
  example: ["members", "1=127.0.0.1:7001"],
  async run(call, context): Promise<Answer> {
    const client = await context.client();
    return { kind: "members", members: await client.members(callOptions(call, context)) };
  },
};

/** Moves leadership. */
export const TRANSFER_LEADER: Command = {
  name: "transfer-leader",
  aliases: [],
  isLong: false,
  arguments: [{ name: "n", required: false, isKey: false, replacedBy: null }],
  options: [],
  summary: "have the leader hand over to node n, or to the best follower",
  details: [],
  example: ["transfer-leader 3", "leader n3"],
  async run(call, context): Promise<Answer> {
    const id = call.args.get("n")?.text.replace(/^n(?=\d)/, "");
    const range = { name: "<n>", min: 1, max: Number.MAX_SAFE_INTEGER };
    const target = id === undefined ? null : integerOfText(id, range);
    const client = await context.client();
    return {
      kind: "transferLeader",
      leader: await client.transferLeadership(target, callOptions(call, context)),
    };
  },
};
