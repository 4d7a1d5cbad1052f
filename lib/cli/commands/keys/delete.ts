/** The command `delete`: one key, or all keys that begin with a prefix. */
import { concat } from "@std/bytes";
import { KvraftError, TransactionFailedError } from "../../../client/errors.ts";
import type { KeySelection } from "../../../client/transaction/types.ts";
import type { CallOptions } from "../../../client/types.ts";
import type { OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  changeAnswer,
  type CommandContext,
  defineCommand,
  type Invocation,
  type StoreClient,
} from "../../command.ts";
import { callOptions, KEY, KEY_BYTES_OPTIONS, keyOf } from "../../options.ts";
import { ExitCode, failureOf, HalfwayError, UsageError } from "../../errors.ts";
import { countOf, fit, withThousands, wordAsTyped } from "../../text.ts";

/** Keys of a transaction where one cannot have all of them. */
const PAGE_KEYS = 1_000;
/** Widest prefix in a question or message, in columns. */
const MAX_PREFIX_COLUMNS = 60;

const PREFIX: OptionSpec = {
  name: "prefix",
  placeholder: null,
  help: "all keys that begin with <key>; asks before it deletes",
};
const YES: OptionSpec = { name: "yes", placeholder: null, help: "with --prefix: do not ask" };

export const DELETE = defineCommand({
  name: "delete",
  otherNames: ["del", "rm", "remove", "unset", "erase", "drop", "unlink"],
  longOption: PREFIX.name,
  arguments: [KEY],
  options: [PREFIX, YES, ...KEY_BYTES_OPTIONS],
  summary: "remove a key, or all keys with a prefix",
  details: [
    "Ends with 1 when the key did not exist, or there was no key with the prefix. With --prefix it says how many keys",
    'there are, and deletes them at "y"; without a terminal it needs --yes. Up to 10 000 keys are deleted in one',
    "transaction; of more, which go 1 000 at a time, others see a part gone. What others write meanwhile may stay.",
  ],
  example: ["delete greeting", "ok  revision 13"],
  async run(invocation, context): Promise<Answer> {
    const { options } = invocation;
    if (options.has(PREFIX.name)) return await deletePrefix(invocation, context);
    if (options.has(YES.name)) throw new UsageError("--yes answers the question of --prefix. Give both.");
    const client = await context.client();
    const { deleted, revision } = await client.delete(keyOf(invocation), callOptions(invocation, context));
    return changeAnswer({
      line: `${deleted ? "ok" : "(not found)"}  revision ${revision}`,
      document: { deleted, revision },
      exitCode: deleted ? ExitCode.done : ExitCode.no,
    });
  },
});

/** The keys that are deleted so far. */
interface Deleted {
  readonly keys: number;
  /** The revision after it. */
  readonly revision: number;
  readonly transactions: number;
}

async function deletePrefix(invocation: Invocation, context: CommandContext): Promise<Answer> {
  const prefix = keyOf(invocation);
  const isAsked = !invocation.options.has(YES.name);
  if (isAsked && context.confirm === null) {
    throw new UsageError(
      "delete --prefix asks before it deletes, and there is no terminal to ask on. Give --yes.",
    );
  }
  const client = await context.client();
  let total: number | null = null;
  if (isAsked) {
    const { count, revision } = await client.count({ prefix, ...callOptions(invocation, context) });
    total = count;
    if (total === 0) return answerOf({ keys: 0, revision, transactions: 0 });
    const isMeant = await context.confirm?.(`Delete ${targetOf(prefix, total)}? [y/N] `);
    context.signal?.throwIfAborted();
    if (isMeant !== true) return answerOf({ keys: 0, revision, transactions: 0 }, "nothing was deleted");
  }
  return answerOf(await new PrefixDeletion(client, { prefix, total, invocation, context }).run());
}

function answerOf({ keys, revision, transactions }: Deleted, nothing = "(not found)"): Answer {
  const steps = transactions > 1 ? ` in ${countOf(transactions, "transaction")}` : "";
  return changeAnswer({
    line: keys === 0
      ? `${nothing}  revision ${revision}`
      : `ok  ${countOf(keys, "key")}${steps}  revision ${revision}`,
    document: { deleted: keys, revision, transactions },
    exitCode: keys === 0 ? ExitCode.no : ExitCode.done,
  });
}

