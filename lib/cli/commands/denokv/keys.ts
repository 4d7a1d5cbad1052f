/** The commands on keys of a Deno KV database: `denokv get`, `list`, `set` and `delete`. */
import { concat } from "@std/bytes";
import type { KeyValue } from "../../../kv/command.ts";
import { integerOption, type OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  answer,
  type AnswerText,
  changeAnswer,
  type Command,
  type CommandContext,
  defineCommand,
  type Invocation,
  withElapsed,
} from "../../command.ts";
import { keyOfText, keyText } from "../../denokv/key_text.ts";
import { parseLiteral } from "../../denokv/literal.ts";
import { storedValue } from "../../denokv/values.ts";
import { ExitCode, UsageError } from "../../errors.ts";
import { CONSISTENCY_OPTIONS, consistencyOptions, durationOfText } from "../../options.ts";
import { countOf, dim, duration, moreLine, shellWord } from "../../text.ts";
import { DATABASE, DATABASE_KEY, mutate, openDatabase } from "./access.ts";
import { listDatabases, removeDatabase } from "./databases.ts";
import {
  denoEntryDocument,
  entryLine,
  entryMeta,
  entryTable,
  entryText,
  prefixRange,
  versionstampText,
} from "./entries.ts";

/** Most keys of a page, as in Deno KV. */
const MAX_PAGE = 1_000;
const DEFAULT_PAGE = 100;
/** Longest time after which a key expires: 100 years. */
const MAX_EXPIRY_MS = 3_155_760_000_000;

const LIST_OPTIONS: readonly OptionSpec[] = [
  { name: "limit", placeholder: "<n>", help: `keys of a page (${DEFAULT_PAGE}, at most ${MAX_PAGE})` },
  { name: "after", placeholder: "<key>", help: "go on behind this key" },
  { name: "reverse", placeholder: null, help: "from the greatest key down" },
  ...CONSISTENCY_OPTIONS,
];
const PURGE: OptionSpec = { name: "purge", placeholder: null, help: "delete its keys and tokens first" };
const EXPIRE_IN: OptionSpec = {
  name: "expire-in",
  placeholder: "<time>",
  help: "delete it after this time, such as 10s or 5m",
};

const GET = defineCommand({
  name: "denokv get",
  arguments: [DATABASE, DATABASE_KEY],
  options: [
    { name: "raw", placeholder: null, help: "the value's bytes as stored, and nothing else" },
    ...CONSISTENCY_OPTIONS,
  ],
  summary: "read a key of a database, shown as in JavaScript",
  details: [
    "A key is an array of strings, numbers, bigints, booleans and new Uint8Array([1, 2]). On a terminal a line below says how",
    "the value is stored: v8 format 15 (read by every Deno and Node), v8 format 16 (by Deno 2.8 and later), u64 or bytes.",
    "Ends with 1 when the key does not exist.",
  ],
  example: [`denokv get shop '["users", 17n]'`, `["users", 17n] → { name: "Ada" }`],
  async run(invocation, context): Promise<Answer> {
    const key = keyOf(invocation);
    const { client, database } = await openDatabase(invocation, context);
    const range = { start: key, end: concat([key, Uint8Array.of(0)]), limit: 1, reverse: false };
    const { ranges } = await client.databases.read(
      database.id,
      [range],
      consistencyOptions(invocation, context),
    );
    const entry = ranges[0]?.[0] ?? null;
    return answer({
      text: (view): AnswerText => {
        if (entry === null) return { output: "", note: withElapsed("(not found)\n", view) };
        if (invocation.options.has("raw")) return { output: entry.value.slice(1), note: "" };
        const meta = view.elapsedMs === null
          ? entryMeta(entry)
          : `${entryMeta(entry)}, ${duration(view.elapsedMs)}`;
        return { output: `${entryText(entry)}\n`, note: view.isTerminal ? `${dim(meta, view)}\n` : "" };
      },
      json: () => entry === null ? null : denoEntryDocument(entry),
      exitCode: entry === null ? ExitCode.no : ExitCode.done,
    });
  },
});

const LIST = defineCommand({
  name: "denokv list",
  otherNames: ["databases"],
  arguments: [{ ...DATABASE, required: false }, { name: "prefix", required: false }],
  options: LIST_OPTIONS,
  summary: "the databases; or the keys of one, all or those behind a prefix",
  details: [
    "Into a file or pipe go name, number of tokens and UUID of databases; key, format and value of keys; parted by tabs.",
    "A prefix is the beginning of keys as an array, and itself not in the list, as in Deno KV.",
  ],
  example: [`denokv list shop '["users"]' --limit 1`, `["users", 17n]\tv8 format 16\t{ name: "Ada" }`],
  async run(invocation, context): Promise<Answer> {
    return invocation.args.has(DATABASE.name)
      ? await listKeys(invocation, context)
      : await listDatabases(invocation, context);
  },
});

