/** The command `list`: keys in byte order, page by page. */
import { concat } from "@std/bytes";
import type { ListOptions, ListResult } from "../../../client/types.ts";
import { type Attachment, type KeyValue, MAX_LIST_ENTRIES } from "../../../kv/mod.ts";
import { integerOfText, type OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  answer,
  type AnswerPart,
  type AnswerText,
  type CommandContext,
  defineCommand,
  type Invocation,
  type StoreClient,
  type View,
  withElapsed,
} from "../../command.ts";
import { BYTES_OPTIONS, bytesOf, READ_OPTIONS, readOptions, VISIBLE_ONLY } from "../../options.ts";
import { UsageError } from "../../errors.ts";
import { entryDocument, keyDocument } from "../../json.ts";
import {
  columnsOf,
  countOf,
  dim,
  duration,
  escapeArgument,
  escapeBytes,
  fit,
  HEAD_BYTES,
  isArgument,
  moreLine,
  shellWord,
  table,
  textOfBytes,
  timeText,
} from "../../text.ts";

/** Keys of a page of a listing of all keys, which bounds the memory. */
const ALL_PAGE_KEYS = 1_000;
/** Narrowest column for values in a table. */
export const MIN_VALUE_COLUMNS = 16;
/** Widest column for keys in a table. */
export const MAX_KEY_COLUMNS = 40;

const OPTIONS: readonly OptionSpec[] = [
  { name: "limit", placeholder: "<n>", help: "keys of a page (100)" },
  { name: "after", placeholder: "<key>", help: "go on behind this key" },
  { name: "cursor", placeholder: "<cursor>", help: "go on where the answer with this cursor ended (JSON)" },
  { name: "start", placeholder: "<key>", help: "first key, included" },
  { name: "end", placeholder: "<key>", help: "last key, not included" },
  { name: "reverse", placeholder: null, help: "from the greatest key down" },
  { name: "keys-only", placeholder: null, help: "the keys without their values" },
  { name: "count", placeholder: null, help: "the number of keys, and no key" },
  { name: "all", placeholder: null, help: "page after page, all of one revision" },
  VISIBLE_ONLY,
  ...READ_OPTIONS,
  ...BYTES_OPTIONS,
];

export const LIST = defineCommand({
  name: "list",
  otherNames: ["ls", "dir", "keys", "scan", "range", "find"],
  arguments: [{ name: "prefix", required: false, completion: "key" }],
  options: OPTIONS,
  summary: "the keys that begin with prefix, and their values",
  details: [
    "One page; what follows it is said below (as JSON: the cursor). With --all every page, as JSON a line for each.",
  ],
  example: ["list user: --limit 2", "user:1\tada", "user:2\tgrace"],
  async run(invocation, context): Promise<Answer> {
    const { options: given } = invocation;
    const options = { ...readOptions(invocation, context), ...rangeOf(invocation) };
    const client = await context.client();
    if (given.has("count")) return await countAnswer(client, options);
    if (given.has("all")) return await showAll(client, options, context);
    return listAnswer(await client.list(options), {
      isKeysOnly: given.has("keys-only"),
      nextPage: (lastKey) => {
        const option = { name: "after", bytes: lastKey };
        const begins = ["after", "cursor", given.has("reverse") ? "end" : "start"];
        const prefix = invocation.args.get("prefix");
        const argument = prefix === undefined ? null : bytesOf(prefix.text, invocation);
        return nextPageLine(invocation, { option, begins, argument });
      },
    });
  },
});

async function countAnswer(client: StoreClient, options: ListOptions): Promise<Answer> {
  const { count, revision } = await client.count(options);
  return answer({
    text: (view) => {
      if (view.elapsedMs === null) return { output: `${count}\n`, note: "" };
      return { output: withElapsed(`${countOf(count, "key")}  revision ${revision}\n`, view), note: "" };
    },
    json: () => ({ count, revision }),
  });
}

