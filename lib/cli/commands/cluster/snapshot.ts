/** The commands `snapshot now` and `snapshot save`. */
import { InternalError, KvraftError } from "../../../client/errors.ts";
import { reasonWithin } from "../../../client/retry.ts";
import type { SnapshotDownload, SnapshotInfo, SnapshotOptions } from "../../../client/types.ts";
import {
  type Answer,
  answer,
  type ArgumentSpec,
  changeAnswer,
  type Command,
  type CommandContext,
  defineCommand,
  type Invocation,
} from "../../command.ts";
import { callOptions, nodeOf } from "../../options.ts";
import { ExitCode, HalfwayError, UsageError } from "../../errors.ts";
import type { Disk } from "../../../platform/disk.ts";
import { errorCode, errorMessage } from "../../../platform/errors.ts";
import { confinedDisk } from "../../../platform/named_paths.ts";
import { fileErrorReason } from "../../../platform/private_file.ts";
import { writeBackup } from "../../../server/backups/backup_file.ts";
import { integerOfText } from "../../arguments.ts";
import { countOf, duration, escapeText, percentOf, perSecond, sizeText } from "../../text.ts";

/** Deadline of taking a snapshot unless the invocation has its own: a large store takes long. */
const TAKING_TIMEOUT_MS = 120_000;
/** Interval between progress lines. */
const PROGRESS_INTERVAL_MS = 200;

/** The node that takes it; the leader by default. */
const NODE: ArgumentSpec = { name: "n", required: false, completion: "node" };

const NOW = defineCommand({
  name: "snapshot now",
  isLong: true,
  arguments: [NODE],
  summary: "have node n, or the leader, take a snapshot now and cut its log",
  details: [
    "Nodes do so by themselves when their log outgrows the state; this is for before a restart or a copy. The log is",
    "cut behind the snapshot before this one, should this one ever turn out damaged.",
  ],
  example: ["snapshot now", "ok  snapshot of n2: revision 1200, index 1234, term 5, 27.0 MB"],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    context.showProgress("a node takes a snapshot …; Ctrl-C stops waiting, not the snapshot");
    const info = await client.cluster.takeSnapshot(takingOptions(invocation, context));
    const { nodeId, index, term, revision, bytes } = info;
    return changeAnswer({
      line: `ok  snapshot of n${nodeId}: revision ${revision}, index ${index}, term ${term}, ${
        sizeText(bytes)
      }`,
      document: documentOf(info),
    });
  },
});

/** Where `snapshot save` writes. A number alone names the node, as in version 0.1.0, which had no files here. */
const FILE: ArgumentSpec = { name: "file", required: false, completion: "node" };
const NODE_NUMBER = /^n?[0-9]+$/;

const SAVE = defineCommand({
  name: "snapshot save",
  otherNames: ["backup", "save", "bgsave"],
  isLong: true,
  arguments: [FILE],
  options: [
    { name: "node", placeholder: "<n>", help: "the node that gives it (the leader)" },
    { name: "force", placeholder: null, help: "replace the file if there is one" },
  ],
  summary: "write a backup of the whole store to a file, or to standard output",
  details: [
    "One moment of the store, named by its revision, with checksums; any node may give it, also one that lags. A file",
    "gets its name once it is complete, verified and durable; only its owner may read it. Without a file the bytes go to",
    "standard output, which is not verified here: any exit code but 0 means that they are of no use. kvraft server",
    "inspect <file> says what is in a backup; kvraft server restore makes a new cluster of it. A number in place of the",
    "file names the node (a file of that name is ./3). --timeout-ms is for taking it (120000 here), then for each part.",
  ],
  example: [
    "snapshot save backup.snap",
    "saved backup.snap: revision 1200 of n2, 1,000 keys, 27.0 MB in 0.4 s",
  ],
  async run(invocation, context): Promise<Answer> {
    const path = fileOf(invocation);
    const { environment } = context;
    const target = path === null ? null : new BackupTarget(path, {
      environment,
      isReplaced: invocation.options.has("force"),
    });
    target?.requireFree();
    if (target === null && context.output.isTerminal) {
      throw new UsageError(
        "snapshot save without a file writes bytes to standard output, which is a terminal here. " +
          "Example: snapshot save backup.snap",
      );
    }
    const client = await context.client();
    const startedAt = environment.clock.now();
    context.showProgress("a node takes a snapshot …");
    await using download = await client.cluster.openSnapshot(takingOptions(invocation, context));
    const keys = target === null ? await copyOut(download, context) : await target.save(download, context);
    const took = duration(environment.clock.now() - startedAt);
    return savedAnswer(download, { path, keys, took });
  },
});

