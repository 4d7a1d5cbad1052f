/** The command `watch`: the changes of keys as they are made. */
import type { WatchBatch, WatchedKeys, WatchRequest } from "../../../client/watch/types.ts";
import { assertNever } from "../../../platform/assert.ts";
import { choiceOption, integerOfText, type OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  answer,
  type AnswerPart,
  type CommandContext,
  defineCommand,
  type Invocation,
} from "../../command.ts";
import { UsageError } from "../../errors.ts";
import { bytesOf, KEY_BYTES_OPTIONS, keyOf, VISIBLE_ONLY } from "../../options.ts";
import { countOf, wordAsTyped } from "../../text.ts";
import { nextPageLine } from "../keys/list.ts";
import { entryPart, eventPart, progressPart, resetPart } from "./watch_lines.ts";

/** Entries of a reset that are written at once. */
const ENTRIES_AT_ONCE = 1_000;

const OPTIONS: readonly OptionSpec[] = [
  { name: "prefix", placeholder: null, help: "all keys that begin with <key>" },
  {
    name: "start",
    placeholder: "<key>",
    isSeldom: true,
    help: "a range in place of <key>: its first key, included",
  },
  { name: "end", placeholder: "<key>", isSeldom: true, help: "its last key, not included" },
  { name: "from", placeholder: "<revision>", help: "begin with this revision, out of the history" },
  { name: "only", placeholder: "puts|deletes", help: "leave the other changes out" },
  { name: "previous", placeholder: null, help: "with the value before each change" },
  { name: "resync", placeholder: null, help: "go on with all keys where history is missing" },
  VISIBLE_ONLY,
  { name: "progress", placeholder: null, isSeldom: true, help: "also say up to which revision all is shown" },
  ...KEY_BYTES_OPTIONS,
];

export const WATCH = defineCommand({
  name: "watch",
  otherNames: ["subscribe", "psubscribe", "monitor", "follow", "tail", "listen", "notify"],
  isLong: true,
  arguments: [
    { name: "key", required: true, completion: "key", replacedBy: ["start", "end", "key-base64"] },
  ],
  options: OPTIONS,
  summary: "the changes of a key, or of all keys with a prefix, as they are made",
  details: [
    "Goes on until Ctrl-C, which ends it with 0. Changes come in order, none twice and none missing: when the node is",
    "lost, the watch goes on at another one, and standard error says so. Into a file or pipe go lines of fields parted",
    "by tabs: revision, put, key, value; or revision, delete, key. --previous adds the value before, if there was one.",
    "--progress adds revision, progress: the first one once the watch has begun, then one every ten seconds or so.",
    "When the history of a revision that is to come is compacted, the watch ends with 2; with --resync come revision,",
    "reset, number of keys, and then each of them: its revision, entry, key, value. With --output json every line is a",
    "document; one with more: true is followed by further changes of the same revision.",
  ],
  example: ["watch app/ --prefix", "17\tput\tapp/color\tblue", "18\tdelete\tapp/color"],
  async run(invocation, context): Promise<Answer> {
    const request = requestOf(invocation);
    const client = await context.client();
    const follower = new Follower(invocation, context);
    const signal = context.signal === null ? {} : { signal: context.signal };
    const batches = client.watch({
      ...request,
      ...signal,
      progress: true,
      onInterruption: (reason) => follower.interrupted(reason),
    });
    try {
      for await (const batch of batches) await follower.take(batch);
    } catch (error) {
      if (context.signal?.aborted !== true) throw error;
    }
    return follower.answer();
  },
});

/** Returns the keys and options of a watch. Throws {@link UsageError} for options that contradict each other. */
function requestOf(invocation: Invocation): WatchRequest {
  const { options } = invocation;
  const from = options.get("from");
  const range = { name: "--from", min: 0, max: Number.MAX_SAFE_INTEGER };
  const only = choiceOption(options, "only", ["puts", "deletes"]);
  return {
    ...keysOf(invocation),
    ...(from !== undefined && { from: integerOfText(from, range) }),
    ...(only !== null && { only }),
    previous: options.has("previous"),
    resync: options.has("resync"),
    ...(options.has(VISIBLE_ONLY.name) && { visibleOnly: true }),
  };
}

