/** The command `import`: puts the keys and values of standard input, which may be the export of another store. */
import { progressText, RATE, rateOf } from "./export.ts";
import { PutBatches, type PutFailure } from "./put_batches.ts";
import { choiceOption, integerOfText, type OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  changeAnswer,
  type CommandContext,
  defineCommand,
  type Invocation,
} from "../../command.ts";
import { BYTES_OPTIONS, bytesOf, callOptions, PREFIX, TO_PREFIX } from "../../options.ts";
import { ExitCode, HalfwayError, InputError } from "../../errors.ts";
import { ByteReader } from "../../formats/byte_reader.ts";
import { FormatError, type Item, limitReason } from "../../formats/items.ts";
import { LineError } from "../../formats/ndjson.ts";
import { detectFormat, type Format, FORMAT_TITLES, FORMATS, itemsOf } from "../../formats/open.ts";
import { namesText, Tally } from "../../formats/tally.ts";
import type { Pair } from "../../json.ts";
import { countOf, duration, fit, perSecond, sizeText, withThousands, wordAsTyped } from "../../text.ts";
import { Pace } from "../../waiting.ts";
import { concat, equals } from "@std/bytes";

/** Interval between progress lines. */
const PROGRESS_INTERVAL_MS = 200;
const MAX_DATABASE = 1_000_000;
/** A longer name of a key is cut in a message. */
const MAX_NAME_COLUMNS = 60;

const FORMAT: OptionSpec = {
  name: "format",
  placeholder: ["auto", ...FORMATS].join("|"),
  help: "what standard input is (auto: recognised by its beginning)",
};
const REDIS_DATABASE: OptionSpec = {
  name: "redis-database",
  placeholder: "<n>",
  isSeldom: true,
  help: "the database of Redis whose keys are taken (0)",
};
const SKIP: OptionSpec = {
  name: "skip",
  placeholder: "<n>",
  isSeldom: true,
  help: "leave out the first n keys or lines, which an import that ended has put",
};
const DRY_RUN: OptionSpec = {
  name: "dry-run",
  placeholder: null,
  help: "read and check everything, and put nothing",
};
const DROP_LEASES: OptionSpec = {
  name: "drop-leases",
  placeholder: null,
  help: "put keys of leases, too, as keys that stay",
};

/** The keys that the options select, and how they are changed. */
interface Selection {
  readonly prefix: Uint8Array;
  /** Replaces `prefix`; null leaves the keys as they are. */
  readonly toPrefix: Uint8Array | null;
  readonly dropsLeases: boolean;
  readonly skipped: number;
}

export const IMPORT = defineCommand({
  name: "import",
  otherNames: ["load"],
  isLong: true,
  options: [FORMAT, PREFIX, TO_PREFIX, DRY_RUN, RATE, DROP_LEASES, REDIS_DATABASE, SKIP, ...BYTES_OPTIONS],
  summary: "put the keys of standard input: lines of JSON, or those of other stores",
  details: [
    "Not from within the shell: kvraft client --cluster <nodes> import < lines.json",
    `  ndjson     what export writes: {"key":"…","value":"…"}, or keyBase64, valueBase64. The first bad line ends it: what`,
    "             is before it is put, it and what is behind it is not",
    '  etcd       etcdctl get "" --prefix -w json',
    "  consul     consul kv export; flags are not kept",
    "  redis-rdb  redis-cli --rdb <file>, dump.rdb: strings, with their time of expiry. The checksum is at the end: with",
    "             --dry-run first, nothing of a damaged file is put",
    "  redis-aof  appendonly.aof, or the files of appendonlydir one behind the other, as docs/moving.md shows",
    "A key with a lease is left out: it is to end with a client that keeps the lease alive, and nothing would remove it",
    "here. A key with a time of expiry keeps that. Keys that are left out are counted and named; exit code 1 if the store",
    "cannot hold some. Keys are put in the order of the input, up to 128 in a transaction. Putting them again changes",
    "nothing but revisions: an import that ended can be repeated, or continued as its message says.",
  ],
  example: ["import", "ok  revision 12431, 12 431 keys, 3.4 MB, in 2.3 s (5 405/s)"],
  async run(invocation, context): Promise<Answer> {
    const pace = new Pace(rateOf(invocation), context.environment.clock);
    const selection = selectionOf(invocation);
    const given = choiceOption(invocation.options, FORMAT.name, ["auto", ...FORMATS]) ?? "auto";
    const database = integerOption(invocation, REDIS_DATABASE.name, MAX_DATABASE);
    const { signal } = context;
    const stdin = context.stdin();
    context.showProgress("reading standard input …");
    const puts = invocation.options.has(DRY_RUN.name)
      ? null
      : new PutBatches(await context.client(), callOptions(invocation, { ...context, signal: null }));
    // Ctrl-C ends the reading at once; puts in flight are completed.
    const source = signal === null ? stdin : stdin.pipeThrough(new TransformStream(), { signal });
    const reader = new ByteReader(source);
    const started = new Import({ puts, pace, selection, context });
    try {
      await started.run(async () => {
        const format = given === "auto" ? await detectFormat(reader) : given;
        const { skipped } = selection;
        return { format, items: itemsOf(reader, format, { database, nowMs: Date.now(), skipped }) };
      });
    } finally {
      started.noteTallies();
    }
    return started.answer();
  },
});

