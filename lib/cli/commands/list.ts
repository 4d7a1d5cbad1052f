/** The command `list`: keys in byte order, page by page. */
import type { ListOptions } from "../../client/types.ts";
import type { Answer } from "../answer.ts";
import { integerOfText, type OptionSpec } from "../arguments.ts";
import { BYTES_OPTIONS, bytesOf, type Call, type Command, READ_OPTIONS, readOptions } from "../command.ts";
import { UsageError } from "../errors.ts";
import { escapeArgument, isArgument, shellWord, textOfBytes } from "../text.ts";

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
  ...BYTES_OPTIONS,
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
  if (prefix !== undefined) range.prefix = bytesOf(prefix.text, call);
  const limit = call.options.get("limit");
  if (limit !== undefined) range.limit = integerOfText(limit, { name: "--limit", min: 1, max: MAX_LIMIT });
  for (const name of ["start", "end"] as const) {
    const key = call.options.get(name);
    if (key !== undefined) range[name] = bytesOf(key, call);
  }
  const after = call.options.get("after");
  if (after !== undefined) range[bound] = reverse ? bytesOf(after, call) : successor(bytesOf(after, call));
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

/**
 * The same listing, from behind `lastKey` on, as it can be typed into the client's shell and behind `kvraft client` in a
 * POSIX shell alike, and names the same bytes there.
 */
function nextPageOf(call: Call): (lastKey: Uint8Array) => string {
  const prefix = call.args.get("prefix");
  const begins = ["after", "cursor", call.options.has("reverse") ? "end" : "start", "escapes"];
  const given = OPTIONS.flatMap(({ name, placeholder }): readonly Part[] => {
    const value = call.options.get(name);
    if (value === undefined || begins.includes(name)) return [];
    return [{ name, bytes: placeholder === null ? null : bytesOf(value, call) }];
  });
  return (lastKey) => {
    const options = [...given, { name: "after", bytes: lastKey }];
    const prefixBytes = prefix === undefined ? null : bytesOf(prefix.text, call);
    const isEscaped = [prefixBytes, ...options.map(({ bytes }) => bytes)]
      .some((bytes) => bytes !== null && !isArgument(bytes));
    const wordOf = (bytes: Uint8Array): string =>
      isEscaped ? escapeArgument(bytes) : textOfBytes(bytes) ?? "";
    const prefixWord = prefixBytes === null ? null : wordOf(prefixBytes);
    const isDashed = prefixWord?.startsWith("-") === true;
    return [
      "list",
      ...(prefixWord === null || isDashed ? [] : [shellWord(prefixWord)]),
      ...options.map(({ name, bytes }) => optionWords(name, bytes === null ? null : wordOf(bytes))),
      ...(isEscaped ? ["--escapes"] : []),
      ...(prefixWord !== null && isDashed ? ["--", shellWord(prefixWord)] : []),
    ].join(" ");
  };
}

/** An option as it was given; a switch has no bytes. */
interface Part {
  readonly name: string;
  readonly bytes: Uint8Array | null;
}

function optionWords(name: string, value: string | null): string {
  if (value === null) return `--${name}`;
  return value.startsWith("-") ? shellWord(`--${name}=${value}`) : `--${name} ${shellWord(value)}`;
}