/** Returns `12 431 keys that begin with user:`. */
function targetOf(prefix: Uint8Array, count: number): string {
  if (prefix.length === 0) return count === 1 ? "the only key" : `all ${countOf(count, "key")}`;
  const verb = count === 1 ? "begins" : "begin";
  return `${countOf(count, "key")} that ${verb} with ${fit(wordAsTyped(prefix), MAX_PREFIX_COLUMNS)}`;
}

/** The deletion of the keys that begin with a prefix. */
class PrefixDeletion {
  readonly #client: StoreClient;
  readonly #prefix: Uint8Array;
  /** Keys there were when the question was asked; null if it was not. */
  readonly #total: number | null;
  readonly #context: CommandContext;
  readonly #options: CallOptions;
  #deleted: Deleted = { keys: 0, revision: 0, transactions: 0 };

  constructor(client: StoreClient, { prefix, total, invocation, context }: {
    readonly prefix: Uint8Array;
    readonly total: number | null;
    readonly invocation: Invocation;
    readonly context: CommandContext;
  }) {
    this.#client = client;
    this.#prefix = prefix;
    this.#total = total;
    this.#context = context;
    // A transaction that is sent is waited for, so that it is known how many keys are deleted.
    this.#options = callOptions(invocation, { ...context, signal: null });
  }

  /** Deletes the keys, in one transaction if it can have all. Throws {@link HalfwayError} when a part is deleted. */
  async run(): Promise<Deleted> {
    try {
      await this.#delete({ prefix: this.#prefix });
    } catch (error) {
      if (!(error instanceof TransactionFailedError) || error.reason !== "tooManyKeys") throw error;
      await this.#deletePages();
    }
    return this.#deleted;
  }

  async #deletePages(): Promise<void> {
    const { signal } = this.#context;
    let start = this.#prefix;
    try {
      for (;;) {
        signal?.throwIfAborted();
        const range = { prefix: this.#prefix, start, keysOnly: true, limit: PAGE_KEYS };
        const { entries, cursor } = await this.#client.list({ ...this.#options, ...range });
        const last = entries.at(-1);
        if (last === undefined) return;
        // The next key in byte order is the same with a zero behind it.
        const end = concat([last.key, Uint8Array.of(0)]);
        await this.#delete({ start, end });
        if (cursor === null) return;
        start = end;
        this.#context.showProgress(`${this.#progress()} deleted; Ctrl-C ends it`);
      }
    } catch (error) {
      throw this.#halfway(error);
    }
  }

  async #delete(keys: KeySelection): Promise<void> {
    const { revision, results: [{ deleted }] } = await this.#client.transaction({
      then: [{ kind: "delete", ...keys }],
      ...this.#options,
    });
    const before = this.#deleted;
    this.#deleted = { keys: before.keys + deleted, revision, transactions: before.transactions + 1 };
  }

  /** Returns `4 000 of 12 431 keys`. */
  #progress(): string {
    const { keys } = this.#deleted;
    return this.#total === null
      ? countOf(keys, "key")
      : `${withThousands(keys)} of ${countOf(this.#total, "key")}`;
  }

  #halfway(cause: unknown): unknown {
    const { keys, revision } = this.#deleted;
    const isNamed = cause instanceof KvraftError;
    if (keys === 0 && isNamed) return cause;
    if (!isNamed && this.#context.signal?.aborted !== true) return cause;
    const { code, message } = isNamed
      ? failureOf(cause)
      : { code: "aborted", message: "It was interrupted." };
    const gone = keys === 0 ? "no key" : this.#progress();
    const upTo = keys === 0 ? "" : ` up to revision ${revision}`;
    const inFlight = isNamed && cause.outcome === "unknown"
      ? ` (up to ${withThousands(PAGE_KEYS)} more may be)`
      : "";
    return new HalfwayError(
      `The deletion ended: ${gone} deleted${upTo}${inFlight}. ${message} Give the command again for the rest.`,
      { code, exitCode: keys === 0 ? ExitCode.unavailable : ExitCode.unknown, cause },
    );
  }
}