export const SNAPSHOT_COMMANDS: readonly Command[] = [NOW, SAVE];

function documentOf({ nodeId, index, term, revision, bytes }: SnapshotInfo): unknown {
  return { nodeId, index, term, revision, bytes };
}

/** Returns the answer of `snapshot save`; `path` and `keys` are null for standard output. */
function savedAnswer(
  download: SnapshotInfo,
  { path, keys, took }: {
    readonly path: string | null;
    readonly keys: number | null;
    readonly took: string;
  },
): Answer {
  const { nodeId, revision, bytes } = download;
  if (path === null || keys === null) {
    const note = `saved revision ${revision} of n${nodeId}: ${sizeText(bytes)} in ${took}\n`;
    return answer({
      text: () => ({ output: "", note }),
      json: () => documentOf(download),
      hasWrittenData: true,
    });
  }
  const what = `revision ${revision} of n${nodeId}, ${countOf(keys, "key")}, ${sizeText(bytes)}`;
  return answer({
    text: () => ({ output: `saved ${escapeText(path)}: ${what} in ${took}\n`, note: "" }),
    json: () => ({ ...Object(documentOf(download)), file: path, keys }),
    outcome: `The backup was saved: ${path}.`,
  });
}

/** Returns the path of the file that `snapshot save` writes; null for standard output. */
function fileOf({ args, options }: Invocation): string | null {
  const text = args.get(FILE.name)?.text;
  if (text === undefined || text === "-" || NODE_NUMBER.test(text)) {
    if (!options.has("force")) return null;
    throw new UsageError("--force replaces a file, and snapshot save names none.");
  }
  if (text === "") throw new UsageError("snapshot save takes the path of a file, which is not empty.");
  return text;
}

function takingOptions(invocation: Invocation, context: CommandContext): SnapshotOptions {
  return { timeoutMs: TAKING_TIMEOUT_MS, ...callOptions(invocation, context), ...chosenNode(invocation) };
}

/** Returns the node that was chosen: by `--node`, or by the argument of `snapshot now`, or a number in place of the file. */
function chosenNode(invocation: Invocation): { readonly node?: number } {
  const option = invocation.options.get("node");
  const argument = invocation.args.has(NODE.name)
    ? NODE.name
    : NODE_NUMBER.test(invocation.args.get(FILE.name)?.text ?? "")
    ? FILE.name
    : null;
  if (option === undefined) return argument === null ? {} : { node: nodeOf(invocation, argument) };
  if (argument !== null) {
    throw new UsageError("snapshot save names the node twice. A file whose name is a number: ./3");
  }
  const range = { name: "--node", min: 1, max: Number.MAX_SAFE_INTEGER };
  return { node: integerOfText(option.replace(/^n(?=\d)/, ""), range) };
}

/** The file that a backup is saved to. */
class BackupTarget {
  readonly #path: string;
  /** The absolute path. */
  readonly #file: string;
  readonly #temporaryFile: string;
  readonly #isReplaced: boolean;
  readonly #disk: Disk;

  constructor(path: string, { environment, isReplaced }: {
    readonly environment: CommandContext["environment"];
    readonly isReplaced: boolean;
  }) {
    this.#path = path;
    this.#file = environment.absolute(path);
    // Two saves to one path at a time each have a file of their own; the last one that ends stays.
    const unique = Math.floor(environment.random() * 2 ** 32).toString(16).padStart(8, "0");
    this.#temporaryFile = `${this.#file}.${unique}.new`;
    this.#isReplaced = isReplaced;
    this.#disk = confinedDisk(environment.disk, { reads: [], writes: [this.#file, this.#temporaryFile] });
  }

