/** The command `import`: puts the keys and values of standard input, which are lines of JSON. */
import { progressText, RATE, rateOf } from "./export.ts";
import type { CallOptions } from "../../../client/types.ts";
import type { OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  changeAnswer,
  type CommandContext,
  defineCommand,
  type StoreClient,
} from "../../command.ts";
import { callOptions } from "../../options.ts";
import { ExitCode, type Failure, failureOf, HalfwayError, InputError } from "../../errors.ts";
import { type Line, readLines } from "../../input.ts";
import { type Pair, type ReadLine, readPair } from "../../json.ts";
import { countOf, duration, perSecond, sizeText, withThousands } from "../../text.ts";
import { Pace } from "../../waiting.ts";

/** Most puts in flight. */
const MAX_PUTS = 256;
/** Most bytes of keys and values in flight; a single put is always sent. */
const MAX_BYTES = 8_388_608;
/** Interval between progress lines. */
const PROGRESS_INTERVAL_MS = 200;

const DROP_LEASES: OptionSpec = {
  name: "drop-leases",
  placeholder: null,
  help: "put keys of leases, too, as keys that stay",
};

export const IMPORT = defineCommand({
  name: "import",
  otherNames: ["load"],
  isLong: true,
  options: [RATE, DROP_LEASES],
  summary: "put the keys and values of standard input, lines of JSON as export gives them",
  details: [
    "Not from within the shell: kvraft client --cluster <nodes> import < lines.json",
    `A line is {"key":"…","value":"…"}, or keyBase64, valueBase64. Lines are written in their order where they name the`,
    "same key. The first bad line ends it, named by its number: exit code 2, what was before it is written, nothing of",
    "what is behind it. To go on from line 7: tail -n +7 lines.json | kvraft client … import; lines may come twice.",
    "A line with a leaseId is left out, and counted: its key is to end with a client that keeps the lease alive, and nothing",
    "would remove it here. A key with expiresAtMs keeps that.",
  ],
  example: ["import", "ok  revision 12431, 12 431 keys, 3.4 MB, in 2.3 s (5 405/s)"],
  async run(invocation, context): Promise<Answer> {
    const pace = new Pace(rateOf(invocation), context.environment.clock);
    const { signal } = context;
    const stdin = context.stdin();
    context.showProgress("reading lines of JSON from standard input …");
    const client = await context.client();
    const puts = new Puts(client, {
      options: callOptions(invocation, { ...context, signal: null }),
      dropsLeases: invocation.options.has(DROP_LEASES.name),
    });
    // Ctrl-C ends the reading at once; puts in flight are completed.
    const source = signal === null ? stdin : stdin.pipeThrough(new TransformStream(), { signal });
    await putLines(readLines(source), { puts, pace, context });
    return importAnswer(puts, pace.elapsedMs);
  },
});

function importAnswer({ keys, bytes, leftOut, lastRevision }: Puts, elapsedMs: number): Answer {
  const revision = lastRevision === null ? "" : `revision ${lastRevision}, `;
  const rate = withThousands(perSecond(keys, elapsedMs));
  const left = leftOut === 0 ? "" : `; ${countOf(leftOut, "key")} of leases left out`;
  return changeAnswer({
    line: `ok  ${revision}${countOf(keys, "key")}, ${sizeText(bytes)}, in ${
      duration(elapsedMs)
    } (${rate}/s)${left}`,
    document: { keys, bytes, leftOut },
  });
}

/** Puts the pairs of all lines. Throws {@link HalfwayError} at the first line that fails. */
async function putLines(
  lines: AsyncIterable<Line>,
  { puts, pace, context }: { readonly puts: Puts; readonly pace: Pace; readonly context: CommandContext },
): Promise<void> {
  const { signal } = context;
  let number = 0;
  let begun = 0;
  let shownAt = 0;
  try {
    for await (const line of lines) {
      number += 1;
      const read: ReadLine = line.kind === "line"
        ? readPair(line.bytes)
        : { kind: "bad", reason: "it is too long" };
      if (read.kind === "bad") throw await badLine(number, { reason: read.reason, puts });
      if (read.kind === "blank" || puts.leavesOut(read.pair)) continue;
      await pace.reach(begun, signal);
      if (!await puts.begin(read.pair, number) || signal?.aborted === true) break;
      begun += 1;
      if (pace.elapsedMs - shownAt < PROGRESS_INTERVAL_MS) continue;
      shownAt = pace.elapsedMs;
      context.showProgress(progressText(puts.keys, pace.elapsedMs));
    }
  } catch (error) {
    if (error instanceof InputError) throw await unreadable(error, puts);
    if (signal?.aborted !== true) throw error;
  }
  await puts.end();
  if (signal?.aborted === true) {
    throw new HalfwayError(
      `The import was interrupted after ${progressOf(puts)}. ${goOnFrom(puts.begunLine + 1)}`,
      {
        code: "aborted",
        exitCode: puts.keys === 0 ? ExitCode.unavailable : ExitCode.unknown,
      },
    );
  }
}

