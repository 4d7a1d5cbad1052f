/** The command `list`: keys in byte order, page by page. */
import type { ListOptions } from "../client/types.ts";
import type { Answer } from "./answer.ts";
import { integerOfText, type OptionSpec } from "./arguments.ts";
import type { Call, Command } from "./command.ts";
import { READ_OPTIONS, readOptions } from "./command_options.ts";
import { UsageError } from "./errors.ts";
import { wordAsTyped } from "./escape.ts";
import { bytesOfWord } from "./words.ts";

/** What a node takes at most (MAX_LIST_ENTRIES of lib/kv). */
const MAX_LIMIT = 10_000;

const OPTIONS: readonly OptionSpec[] = [
  { name: "limit", placeholder: "<n>", help: "keys of a page (100)" },
  { name: "after", placeholder: "<key>", help: "go on behind this key" },
  { name: "cursor", placeholder: "<cursor>", help: "go on where the answer with this cursor ended (JSON)" },
  { name: "start", placeholder: "<key>", help: "first key, included" },
  { name: "end", placeholder: "<key>", help: "last key, not included" },
  { name: "reverse", placeholder: null, help: "from the greatest key down" },
  ...READ_OPTIONS,
];

/** Lists keys. */
export const LIST: Command = {
  name: "list",
  aliases: [],
  isLong: false,
  arguments: [{ name: "prefix", required: false, isKey: true, replacedBy: null }],
  options: OPTIONS,
  summary: "the keys that begin with prefix, and their values",
  details: ["One page; what follows it is said below (as JSON: the cursor)."],
  example: ["list user: --limit 2", "user:1\tada", "user:2\tgrace"],
  async run(call, context): Promise<Answer> {
    const options = { ...readOptions(call, context), ...rangeOf(call) };
    const client = await context.client();
    return { kind: "list", result: await client.list(options), nextPage: nextPageOf(call) };
  },
};

/** The range that was asked for. Throws {@link UsageError} for options that contradict each other. */
function rangeOf(call: Call): ListOptions {
  const reverse = call.options.has("reverse");
  const bound = reverse ? "end" : "start";
  if (call.options.has("after") && (call.options.has(bound) || call.options.has("cursor"))) {
    throw new UsageError(
      `--after says where to begin, and so does --${
        call.options.has(bound) ? bound : "cursor"
      }. Give one of them.`,
    );
  }
  const range: { -readonly [Name in keyof ListOptions]: ListOptions[Name] } = { reverse };
  const prefix = call.args.get("prefix");
  if (prefix !== undefined) range.prefix = bytesOfWord(prefix.text);
  const limit = call.options.get("limit");
  if (limit !== undefined) range.limit = integerOfText(limit, { name: "--limit", min: 1, max: MAX_LIMIT });
  for (const name of ["start", "end"] as const) {
    const key = call.options.get(name);
    if (key !== undefined) range[name] = bytesOfWord(key);
  }
  const after = call.options.get("after");
  if (after !== undefined) range[bound] = reverse ? bytesOfWord(after) : successor(bytesOfWord(after));
  const cursor = call.options.get("cursor");
  if (cursor !== undefined) range.cursor = cursor;
  return range;
}

/** The least key that is greater. */
function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** The same listing as the shell's user would type it to see what follows `lastKey`. */
function nextPageOf(call: Call): (lastKey: Uint8Array) => string {
  const words = ["list"];
  const prefix = call.args.get("prefix");
  if (prefix !== undefined) words.push(wordAsTyped(bytesOfWord(prefix.text)));
  const begins = ["after", "cursor", call.options.has("reverse") ? "end" : "start"];
  for (const { name, placeholder } of OPTIONS) {
    const value = call.options.get(name);
    if (value === undefined || begins.includes(name)) continue;
    words.push(`--${name}`, ...(placeholder === null ? [] : [wordAsTyped(bytesOfWord(value))]));
  }
  return (lastKey) => [...words, "--after", wordAsTyped(lastKey)].join(" ");
}