  /** Throws {@link UsageError} if there is something that would be replaced and must not be. */
  requireFree(): void {
    const found = this.#tryUsing(() => this.#disk.stat(this.#file));
    if (found === null || (found === "file" && this.#isReplaced)) return;
    throw new UsageError(
      found === "file"
        ? `Cannot save to ${this.#path}: there is a file already. Choose another name, or add --force to replace it.`
        : `Cannot save to ${this.#path}: it is no file. Name a file; without one, the bytes go to standard output.`,
    );
  }

  /** Writes and verifies the file; resolves to the number of keys in it. */
  async save(download: SnapshotDownload, context: CommandContext): Promise<number> {
    const progress = new Progress(download, context);
    let cause: unknown = null;
    async function* counted(): AsyncGenerator<Uint8Array> {
      try {
        yield* progress.chunks();
      } catch (error) {
        cause = error;
        throw error;
      }
    }
    try {
      const { keys } = await writeBackup({
        disk: this.#disk,
        path: this.#file,
        temporaryPath: this.#temporaryFile,
        chunks: counted(),
        beforeRename: () => this.requireFree(),
        yieldToEventLoop: () => Promise.resolve(),
      });
      return keys;
    } catch (error) {
      if (error instanceof UsageError) throw error;
      const code = cause instanceof KvraftError ? cause.code : errorCode(error) ?? "internal";
      const exitCode = cause instanceof KvraftError ? ExitCode.unavailable : ExitCode.output;
      const reason = reasonWithin(cause === null ? fileErrorReason(error) : errorMessage(cause));
      throw new HalfwayError(
        `Cannot save ${this.#path}: ${reason}. Nothing was left there, and an earlier file is unchanged.`,
        { code, exitCode, cause: error },
      );
    }
  }

  #tryUsing<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      throw new UsageError(`Cannot save to ${this.#path}: ${fileErrorReason(error)}.`, { cause: error });
    }
  }
}

/** The parts of a snapshot in transit, shown as progress. */
class Progress {
  readonly #download: SnapshotDownload;
  readonly #context: CommandContext;
  /** Bytes that were handed on. */
  written = 0;

  constructor(download: SnapshotDownload, context: CommandContext) {
    this.#download = download;
    this.#context = context;
  }

  /** Yields the file. Throws unless all of it came. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { environment: { clock }, showProgress } = this.#context;
    const { bytes } = this.#download;
    const startedAt = clock.now();
    let shownAt = -Infinity;
    for await (const chunk of this.#download.chunks()) {
      yield chunk;
      this.written += chunk.length;
      const now = clock.now();
      if (now - shownAt < PROGRESS_INTERVAL_MS) continue;
      shownAt = now;
      showProgress(progressText({ written: this.written, bytes, elapsedMs: now - startedAt }));
    }
    if (this.written !== bytes) {
      throw new InternalError("the node sent another number of bytes than announced.");
    }
  }
}

/** Copies the file to standard output. Throws {@link HalfwayError} unless it is complete. */
async function copyOut(download: SnapshotDownload, context: CommandContext): Promise<null> {
  const progress = new Progress(download, context);
  try {
    for await (const chunk of progress.chunks()) await context.output.write(chunk);
  } catch (error) {
    const code = error instanceof KvraftError ? error.code : "output";
    throw incomplete({ written: progress.written, bytes: download.bytes, code, cause: error });
  }
  return null;
}

/** Returns `12.3 MB of 27.0 MB, 45%, 31.0 MB/s`. */
function progressText(
  { written, bytes, elapsedMs }: Record<"written" | "bytes" | "elapsedMs", number>,
): string {
  const rate = sizeText(Math.round(perSecond(written, elapsedMs)));
  return `${sizeText(written)} of ${sizeText(bytes)}, ${percentOf(written, bytes)}%, ${rate}/s`;
}

function incomplete(
  { written, bytes, code, cause }: {
    readonly written: number;
    readonly bytes: number;
    readonly code: string;
    readonly cause: unknown;
  },
): HalfwayError {
  const reason = reasonWithin(errorMessage(cause));
  // A write that failed may have written a part of its chunk.
  const has = code === "output"
    ? `is not complete, which takes ${bytes} bytes,`
    : `has ${written} of ${bytes} bytes`;
  return new HalfwayError(
    `Cannot save the snapshot: ${reason}. The output ${has} and is useless: remove it, and save again.`,
    { code, exitCode: code === "output" ? ExitCode.output : ExitCode.unavailable, cause },
  );
}