function selectionOf(invocation: Invocation): Selection {
  const { options } = invocation;
  const toPrefix = options.get(TO_PREFIX.name);
  return {
    prefix: bytesOf(options.get(PREFIX.name) ?? "", invocation),
    toPrefix: toPrefix === undefined ? null : bytesOf(toPrefix, invocation),
    dropsLeases: options.has(DROP_LEASES.name),
    skipped: integerOption(invocation, SKIP.name, Number.MAX_SAFE_INTEGER) ?? 0,
  };
}

function integerOption({ options }: Invocation, name: string, max: number): number | null {
  const text = options.get(name);
  return text === undefined ? null : integerOfText(text, { name: `--${name}`, min: 0, max });
}

/** An open input. */
interface Input {
  readonly format: Format;
  readonly items: AsyncIterable<Item>;
}

/** An import that runs, and what it has done. */
class Import {
  /** Null for a dry run, whose keys and bytes are these two. */
  readonly #puts: PutBatches | null;
  #dryKeys = 0;
  #dryBytes = 0;
  readonly #leftOut = new Tally();
  /** Of those that are left out, the ones that a store of this kind cannot hold. */
  #lost = 0;
  readonly #notKept = new Tally();
  readonly #pace: Pace;
  readonly #selection: Selection;
  readonly #context: CommandContext;
  #format: Format = "ndjson";
  /** Keys that were taken, for the rate. */
  #begun = 0;
  #lastNumber = 0;
  #shownAt = 0;

  constructor({ puts, pace, selection, context }: {
    readonly puts: PutBatches | null;
    readonly pace: Pace;
    readonly selection: Selection;
    readonly context: CommandContext;
  }) {
    this.#puts = puts;
    this.#pace = pace;
    this.#selection = selection;
    this.#context = context;
  }

  /** Puts all keys of an input. Throws {@link HalfwayError} for input that is no such, and for a put that fails. */
  async run(open: () => Promise<Input>): Promise<void> {
    const { signal } = this.#context;
    try {
      const { format, items } = await open();
      this.#format = format;
      for await (const item of items) {
        if (!await this.#take(item) || signal?.aborted === true) break;
      }
    } catch (error) {
      if (signal?.aborted !== true) throw await this.#unreadable(error);
    }
    const failure = await this.#puts?.end() ?? null;
    if (failure !== null) throw this.#failed(failure);
    if (signal?.aborted === true) throw this.#interrupted();
  }

  /** Shows which keys were left out, and what others have lost. */
  noteTallies(): void {
    for (const line of this.#leftOut.lines) {
      this.#context.note(`left out ${countOf(line.count, "key")} ${line.reason}: ${namesText(line)}`);
    }
    for (const line of this.#notKept.lines) {
      this.#context.note(`${countOf(line.count, "key")} without ${line.reason}: ${namesText(line)}`);
    }
  }

  /** Returns the answer of a whole import. */
  answer(): Answer {
    const [keys, bytes] = [this.#puts?.keys ?? this.#dryKeys, this.#puts?.bytes ?? this.#dryBytes];
    const { elapsedMs } = this.#pace;
    const lastRevision = this.#puts?.lastRevision ?? null;
    const revision = lastRevision === null ? "" : `revision ${lastRevision}, `;
    const rate = withThousands(perSecond(keys, elapsedMs));
    const left = this.#leftOut.total === 0 ? "" : `; left out: ${this.#leftOut.text()}`;
    const amount = `${countOf(keys, "key")}, ${sizeText(bytes)}`;
    const done = this.#lastNumber === 0
      ? `nothing was put: ${this.#emptyText()}`
      : this.#puts !== null
      ? `${revision}${amount}, in ${duration(elapsedMs)} (${rate}/s)`
      : `dry run, nothing was put: ${keys === 0 ? "no key" : `${amount},`} could be`;
    return changeAnswer({
      line: `ok  ${done}${left}`,
      document: {
        keys,
        bytes,
        leftOut: this.#leftOut.total,
        format: this.#format,
        isDryRun: this.#puts === null,
        reasons: this.#leftOut.lines,
        notKept: this.#notKept.lines,
      },
      exitCode: this.#lost === 0 ? ExitCode.done : ExitCode.no,
    });
  }

  /** Returns that there was no key to put. */
  #emptyText(): string {
    const { skipped } = this.#selection;
    return skipped === 0
      ? "standard input has no keys"
      : `standard input has no keys after the first ${skipped}`;
  }

  /** Puts a key, or counts it; false after a failure. */
  async #take(item: Item): Promise<boolean> {
    if (item.kind === "remark") {
      this.#context.note(item.text);
      return true;
    }
    if (item.number <= this.#selection.skipped) return true;
    this.#lastNumber = item.number;
    const key = item.kind === "pair" ? item.pair.key : item.key;
    if (!this.#isSelected(key)) return this.#leaveOut("without the prefix", key);
    if (item.kind === "leftOut") {
      if (item.isLost) this.#lost += 1;
      return this.#leaveOut(item.reason, key);
    }
    const pair = this.#renamed(item.pair);
    const reason = limitReason(pair.key.length, pair.value.length);
    if (reason !== null) {
      this.#lost += 1;
      return this.#leaveOut(reason, key);
    }
    if (pair.leaseId !== undefined && !this.#selection.dropsLeases) return this.#leaveOut("of leases", key);
    if (item.loses !== null) this.#notKept.add(item.loses, key);
    return await this.#put(pair, item.number);
  }

  #leaveOut(reason: string, key: Uint8Array): true {
    this.#leftOut.add(reason, key);
    return true;
  }

  #isSelected(key: Uint8Array): boolean {
    const { prefix } = this.#selection;
    return equals(key.subarray(0, prefix.length), prefix);
  }

  #renamed(pair: Pair): Pair {
    const { prefix, toPrefix } = this.#selection;
    return toPrefix === null ? pair : { ...pair, key: concat([toPrefix, pair.key.subarray(prefix.length)]) };
  }

