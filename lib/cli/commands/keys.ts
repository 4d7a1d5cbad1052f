/** The commands on one key: put, get, delete, cas. */
import type { Answer } from "../answer.ts";
import type { OptionSpec } from "../arguments.ts";
import {
  callOptions,
  type Command,
  isStdin,
  KEY,
  KEY_BYTES_OPTIONS,
  keyOf,
  READ_OPTIONS,
  readOptions,
  readValue,
} from "../command.ts";
import { UsageError } from "../errors.ts";

const FILE: OptionSpec = { name: "file", placeholder: "<path>", help: "take the value from a file" };

const VALUE_HELP = [
  "<value> is text, or - for standard input. A value that begins with a dash goes behind --.",
];

/** Sets a key. */
export const PUT: Command = {
  name: "put",
  aliases: [],
  isLong: false,
  arguments: [KEY, { name: "value", required: true, isKey: false, replacedBy: "file" }],
  options: [FILE, ...KEY_BYTES_OPTIONS],
  summary: "set a key",
  details: VALUE_HELP,
  example: ["put greeting hello", "revision 12"],
  async run(call, context): Promise<Answer> {
    const value = await readValue(call, "value", context);
    const client = await context.client();
    const { revision } = await client.put(keyOf(call), value, callOptions(call, context));
    return { kind: "put", revision };
  },
};

/** Reads a key. */
export const GET: Command = {
  name: "get",
  aliases: [],
  isLong: false,
  arguments: [KEY],
  options: [
    { name: "raw", placeholder: null, help: "the value's bytes and nothing else, also on a terminal" },
    ...READ_OPTIONS,
    ...KEY_BYTES_OPTIONS,
  ],
  summary: "read a key",
  details: [
    "Ends with 1 when the key does not exist. Into a file or pipe go the value's bytes and nothing else; on a terminal a",
    "newline follows, and what is not printable is escaped.",
  ],
  example: ["get greeting", "hello"],
  async run(call, context): Promise<Answer> {
    const client = await context.client();
    const entry = await client.get(keyOf(call), readOptions(call, context));
    return { kind: "get", entry, raw: call.options.has("raw") };
  },
};

/** Removes a key. */
export const DELETE: Command = {
  name: "delete",
  aliases: [],
  isLong: false,
  arguments: [KEY],
  options: KEY_BYTES_OPTIONS,
  summary: "remove a key",
  details: ["Ends with 1 when the key did not exist."],
  example: ["delete greeting", "deleted, revision 13"],
  async run(call, context): Promise<Answer> {
    const client = await context.client();
    return { kind: "delete", result: await client.delete(keyOf(call), callOptions(call, context)) };
  },
};

/** Sets a key if it has the expected value. */
export const CAS: Command = {
  name: "cas",
  aliases: [],
  isLong: false,
  arguments: [
    KEY,
    { name: "expected", required: true, isKey: false, replacedBy: "absent" },
    { name: "new", required: true, isKey: false, replacedBy: "file" },
  ],
  options: [
    { name: "absent", placeholder: null, help: "expect that the key does not exist" },
    FILE,
    ...KEY_BYTES_OPTIONS,
  ],
  summary: "set a key if it has the expected value",
  details: [
    "Ends with 1 when it had another value, which is shown.",
    "<expected> or <new> may be - for standard input.",
  ],
  example: ["cas greeting hello goodbye", "succeeded, revision 14"],
  async run(call, context): Promise<Answer> {
    if (isStdin(call, "expected") && isStdin(call, "new")) {
      throw new UsageError(
        "cas can take only one of <expected> and <new> from standard input. Use --file for <new>.",
      );
    }
    const expect = call.options.has("absent") ? null : await readValue(call, "expected", context);
    const value = await readValue(call, "new", context);
    const client = await context.client();
    const change = { expect, value, ...callOptions(call, context) };
    return { kind: "cas", result: await client.compareAndSet(keyOf(call), change) };
  },
};
