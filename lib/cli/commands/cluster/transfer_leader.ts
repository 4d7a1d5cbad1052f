/** The command `transfer-leader`. */
import { type Answer, changeAnswer, defineCommand } from "../../command.ts";
import { callOptions, nodeOf } from "../../options.ts";

export const TRANSFER_LEADER = defineCommand({
  name: "transfer-leader",
  otherNames: ["transfer", "failover", "move-leader"],
  arguments: [{ name: "n", required: false, completion: "node" }],
  summary: "transfer leadership to node n, or to the best follower",
  example: ["transfer-leader 3", "ok  leader n3"],
  async run(invocation, context): Promise<Answer> {
    const target = invocation.args.has("n") ? nodeOf(invocation, "n") : null;
    const client = await context.client();
    const leader = await client.cluster.transferLeadership(target, callOptions(invocation, context));
    return changeAnswer({ line: `ok  leader n${leader}`, document: { leader } });
  },
});