const SET = defineCommand({
  name: "denokv set",
  arguments: [DATABASE, DATABASE_KEY, { name: "value", required: true }],
  options: [EXPIRE_IN],
  summary: "set a key of a database to a value, written as in JavaScript",
  details: [
    "The value is a literal: text in quotes, a number, 17n, true, null, [1, 2], { a: 1 }, new Uint8Array([1, 2]) or",
    "new Deno.KvU64(7n). It is stored in V8's format 15, which every Deno and Node reads.",
  ],
  example: [`denokv set shop '["users", 17n]' '{ name: "Ada" }'`, "ok  versionstamp 00000000000000070000"],
  async run(invocation, context): Promise<Answer> {
    const key = keyOf(invocation);
    const value = storedValue(literalOf(invocation));
    const expireIn = invocation.options.get(EXPIRE_IN.name);
    const range = { name: `--${EXPIRE_IN.name}`, minMs: 1, maxMs: MAX_EXPIRY_MS };
    const expiresAtMs = expireIn === undefined ? null : Date.now() + durationOfText(expireIn, range);
    const database = await openDatabase(invocation, context);
    const revision = await mutate(database, [{
      kind: "set",
      key,
      value,
      expiresAtMs,
      versionstampedKey: false,
    }]);
    return writtenAnswer(revision);
  },
});

const DELETE = defineCommand({
  name: "denokv delete",
  arguments: [DATABASE, { ...DATABASE_KEY, required: false }],
  options: [PURGE],
  summary: "delete a key of a database; without a key, the database, which must be empty",
  details: [
    "--purge deletes all keys and tokens of the database first, and then the database. Only a backup has them then.",
  ],
  example: [`denokv delete shop '["users", 17n]'`, "ok  versionstamp 00000000000000080000"],
  async run(invocation, context): Promise<Answer> {
    const isPurged = invocation.options.has(PURGE.name);
    if (!invocation.args.has(DATABASE_KEY.name)) {
      return await removeDatabase(invocation, context, { isPurged });
    }
    if (isPurged) throw new UsageError("--purge deletes all keys of a database, and so takes no <key>.");
    const key = keyOf(invocation);
    const database = await openDatabase(invocation, context);
    return writtenAnswer(await mutate(database, [{ kind: "delete", key }]));
  },
});

export const DENOKV_KEY_COMMANDS: readonly Command[] = [LIST, GET, SET, DELETE];

function keyOf({ args }: Invocation): Uint8Array {
  return keyOfText(args.get(DATABASE_KEY.name)?.text ?? "");
}

function literalOf({ args }: Invocation): ReturnType<typeof parseLiteral> {
  const text = args.get("value")?.text ?? "";
  try {
    return parseLiteral(text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`Cannot read the value: ${error.message} Text goes in quotes: '"text"'.`);
  }
}

function writtenAnswer(revision: number): Answer {
  const versionstamp = versionstampText(revision);
  return changeAnswer({ line: `ok  versionstamp ${versionstamp}`, document: { versionstamp, revision } });
}

async function listKeys(invocation: Invocation, context: CommandContext): Promise<Answer> {
  const { options, args } = invocation;
  const limit = integerOption(options, "limit", { fallback: DEFAULT_PAGE, max: MAX_PAGE });
  const reverse = options.has("reverse");
  const prefix = args.get("prefix")?.text ?? "[]";
  let { start, end } = prefixRange(keyOfText(prefix));
  const after = options.get("after");
  if (after !== undefined) {
    if (reverse) end = keyOfText(after);
    else start = concat([keyOfText(after), Uint8Array.of(0)]);
  }
  const { client, database } = await openDatabase(invocation, context);
  const asked = { start, end, limit: Math.min(limit + 1, MAX_PAGE), reverse };
  const page = await client.databases.read(database.id, [asked], consistencyOptions(invocation, context));
  const found = page.ranges[0] ?? [];
  const entries = found.slice(0, limit);
  const last = entries.length === found.length && found.length < MAX_PAGE ? undefined : entries.at(-1);
  const next = last === undefined ? "" : nextPageLine(invocation, last);
  return answer({
    text(view): AnswerText {
      const output = view.isTerminal ? entryTable(entries, view) : entries.map(entryLine).join("");
      const hint = next === "" ? "" : moreLine(entries.length, next);
      if (view.elapsedMs === null) return { output, note: hint };
      const meta = `${countOf(entries.length, "key")}, revision ${page.revision}, ${
        duration(view.elapsedMs)
      }`;
      return { output, note: `${hint}${dim(meta, view)}\n` };
    },
    json: () => ({
      entries: entries.map(denoEntryDocument),
      after: last === undefined ? null : keyText(last.key),
      revision: page.revision,
    }),
  });
}

/** Returns the line to type for the page behind a key. */
function nextPageLine({ command, args, options }: Invocation, { key }: KeyValue): string {
  const words = [DATABASE.name, "prefix"].flatMap((name) => args.get(name)?.text ?? []);
  const kept = command.options.flatMap(({ name, placeholder }) => {
    const value = options.get(name);
    if (value === undefined || name === "after") return [];
    return [placeholder === null ? `--${name}` : `--${name} ${shellWord(value)}`];
  });
  return [command.name, ...words.map(shellWord), ...kept, `--after ${shellWord(keyText(key))}`].join(" ");
}
