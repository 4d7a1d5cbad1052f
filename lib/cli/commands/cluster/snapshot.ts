/** The commands `snapshot now` and `snapshot save`. */
import { KvraftError } from "../../../client/errors.ts";
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
import { errorMessage } from "../../../platform/errors.ts";
import { duration, percentOf, perSecond, sizeText } from "../../text.ts";

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

const SAVE = defineCommand({
  name: "snapshot save",
  otherNames: ["backup", "save", "bgsave"],
  isLong: true,
  arguments: [NODE],
  summary: "write a backup of the whole store to standard output",
  details: [
    "Not from within the shell: kvraft client --cluster <nodes> snapshot save > backup.snap",
    "One moment of the store, named by its revision, with checksums; any node may give it, also",
    "one that lags. Any exit code but 0 means that the",
    "file is not whole and is of no use. kvraft server inspect <file> says what is in it; kvraft server restore makes",
    "a new cluster of it. --timeout-ms is for taking it (120000 here), then for each part.",
  ],
  example: ["snapshot save", "saved revision 1200 of n2: 27.0 MB in 0.4 s"],
  async run(invocation, context): Promise<Answer> {
    if (context.output.isTerminal) {
      throw new UsageError(
        "snapshot save writes bytes to standard output, which is a terminal here. " +
          "Type: kvraft client --cluster <nodes> snapshot save > backup.snap",
      );
    }
    const client = await context.client();
    const { clock } = context.environment;
    const startedAt = clock.now();
    context.showProgress("a node takes a snapshot …");
    await using download = await client.cluster.openSnapshot(takingOptions(invocation, context));
    await copyOut(download, context);
    const { nodeId, revision, bytes } = download;
    const took = duration(clock.now() - startedAt);
    return answer({
      text: () => ({
        output: "",
        note: `saved revision ${revision} of n${nodeId}: ${sizeText(bytes)} in ${took}\n`,
      }),
      json: () => documentOf(download),
      hasWrittenData: true,
    });
  },
});

export const SNAPSHOT_COMMANDS: readonly Command[] = [NOW, SAVE];

function documentOf({ nodeId, index, term, revision, bytes }: SnapshotInfo): unknown {
  return { nodeId, index, term, revision, bytes };
}

function takingOptions(invocation: Invocation, context: CommandContext): SnapshotOptions {
  const node = invocation.args.has(NODE.name) ? { node: nodeOf(invocation, NODE.name) } : {};
  return { timeoutMs: TAKING_TIMEOUT_MS, ...callOptions(invocation, context), ...node };
}

/** Copies the file to standard output. Throws {@link HalfwayError} unless it is complete. */
async function copyOut(
  download: SnapshotDownload,
  { output, environment, showProgress }: CommandContext,
): Promise<void> {
  const { clock } = environment;
  const { bytes } = download;
  const startedAt = clock.now();
  let shownAt = -Infinity;
  let written = 0;
  try {
    for await (const chunk of download.chunks()) {
      await output.write(chunk);
      written += chunk.length;
      const now = clock.now();
      if (now - shownAt < PROGRESS_INTERVAL_MS) continue;
      shownAt = now;
      showProgress(progressText({ written, bytes, elapsedMs: now - startedAt }));
    }
  } catch (error) {
    const code = error instanceof KvraftError ? error.code : "output";
    throw incomplete({ written, bytes, code, cause: error });
  }
  if (written !== bytes) {
    const cause = new Error("the node sent another number of bytes than announced.");
    throw incomplete({ written, bytes, code: "internal", cause });
  }
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