async function unreadable(cause: InputError, puts: Puts): Promise<HalfwayError> {
  await puts.end();
  return new HalfwayError(
    `${cause.message} ${progressOf(puts)} were written before. ${goOnFrom(puts.begunLine + 1)}`,
    { code: cause.code, exitCode: ExitCode.usage, cause },
  );
}

async function badLine(
  number: number,
  { reason, puts }: { readonly reason: string; readonly puts: Puts },
): Promise<HalfwayError> {
  await puts.end();
  return new HalfwayError(
    `line ${number}: ${reason}. ` +
      `The lines before it are written (${progressOf(puts)}), it and those behind it are not.`,
    { code: "usage", exitCode: ExitCode.usage },
  );
}

function progressOf({ keys }: Puts): string {
  return keys === 1 ? "1 key" : `${keys} keys`;
}

function goOnFrom(line: number): string {
  return `To go on: tail -n +${line} <file> | kvraft client … import`;
}

/**
 * Puts in flight: at most {@link MAX_PUTS}, and never two of one key, whose order would be undefined. After the first
 * failure no further put is sent.
 */
class Puts {
  /** Keys that were acknowledged, and the bytes of them and their values. */
  keys = 0;
  bytes = 0;
  /** Keys of leases that were left out. */
  leftOut = 0;
  /** The greatest revision of these puts; null before the first one. */
  lastRevision: number | null = null;
  /** Number of the last line whose put was sent. */
  begunLine = 0;
  readonly #client: StoreClient;
  readonly #options: CallOptions;
  readonly #dropsLeases: boolean;
  readonly #keysUnderWay = new Set<string>();
  #bytesUnderWay = 0;
  #failure: { readonly line: number; readonly failure: Failure; readonly cause: unknown } | null = null;
  #oneLess = Promise.withResolvers<void>();

  constructor(
    client: StoreClient,
    { options, dropsLeases }: { readonly options: CallOptions; readonly dropsLeases: boolean },
  ) {
    this.#client = client;
    this.#options = options;
    this.#dropsLeases = dropsLeases;
  }

  /** Returns whether a key is left out, and counts it then. */
  leavesOut({ leaseId }: Pair): boolean {
    if (leaseId === undefined || this.#dropsLeases) return false;
    this.leftOut += 1;
    return true;
  }

  /** Sends the put of `line` as soon as the limits allow it; false after a failure. */
  async begin(pair: Pair, line: number): Promise<boolean> {
    const key = pair.key.toBase64();
    const bytes = pair.key.length + pair.value.length;
    await this.#until(() =>
      !this.#keysUnderWay.has(key) && this.#keysUnderWay.size < MAX_PUTS &&
      (this.#keysUnderWay.size === 0 || this.#bytesUnderWay + bytes <= MAX_BYTES)
    );
    if (this.#failure !== null) return false;
    this.#keysUnderWay.add(key);
    this.#bytesUnderWay += bytes;
    this.begunLine = line;
    void this.#put(pair, line).finally(() => {
      this.#keysUnderWay.delete(key);
      this.#bytesUnderWay -= bytes;
      this.#oneLess.resolve();
    });
    return true;
  }

  /** Waits for all puts. Throws {@link HalfwayError} for the first line that failed. */
  async end(): Promise<void> {
    while (this.#keysUnderWay.size > 0) await this.#nextEnd();
    if (this.#failure === null) return;
    const { line, failure: { code, message, exitCode }, cause } = this.#failure;
    const isPartial = exitCode === ExitCode.unavailable && this.keys > 0;
    throw new HalfwayError(
      `line ${line}: ${message} The lines before it are written, some behind it may be. ${goOnFrom(line)}`,
      { code, exitCode: isPartial ? ExitCode.unknown : exitCode, cause },
    );
  }

  async #until(holds: () => boolean): Promise<void> {
    while (this.#failure === null && !holds()) await this.#nextEnd();
  }

  async #nextEnd(): Promise<void> {
    this.#oneLess = Promise.withResolvers();
    await this.#oneLess.promise;
  }

  /** Never rejects. */
  async #put({ key, value, expiresAtMs }: Pair, line: number): Promise<void> {
    const expiry = expiresAtMs === undefined ? {} : { expiresAtMs };
    try {
      const { revision } = await this.#client.put(key, value, { ...this.#options, ...expiry });
      this.lastRevision = Math.max(this.lastRevision ?? 0, revision);
      this.keys += 1;
      this.bytes += key.length + value.length;
    } catch (error) {
      if (this.#failure !== null && this.#failure.line < line) return;
      this.#failure = { line, failure: failureOf(error), cause: error };
    }
  }
}
