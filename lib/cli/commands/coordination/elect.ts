/** The command `elect`: stands for leadership, or shows who leads. */
import type { KeyValue } from "../../../kv/command.ts";
import {
  type Answer,
  answer,
  type AnswerPart,
  type CommandContext,
  defineCommand,
  type Invocation,
  type StoreClient,
} from "../../command.ts";
import { UsageError } from "../../errors.ts";
import { entryFields } from "../../json.ts";
import { BYTES_OPTIONS, bytesOf } from "../../options.ts";
import { countOf, escapeBytes, escapeText } from "../../text.ts";
import { endedByUser, hold, HOLD_OPTIONS, holdTimesOf, nameOf } from "./hold.ts";

export const ELECT = defineCommand({
  name: "elect",
  otherNames: ["election", "campaign", "lead"],
  isLong: true,
  arguments: [
    { name: "name", required: true },
    { name: "value", required: true, replacedBy: ["observe"] },
  ],
  options: [
    ...HOLD_OPTIONS,
    { name: "observe", placeholder: null, help: "show who leads, and each change of that" },
    ...BYTES_OPTIONS,
  ],
  summary: "lead as soon as no other client does, until Ctrl-C or the end of input",
  details: [
    "<value> is what others see of the leader, such as its address. When this client leads, a line says so, with a",
    "fencing token as of lock. Ends with 0 when it has resigned, and with 1 when leadership was lost, or another led all",
    "the time of --wait. --observe shows fencing token and value of the leader, parted by a tab, or (no leader); it goes",
    "on until Ctrl-C.",
  ],
  example: ["elect scheduler host-1", "ok  leads, fencing token 22, key scheduler/0006e69b6ce0c6"],
  async run(invocation, context): Promise<Answer> {
    return invocation.options.has("observe")
      ? await observe(invocation, context)
      : await lead(invocation, context);
  },
});

async function lead(invocation: Invocation, context: CommandContext): Promise<Answer> {
  const times = holdTimesOf(invocation);
  const name = nameOf(invocation);
  const value = bytesOf(invocation.args.get("value")?.text ?? "", invocation);
  const user = endedByUser(context);
  const client = await context.client();
  return await hold({
    title: `the election ${escapeText(name)}`,
    held: "leads",
    notHeld: "not the leader",
    ended: "resigned",
    acquire: async (options) => {
      const leadership = await client.elect(name, value, options);
      const { key, leaseId, fencingToken, lost } = leadership;
      return { key, leaseId, fencingToken, lost, end: () => leadership.resign() };
    },
  }, { times, user, context });
}

/** Shows the leader and those after it until the user ends that. */
async function observe(invocation: Invocation, context: CommandContext): Promise<Answer> {
  const unused = HOLD_OPTIONS.find(({ name }) => invocation.options.has(name));
  if (unused !== undefined) {
    throw new UsageError(`--${unused.name} is for a client that is to lead, not with --observe.`);
  }
  const name = nameOf(invocation);
  const client = await context.client();
  context.showProgress(`looking for the leader of ${escapeText(name)} …; Ctrl-C ends it`);
  const shown = await showLeaders(client, name, context);
  return answer({
    text: () => ({ output: "", note: `-- ${countOf(shown, "line")}\n` }),
    json: () => ({ observed: shown }),
    hasWrittenData: true,
  });
}

async function showLeaders(client: StoreClient, name: string, context: CommandContext): Promise<number> {
  let shown = 0;
  const { signal } = context;
  try {
    for await (const leader of client.observe(name, signal === null ? {} : { signal })) {
      await context.show([leaderPart(leader)]);
      shown += 1;
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
  return shown;
}

function leaderPart(leader: KeyValue | null): AnswerPart {
  return {
    text: () =>
      leader === null ? "(no leader)\n" : `${leader.createRevision}\t${escapeBytes(leader.value)}\n`,
    json: () => ({
      leader: leader === null ? null : { ...entryFields(leader), fencingToken: leader.createRevision },
    }),
  };
}
