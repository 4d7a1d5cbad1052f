/** The command `lock`: holds a lock of the cluster. */
import { type Answer, defineCommand } from "../../command.ts";
import { escapeText } from "../../text.ts";
import { endedByUser, hold, HOLD_OPTIONS, holdTimesOf, nameOf } from "./hold.ts";

export const LOCK = defineCommand({
  name: "lock",
  otherNames: ["mutex", "acquire", "flock", "unlock"],
  isLong: true,
  arguments: [{ name: "name", required: true }],
  options: HOLD_OPTIONS,
  summary: "wait for a lock, and hold it until Ctrl-C or the end of input",
  details: [
    "Clients that wait get it in the order in which they began to. When it is held, a line says so, with its fencing",
    "token: a number that grows from holder to holder. Pass it on with what you do under the lock, so that a resource",
    "can refuse the token of an earlier holder. The lock is a key <name>/…, attached to a lease; this client keeps it",
    "alive. Ends with 0 when the lock was released; with 1 when it was lost (another client may hold it then), or not",
    "held in the time of --wait. In scripts, keep standard input open: at its end the lock is released.",
  ],
  example: ["lock nightly", "ok  locked, fencing token 21, key nightly/0006e69b6ce0c5"],
  async run(invocation, context): Promise<Answer> {
    const times = holdTimesOf(invocation);
    const name = nameOf(invocation);
    const user = endedByUser(context);
    const client = await context.client();
    return await hold({
      title: `the lock ${escapeText(name)}`,
      held: "locked",
      notHeld: "not locked",
      ended: "released",
      acquire: async (options) => {
        const lock = await client.lock(name, options);
        const { key, leaseId, fencingToken, lost } = lock;
        return { key, leaseId, fencingToken, lost, end: () => lock.release() };
      },
    }, { times, user, context });
  },
});