/** Shows all pages as of the revision of the first one. */
async function showAll(
  client: StoreClient,
  options: ListOptions,
  { show, signal }: CommandContext,
): Promise<Answer> {
  const isKeysOnly = options.keysOnly === true;
  let [keys, cursor, { revision }] = [0, options.cursor ?? null, options];
  do {
    signal?.throwIfAborted();
    const page = await client.list({
      limit: ALL_PAGE_KEYS,
      ...options,
      ...revision !== undefined && { revision },
      cursor,
    });
    await show([pagePart(page, { isKeysOnly })]);
    keys += page.entries.length;
    revision = page.revision;
    cursor = page.cursor;
  } while (cursor !== null);
  return answer({
    text: (view) => {
      const meta = `${countOf(keys, "key")}, revision ${revision}`;
      const note = view.elapsedMs === null ? "" : `${dim(`${meta}, ${duration(view.elapsedMs)}`, view)}\n`;
      return { output: "", note };
    },
    json: () => ({ keys, revision }),
    hasWrittenData: true,
  });
}

function pagePart(page: ListResult, { isKeysOnly }: { readonly isKeysOnly: boolean }): AnswerPart {
  return {
    text: (view) => pageText(page.entries, { isKeysOnly, view }),
    json: () => pageDocument(page, { isKeysOnly }),
  };
}

/** Returns the answer of a listing. `nextPage` returns the line to type for the keys after a page's last key. */
export function listAnswer(
  page: ListResult,
  { isKeysOnly, nextPage }: {
    readonly isKeysOnly: boolean;
    readonly nextPage: (lastKey: Uint8Array) => string;
  },
): Answer {
  const { entries, cursor, revision } = page;
  const last = entries.at(-1);
  const hint = cursor === null || last === undefined ? "" : moreLine(entries.length, nextPage(last.key));
  return answer({
    text(view): AnswerText {
      const output = pageText(entries, { isKeysOnly, view });
      if (view.elapsedMs === null) return { output, note: hint };
      const meta = `${countOf(entries.length, "key")}, revision ${revision}, ${duration(view.elapsedMs)}`;
      return { output, note: `${hint}${dim(meta, view)}\n` };
    },
    json: () => pageDocument(page, { isKeysOnly }),
  });
}

function pageDocument(
  { entries, cursor, revision }: ListResult,
  { isKeysOnly }: { readonly isKeysOnly: boolean },
): unknown {
  return { entries: entries.map(isKeysOnly ? keyDocument : entryDocument), cursor, revision };
}

function pageText(
  entries: readonly KeyValue[],
  { isKeysOnly, view }: { readonly isKeysOnly: boolean; readonly view: View },
): string {
  if (isKeysOnly) return entries.map(({ key }) => `${escapeBytes(key)}\n`).join("");
  return view.isTerminal ? listTable(entries, view) : entries.map(listLine).join("");
}

function listLine({ key, value }: KeyValue): string {
  return `${escapeBytes(key)}\t${escapeBytes(value)}\n`;
}

function listTable(entries: readonly KeyValue[], view: View): string {
  if (entries.length === 0) return "";
  const keys = ["key", ...entries.map(({ key }) => fit(escapeBytes(key), MAX_KEY_COLUMNS))];
  const revisions = ["revision", ...entries.map(({ modRevision }) => String(modRevision))];
  const values = entries.map(({ value }) => value);
  return valueTable([keys, revisions, ...lifetimeColumns(entries)], { values, view });
}

/** Returns the columns of leases and of expiry times, each with its header, if an entry or version has one. */
export function lifetimeColumns(
  rows: readonly Attachment[],
): readonly (readonly string[])[] {
  const leases = rows.map(({ leaseId }) => leaseId === undefined ? "" : `${leaseId}`);
  const times = rows.map(({ expiresAtMs }) => expiresAtMs === undefined ? "" : timeText(expiresAtMs));
  return [["lease", ...leases], ["expires", ...times]].filter(([, ...cells]) =>
    cells.some((cell) => cell !== "")
  );
}

/** Returns a table of columns, each with its header, and behind them the values in what is left of the terminal. */
export function valueTable(
  columns: readonly (readonly string[])[],
  { values, view }: { readonly values: readonly (Uint8Array | null)[]; readonly view: View },
): string {
  const taken = columns.reduce((sum, cells) => sum + 2 + Math.max(...cells.map(columnsOf)), 0);
  const valueColumns = Math.max(MIN_VALUE_COLUMNS, view.columns - taken);
  const last = values.map((value) => value === null ? "(deleted)" : valueCell(value, valueColumns));
  const rows = ["value", ...last].map((cell, row) => [...columns.map((cells) => cells[row] ?? ""), cell]);
  const [header = "", ...lines] = table(rows);
  return [dim(header, view), ...lines].map((line) => `${line}\n`).join("");
}