function keysOf(invocation: Invocation): WatchedKeys {
  const { options } = invocation;
  const [start, end] = [options.get("start"), options.get("end")];
  const isRange = start !== undefined || end !== undefined;
  if (isRange && (options.has("prefix") || options.has("key-base64"))) {
    throw new UsageError("--start and --end name a range, in place of a key or prefix. Give one of them.");
  }
  if (isRange) {
    return {
      ...(start !== undefined && { start: bytesOf(start, invocation) }),
      ...(end !== undefined && { end: bytesOf(end, invocation) }),
    };
  }
  const key = keyOf(invocation);
  return options.has("prefix") ? { prefix: key } : { key };
}

/** Returns the watched keys in words. */
function keysText(keys: WatchedKeys): string {
  const named = (key: string | Uint8Array): string => typeof key === "string" ? key : wordAsTyped(key);
  if (keys.key !== undefined) return `the key ${named(keys.key)}`;
  if (keys.prefix !== undefined) {
    return keys.prefix.length === 0 ? "all keys" : `the keys that begin with ${named(keys.prefix)}`;
  }
  const start = keys.start === undefined ? "" : ` from ${named(keys.start)} on`;
  const end = keys.end === undefined ? "" : ` before ${named(keys.end)}`;
  return `the keys${start}${end}`;
}

/** Shows the batches of a watch. */
class Follower {
  readonly #invocation: Invocation;
  readonly #context: CommandContext;
  readonly #showsProgress: boolean;
  #events = 0;
  /** The last revision up to which everything is shown; null before the watch has begun. */
  #revision: number | null = null;
  #isInterrupted = false;

  constructor(invocation: Invocation, context: CommandContext) {
    this.#invocation = invocation;
    this.#context = context;
    this.#showsProgress = invocation.options.has("progress");
    context.showProgress("the watch begins …; Ctrl-C ends it");
  }

  /** Says once that the watch was lost at its node, until it has begun at another one. */
  interrupted(reason: string): void {
    if (this.#isInterrupted) return;
    this.#isInterrupted = true;
    this.#context.note(`the watch was interrupted: ${reason.replace(/\.$/, "")}`);
  }

  async take(batch: WatchBatch): Promise<void> {
    // Events may have waited here since before the interruption; progress comes when the watch has begun again.
    if (this.#isInterrupted && batch.kind !== "events") {
      this.#isInterrupted = false;
      this.#context.note(`the watch goes on after revision ${batch.revision}`);
    }
    const isFirst = this.#revision === null;
    this.#revision = batch.revision;
    switch (batch.kind) {
      case "events": {
        const { events, revision } = batch;
        this.#events += events.length;
        const parts = events.map((event, position): AnswerPart =>
          eventPart(event, { revision, hasMore: position < events.length - 1 })
        );
        return await this.#context.show(parts);
      }
      case "reset": {
        const { entries, revision } = batch;
        await this.#context.show([resetPart(revision, entries.length)]);
        for (let first = 0; first < entries.length; first += ENTRIES_AT_ONCE) {
          await this.#context.show(entries.slice(first, first + ENTRIES_AT_ONCE).map(entryPart));
        }
        return;
      }
      case "progress":
        if (this.#showsProgress) await this.#context.show([progressPart(batch.revision)]);
        else if (isFirst) this.#announce(batch.revision);
        return;
      default:
        assertNever(batch);
    }
  }

  /** Returns the answer of a watch that its user has ended. */
  answer(): Answer {
    const [events, revision] = [this.#events, this.#revision];
    const upTo = revision === null
      ? ""
      : ` up to revision ${revision}; to go on: ${this.#nextLine(revision)}`;
    return answer({
      text: () => ({ output: "", note: `-- ${countOf(events, "change")}${upTo}\n` }),
      json: () => ({ events, revision }),
      hasWrittenData: true,
    });
  }

  #announce(revision: number): void {
    const keys = keysText(keysOf(this.#invocation));
    this.#context.showProgress(`watching ${keys} from revision ${revision + 1} on; Ctrl-C ends it`);
  }

  #nextLine(revision: number): string {
    const option = { name: "from", bytes: new TextEncoder().encode(String(revision + 1)) };
    const { options } = this.#invocation;
    const argument = options.has("start") || options.has("end") ? null : keyOf(this.#invocation);
    return nextPageLine(this.#invocation, { option, begins: ["from", "key-base64"], argument });
  }
}
