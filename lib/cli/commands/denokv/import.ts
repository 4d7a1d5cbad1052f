/** The command `denokv import`: the keys of a file of Deno's own KV, or of denokv, into a database. */
import { type OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  changeAnswer,
  type CommandContext,
  defineCommand,
  type Invocation,
} from "../../command.ts";
import { DatabaseFile, type FileRow } from "../../denokv/database_file.ts";
import { keyOfText, keyText } from "../../denokv/key_text.ts";
import { ExitCode, failureOf, HalfwayError } from "../../errors.ts";
import { countOf, duration, perSecond, shellWord, sizeText, withThousands } from "../../text.ts";
import { Pace } from "../../waiting.ts";
import { progressText, RATE, rateOf } from "../keys/export.ts";
import { batchesOf, DATABASE, mutate, type OpenDatabase, openDatabase } from "./access.ts";
import { prefixRange } from "./entries.ts";

const FILE = { name: "file", required: true } as const;
const AFTER: OptionSpec = {
  name: "after",
  placeholder: "<key>",
  help: "go on behind this key, where an import ended",
};
const OVERWRITE: OptionSpec = {
  name: "overwrite",
  placeholder: null,
  help: "also into a database with keys; those of the file replace them",
};
/** Rows that are named one by one where they cannot be imported. */
const MAX_NAMED = 10;

type Entry = Extract<FileRow, { readonly kind: "entry" }>;

export const DENOKV_IMPORT = defineCommand({
  name: "denokv import",
  isLong: true,
  arguments: [DATABASE, FILE],
  options: [AFTER, OVERWRITE, RATE],
  summary: "copy a file of Deno's own KV, or of denokv, into a database",
  details: [
    'The file is that of Deno.openKv("./x.sqlite") or of denokv --sqlite-path. It is read as of',
    "one moment, also while a program uses it; what that writes later is not copied, so stop it first to lose nothing.",
    "Values keep their encoding, keys their time of expiry. Keys that have expired and queued messages are left out, and",
    "counted. Versionstamps are new ones. Keys go in their order, many in one write: an import that ended says the key to",
    "go on from.",
  ],
  example: [
    "denokv import shop ./shop.sqlite",
    "ok  revision 12431, 12 431 keys, 3.4 MB, in 0.3 s (41 436/s)",
  ],
  async run(invocation, context): Promise<Answer> {
    const after = invocation.options.get(AFTER.name);
    const rate = rateOf(invocation);
    using file = DatabaseFile.open(invocation.args.get(FILE.name)?.text ?? "");
    const database = await openDatabase(invocation, { ...context, signal: null });
    if (after === undefined && !invocation.options.has(OVERWRITE.name)) await requireEmpty(database);
    const started = new Import(database, context, new Pace(rate, context.environment.clock));
    await started.run(file, after === undefined ? null : keyOfText(after), invocation);
    return started.answer(file);
  },
});

/** Refuses a database with keys: what a program has written since would be lost. */
async function requireEmpty({ client, database: { id, name }, options }: OpenDatabase): Promise<void> {
  const range = { ...prefixRange(new Uint8Array()), limit: 1, reverse: false };
  const { ranges: [found = []] } = await client.databases.read(id, [range], options);
  if (found.length === 0) return;
  throw new HalfwayError(
    `The database ${name} has keys, which the file's could replace. To have that, add --overwrite; to go on with an ` +
      "import that ended, add --after with the key that it named.",
    { code: "databaseNotEmpty", exitCode: ExitCode.no },
  );
}

/** An import that runs, and what it has done. */
class Import {
  #keys = 0;
  #bytes = 0;
  #expired = 0;
  #refused = 0;
  #lastKey: Uint8Array | null = null;
  #revision: number | null = null;
  readonly #database: OpenDatabase;
  readonly #context: CommandContext;
  readonly #pace: Pace;

  constructor(database: OpenDatabase, context: CommandContext, pace: Pace) {
    this.#database = database;
    this.#context = context;
    this.#pace = pace;
  }

