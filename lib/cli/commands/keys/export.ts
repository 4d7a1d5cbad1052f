/** The command `export`: keys and values as lines of JSON, or as etcdctl writes them, page by page. */
import { KvraftError } from "../../../client/errors.ts";
import type { ListResult } from "../../../client/types.ts";
import { choiceOption, integerOfText, type OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  answer,
  type CommandContext,
  defineCommand,
  type Invocation,
  type StoreClient,
} from "../../command.ts";
import { BYTES_OPTIONS, bytesOf, READ_OPTIONS, readOptions } from "../../options.ts";
import type { Output } from "../../environment.ts";
import { ExitCode, failureOf, HalfwayError, OutputError } from "../../errors.ts";
import { EXPORT_FORMAT, EXPORT_FORMATS, type ExportFormat } from "../../formats/export_format.ts";
import { countOf, duration, perSecond, sizeText, withThousands } from "../../text.ts";
import { Pace } from "../../waiting.ts";

/** Keys of a page, which bounds the memory; a page of long values is shorter. */
const PAGE_KEYS = 1_000;
const MAX_RATE = 1_000_000;

/** Limits the keys per second. */
export const RATE: OptionSpec = {
  name: "rate",
  placeholder: "<n>",
  help: "keys a second at most (no limit)",
};

const FORMAT: OptionSpec = {
  name: "format",
  placeholder: EXPORT_FORMATS.join("|"),
  help: "lines of JSON (ndjson), or one document as of etcdctl get -w json (etcd)",
};

/** Returns the requested rate, or null. Throws {@link UsageError}. */
export function rateOf({ options }: Invocation): number | null {
  const text = options.get("rate");
  return text === undefined ? null : integerOfText(text, { name: "--rate", min: 1, max: MAX_RATE });
}

/** The result of an export. */
interface ExportReport {
  readonly keys: number;
  /** Keys whose time of expiry the format does not have. */
  readonly withoutExpiry: number;
  /** Bytes of the lines. */
  readonly bytes: number;
  /** Revisions of the first and the last page. */
  readonly firstRevision: number;
  readonly lastRevision: number;
  readonly elapsedMs: number;
}

export const EXPORT = defineCommand({
  name: "export",
  otherNames: ["dump"],
  isLong: true,
  arguments: [{ name: "prefix", required: false, completion: "key" }],
  options: [FORMAT, RATE, ...READ_OPTIONS, ...BYTES_OPTIONS],
  summary: "write the keys that begin with prefix, as lines of JSON or as etcdctl does",
  details: [
    "Reads page by page: writes that are made meanwhile may be in it or not, and a note says so. For one moment of the",
    "whole store use snapshot save. Bytes that are no UTF-8 become keyBase64, valueBase64. A key of a lease has leaseId,",
    "one that expires has expiresAtMs, which --format etcd cannot show; a note counts such keys.",
  ],
  example: ["export user:", `{"key":"user:1","value":"ada"}`],
  async run(invocation, context): Promise<Answer> {
    const rate = rateOf(invocation);
    const format = EXPORT_FORMAT[choiceOption(invocation.options, FORMAT.name, EXPORT_FORMATS) ?? "ndjson"];
    const options = readOptions(invocation, context);
    const prefix = bytesOf(invocation.args.get("prefix")?.text ?? "", invocation);
    const client = await context.client();
    const source = (cursor: string | null): Promise<ListResult> =>
      client.list({ ...options, prefix, limit: Math.min(PAGE_KEYS, rate ?? PAGE_KEYS), cursor });
    const report = await writePages(source, { rate, format, context });
    const { keys, bytes, firstRevision, lastRevision } = report;
    return answer({
      text: () => ({ output: "", note: exportText(report) }),
      json: () => ({ keys, bytes, firstRevision, lastRevision }),
      hasWrittenData: true,
    });
  },
});

/** Returns the summary, which also says whether all pages are of one revision. */
function exportText(
  { keys, bytes, withoutExpiry, firstRevision, lastRevision, elapsedMs }: ExportReport,
): string {
  const lost = withoutExpiry === 0 ? "" : `, ${countOf(withoutExpiry, "key")} without the time of expiry`;
  const summary = `exported ${countOf(keys, "key")}, ${sizeText(bytes)}, in ${duration(elapsedMs)}${lost}`;
  if (firstRevision === lastRevision) return `${summary}, all at revision ${lastRevision}\n`;
  return `${summary}\nThe store changed meanwhile, from revision ${firstRevision} to ${lastRevision}: these writes may be ` +
    "in it or not. For one moment of the store use snapshot save.\n";
}

async function writePages(
  source: (cursor: string | null) => ReturnType<StoreClient["list"]>,
  { rate, format, context }: {
    readonly rate: number | null;
    readonly format: ExportFormat;
    readonly context: CommandContext;
  },
): Promise<ExportReport> {
  const { output, signal } = context;
  const pace = new Pace(rate, context.environment.clock);
  let [keys, bytes, withoutExpiry] = [0, 0, 0];
  let cursor: string | null = null;
  let firstRevision: number | null = null;
  let lastRevision = 0;
  do {
    let page: ListResult;
    try {
      signal?.throwIfAborted();
      page = await source(cursor);
    } catch (error) {
      if (keys === 0 && error instanceof KvraftError) throw error;
      throw incomplete(keys, error);
    }
    const before = keys;
    keys += page.entries.length;
    const end = page.cursor === null ? format.end(keys) : "";
    const lines = new TextEncoder().encode(
      format.page(page.entries, { revision: page.revision, before }) + end,
    );
    if (lines.length > 0) await write(lines, { output, keys: before });
    if (!format.hasExpiry) {
      withoutExpiry += page.entries.filter(({ expiresAtMs }) => expiresAtMs !== undefined).length;
    }
    bytes += lines.length;
    firstRevision ??= page.revision;
    lastRevision = page.revision;
    if (!output.isTerminal) context.showProgress(progressText(keys, pace.elapsedMs));
    cursor = page.cursor;
    if (cursor !== null) await pace.reach(keys, signal);
  } while (cursor !== null);
  return { keys, bytes, withoutExpiry, firstRevision, lastRevision, elapsedMs: pace.elapsedMs };
}

/** Writes a page. Throws {@link HalfwayError} if that fails. `keys`: the number of keys before it. */
async function write(
  lines: Uint8Array,
  { output, keys }: { readonly output: Output; readonly keys: number },
): Promise<void> {
  try {
    await output.write(lines);
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    const { code, reason, cause } = error;
    throw new HalfwayError(
      `Cannot write the export to standard output: ${reason}. It ended after ${countOf(keys, "key")}; ` +
        "what was written is not everything.",
      { code, exitCode: ExitCode.output, cause },
    );
  }
}

/** Returns `12 431 keys, 5 400/s; Ctrl-C ends it`. */
export function progressText(keys: number, elapsedMs: number): string {
  return `${countOf(keys, "key")}, ${withThousands(perSecond(keys, elapsedMs))}/s; Ctrl-C ends it`;
}

function incomplete(keys: number, cause: unknown): HalfwayError {
  const isNamed = cause instanceof KvraftError;
  const { code, message } = isNamed ? failureOf(cause) : { code: "aborted", message: "it was interrupted." };
  return new HalfwayError(
    `The export ended after ${countOf(keys, "key")}: ${message} What was written is not everything.`,
    { code, exitCode: ExitCode.unavailable, cause },
  );
}