/** Returns a value for a cell: its head, with its size if that is not all of it. */
export function valueCell(value: Uint8Array, columns: number): string {
  const text = escapeBytes(value.subarray(0, HEAD_BYTES));
  if (value.length <= HEAD_BYTES && columnsOf(text) <= columns) return text;
  const size = ` (${countOf(value.length, "byte")})`;
  return `${fit(`${text}…`, columns - size.length)}${size}`;
}

/** Returns the requested range. Throws {@link UsageError} for options that contradict each other. */
function rangeOf(invocation: Invocation): ListOptions {
  const reverse = invocation.options.has("reverse");
  const bound = reverse ? "end" : "start";
  if (
    invocation.options.has("after") && (invocation.options.has(bound) || invocation.options.has("cursor"))
  ) {
    throw new UsageError(
      `--after says where to begin, and so does --${
        invocation.options.has(bound) ? bound : "cursor"
      }. Give one of them.`,
    );
  }
  const unfit = ["all", "limit", VISIBLE_ONLY.name].find((name) => invocation.options.has(name));
  if (invocation.options.has("count") && unfit !== undefined) {
    throw new UsageError(`--count counts all keys of the range, and takes no --${unfit}.`);
  }
  const range: { -readonly [Name in keyof ListOptions]: ListOptions[Name] } = { reverse };
  if (invocation.options.has("keys-only")) range.keysOnly = true;
  if (invocation.options.has(VISIBLE_ONLY.name)) range.visibleOnly = true;
  const prefix = invocation.args.get("prefix");
  if (prefix !== undefined) range.prefix = bytesOf(prefix.text, invocation);
  const limit = invocation.options.get("limit");
  if (limit !== undefined) {
    range.limit = integerOfText(limit, { name: "--limit", min: 1, max: MAX_LIST_ENTRIES });
  }
  for (const name of ["start", "end"] as const) {
    const key = invocation.options.get(name);
    if (key !== undefined) range[name] = bytesOf(key, invocation);
  }
  const after = invocation.options.get("after");
  if (after !== undefined) {
    const key = bytesOf(after, invocation);
    // The next key in byte order is the same with a zero behind it.
    range[bound] = reverse ? key : concat([key, Uint8Array.of(0)]);
  }
  const cursor = invocation.options.get("cursor");
  if (cursor !== undefined) range.cursor = cursor;
  return range;
}

/** The line for the page after another one. */
interface NextPage {
  /** Where the page begins. */
  readonly option: Part;
  /** The options that `option` replaces, and so are left out. */
  readonly begins: readonly string[];
  /** The argument; null for none. */
  readonly argument: Uint8Array | null;
}

/**
 * Returns the command line for the next page of what an invocation reads. The line means the same in the client's shell
 * and, behind `kvraft client`, in a POSIX shell.
 */
export function nextPageLine(
  invocation: Invocation,
  { option, begins, argument }: NextPage,
): string {
  const given = invocation.command.options.flatMap(({ name, placeholder }): readonly Part[] => {
    const value = invocation.options.get(name);
    if (value === undefined || begins.includes(name) || name === "escapes") return [];
    return [{ name, bytes: placeholder === null ? null : bytesOf(value, invocation) }];
  });
  const options = [...given, option];
  const isEscaped = [argument, ...options.map(({ bytes }) => bytes)]
    .some((bytes) => bytes !== null && !isArgument(bytes));
  const wordOf = (bytes: Uint8Array): string => isEscaped ? escapeArgument(bytes) : textOfBytes(bytes) ?? "";
  const argumentWord = argument === null ? null : wordOf(argument);
  const isDashed = argumentWord?.startsWith("-") === true;
  return [
    invocation.command.name,
    ...(argumentWord === null || isDashed ? [] : [shellWord(argumentWord)]),
    ...options.map(({ name, bytes }) => optionWords(name, bytes === null ? null : wordOf(bytes))),
    ...(isEscaped ? ["--escapes"] : []),
    ...(argumentWord !== null && isDashed ? ["--", shellWord(argumentWord)] : []),
  ].join(" ");
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