  /** Writes the keys of a file. Throws {@link HalfwayError}, with the line to go on, where a write fails or Ctrl-C ends it. */
  async run(file: DatabaseFile, after: Uint8Array | null, invocation: Invocation): Promise<void> {
    const { signal } = this.#context;
    try {
      for (const batch of batchesOf(this.#importable(file.rows(after)))) {
        signal?.throwIfAborted();
        await this.#pace.reach(this.#keys, signal);
        await this.#write(batch);
        this.#context.showProgress(progressText(this.#keys, this.#pace.elapsedMs));
      }
    } catch (error) {
      throw this.#ended(invocation, error);
    }
  }

  /** Returns the answer of a whole import. */
  answer({ queuedCount }: DatabaseFile): Answer {
    const leftOut = [
      ...(this.#expired === 0 ? [] : [`${countOf(this.#expired, "key")} that had expired`]),
      ...(queuedCount === 0 ? [] : [countOf(queuedCount, "queued message")]),
      ...(this.#refused === 0 ? [] : [`${countOf(this.#refused, "key")} named above`]),
    ];
    const elapsedMs = this.#pace.elapsedMs;
    const rate = withThousands(perSecond(this.#keys, elapsedMs));
    const revision = this.#revision === null ? "" : `revision ${this.#revision}, `;
    const line = `ok  ${revision}${countOf(this.#keys, "key")}, ${sizeText(this.#bytes)}, in ${
      duration(elapsedMs)
    } (${rate}/s)${leftOut.length === 0 ? "" : `; left out: ${leftOut.join(", ")}`}`;
    return changeAnswer({
      line,
      document: {
        keys: this.#keys,
        bytes: this.#bytes,
        leftOut: { expired: this.#expired, queuedMessages: queuedCount, refused: this.#refused },
      },
      exitCode: this.#refused === 0 ? ExitCode.done : ExitCode.no,
    });
  }

  /** Returns the rows that a cluster takes, and counts the others. */
  *#importable(rows: Iterable<FileRow>): Generator<Entry> {
    const now = Date.now();
    for (const row of rows) {
      if (row.kind === "unreadable") {
        this.#refuse(row.key, row.reason);
      } else if (row.expiresAtMs !== null && row.expiresAtMs <= now) {
        this.#expired += 1;
      } else {
        yield row;
      }
    }
  }

  #refuse(key: Uint8Array | null, reason: string): void {
    this.#refused += 1;
    if (this.#refused > MAX_NAMED) return;
    this.#context.note(`left out ${key === null ? "a row" : keyText(key)}: ${reason}`);
  }

  async #write(batch: readonly Entry[]): Promise<void> {
    const mutations = batch.map(({ key, value, expiresAtMs }) => {
      return { kind: "set", key, value, expiresAtMs, versionstampedKey: false } as const;
    });
    const revision = await mutate(this.#database, mutations);
    this.#revision = revision;
    this.#keys += batch.length;
    for (const { key, value } of batch) this.#bytes += key.length + value.length;
    this.#lastKey = batch.at(-1)?.key ?? this.#lastKey;
  }

  /** Returns the error of an import that ended early. */
  #ended({ args, options }: Invocation, error: unknown): unknown {
    const isInterrupted = this.#context.signal?.aborted === true;
    if (this.#keys === 0 && !isInterrupted) return error;
    const { code, message, exitCode } = isInterrupted
      ? { code: "aborted", message: "It was interrupted.", exitCode: ExitCode.unavailable }
      : failureOf(error);
    const rest = this.#lastKey === null ? "" : ` --after ${shellWord(keyText(this.#lastKey))}`;
    const overwrite = options.has(OVERWRITE.name) ? " --overwrite" : "";
    const [database, file] = [DATABASE, FILE].map(({ name }) => shellWord(args.get(name)?.text ?? ""));
    return new HalfwayError(
      `The import ended after ${countOf(this.#keys, "key")}: ${message} To go on: ` +
        `denokv import ${database} ${file}${rest}${overwrite}`,
      {
        code,
        exitCode: this.#keys > 0 && exitCode === ExitCode.unavailable ? ExitCode.unknown : exitCode,
        cause: error,
      },
    );
  }
}
