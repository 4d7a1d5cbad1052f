/** The command `put`. */
import type { PutOptions } from "../../../client/types.ts";
import type { OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  changeAnswer,
  type CommandContext,
  defineCommand,
  type Invocation,
} from "../../command.ts";
import { UsageError } from "../../errors.ts";
import { leaseIdOfText, timeOfText, ttlOfText } from "../../lease_options.ts";
import {
  callOptions,
  durationAsTyped,
  FILE,
  KEY,
  KEY_BYTES_OPTIONS,
  keyOf,
  readValue,
} from "../../options.ts";

const OPTIONS: readonly OptionSpec[] = [
  FILE,
  { name: "lease", placeholder: "<lease>", help: "attach the key to this lease, with which it ends" },
  { name: "ttl", placeholder: "<time>", help: "delete it after this time: with a lease of its own" },
  {
    name: "expires-at",
    placeholder: "<time>",
    isSeldom: true,
    help: "delete it at this time of the clock (ISO 8601)",
  },
  ...KEY_BYTES_OPTIONS,
];

export const PUT = defineCommand({
  name: "put",
  otherNames: ["set", "write", "insert", "update", "store"],
  arguments: [KEY, { name: "value", required: true, replacedBy: [FILE.name] }],
  options: OPTIONS,
  summary: "set a key",
  details: [
    "<value> is text, or - for standard input. A value that begins with a dash goes behind --.",
    "A put without --lease, --ttl and --expires-at makes a key that stays, also one that had a lease before. --ttl (30s,",
    "5m, 1h) grants a lease and shows its id; lease keep-alive keeps it alive, else the key is deleted when it ends.",
  ],
  example: ["put greeting hello", "ok  revision 12"],
  async run(invocation, context): Promise<Answer> {
    const { options } = invocation;
    const [lease, ttl] = [options.get("lease"), options.get("ttl")];
    if (lease !== undefined && ttl !== undefined) {
      throw new UsageError("--lease names a lease, and --ttl makes a new one. Give one of them.");
    }
    const time = options.get("expires-at");
    const lifetime: PutOptions = {
      ...(lease !== undefined && { leaseId: leaseIdOfText(lease, "--lease") }),
      ...(time !== undefined && { expiresAtMs: timeOfText(time, "--expires-at") }),
    };
    const ttlMs = ttl === undefined ? null : ttlOfText(ttl, "--ttl");
    const value = await readValue(invocation, "value", context);
    if (ttlMs !== null) return await putWithLease(invocation, context, { value, ttlMs, lifetime });
    const client = await context.client();
    const { revision } = await client.put(keyOf(invocation), value, {
      ...lifetime,
      ...callOptions(invocation, context),
    });
    return changeAnswer({ line: `ok  revision ${revision}`, document: { revision } });
  },
});

/** Grants a lease and puts the key with it. */
async function putWithLease(
  invocation: Invocation,
  context: CommandContext,
  { value, ttlMs, lifetime }: {
    readonly value: Uint8Array;
    readonly ttlMs: number;
    readonly lifetime: PutOptions;
  },
): Promise<Answer> {
  const key = keyOf(invocation);
  const client = await context.client();
  const { leaseId } = await client.leases.grant({ ttlMs, ...callOptions(invocation, context) });
  const { revision } = await client.put(key, value, {
    ...lifetime,
    leaseId,
    ...callOptions(invocation, context),
  });
  return changeAnswer({
    line: `ok  revision ${revision}, lease ${leaseId}, ttl ${durationAsTyped(ttlMs)}`,
    document: { revision, leaseId, ttlMs },
  });
}