  async #put(pair: Pair, number: number): Promise<boolean> {
    const { signal } = this.#context;
    await this.#pace.reach(this.#begun, signal);
    if (this.#puts === null) {
      this.#dryKeys += 1;
      this.#dryBytes += pair.key.length + pair.value.length;
    } else if (!await this.#puts.add(pair, number)) {
      return false;
    }
    this.#begun += 1;
    const { elapsedMs } = this.#pace;
    if (elapsedMs - this.#shownAt < PROGRESS_INTERVAL_MS) return true;
    this.#shownAt = elapsedMs;
    this.#context.showProgress(progressText(this.#puts?.keys ?? this.#dryKeys, elapsedMs));
    return true;
  }

  /** Returns the error for input that cannot be read, or is not of its format, once all puts have ended. */
  async #unreadable(cause: unknown): Promise<unknown> {
    const failure = await this.#puts?.end() ?? null;
    if (failure !== null) return this.#failed(failure);
    if (cause instanceof InputError) {
      return new HalfwayError(`${cause.message} ${this.#progress()} were written before. ${this.#goOn()}`, {
        code: cause.code,
        exitCode: ExitCode.usage,
        cause,
      });
    }
    if (!(cause instanceof FormatError)) return cause;
    const message = cause instanceof LineError
      ? `${cause.message}. The lines before it are written (${this.#progress()}), it and those behind it are not.`
      : `Cannot read standard input as ${FORMAT_TITLES[this.#format]}: ${cause.message}. ` +
        `${this.#progress()} were written before, nothing behind.`;
    return new HalfwayError(message, { code: "usage", exitCode: ExitCode.usage, cause });
  }

  #failed({ number, key, failure: { code, message, exitCode }, cause }: PutFailure): HalfwayError {
    const isPartial = exitCode === ExitCode.unavailable && (this.#puts?.keys ?? 0) > 0;
    const [position, plural] = this.#format === "ndjson"
      ? [`line ${number}`, "lines"]
      : [`key ${number}, ${fit(wordAsTyped(key), MAX_NAME_COLUMNS)}`, "keys"];
    return new HalfwayError(
      `${position}: ${message} The ${plural} before it are written, some behind it may be. ${
        this.#goOn(number)
      }`,
      { code, exitCode: isPartial ? ExitCode.unknown : exitCode, cause },
    );
  }

  #interrupted(): HalfwayError {
    const hasPut = (this.#puts?.keys ?? 0) > 0;
    return new HalfwayError(`The import was interrupted after ${this.#progress()}. ${this.#goOn()}`, {
      code: "aborted",
      exitCode: hasPut ? ExitCode.unknown : ExitCode.unavailable,
    });
  }

  #progress(): string {
    const keys = this.#puts?.keys ?? 0;
    return keys === 1 ? "1 key" : `${keys} keys`;
  }

  /** Returns how to continue with a key or line; without one, with that behind the last which was taken. */
  #goOn(number: number = this.#lastNumber + 1): string {
    return this.#format === "ndjson"
      ? `To go on: tail -n +${number} <file> | kvraft client … import`
      : `To go on: repeat it with --skip ${number - 1}`;
  }
}
