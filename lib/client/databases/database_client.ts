/**
 * The calls on databases (lib/kv/databases): for a front end that speaks Deno KV's protocol, and for the command line. Keys
 * are those within a database, and values begin with the byte of their encoding.
 */
import type { KeyValue } from "../../kv/command.ts";
import type { DatabasesChange, DatabasesFailure } from "../../kv/databases/database_command.ts";
import { type NextRange, type ReadRange, validateRanges } from "../../kv/databases/range_reads.ts";
import {
  DATABASE_PREFIX_BYTES,
  databaseKey,
  databaseRange,
  REGISTRY_KEY,
} from "../../kv/databases/reserved_keys.ts";
import { validateDatabasesChange, validateDatabaseWrite } from "../../kv/databases/validate_databases.ts";
import { MAX_VALUE_BYTES } from "../../kv/command.ts";
import { successor } from "../../kv/keys.ts";
import { assert, assertNever } from "../../platform/assert.ts";
import type { CallContext } from "../call_context.ts";
import type { Answered } from "../calls.ts";
import type { RequestOf } from "../connection.ts";
import type { ClientCore } from "../core.ts";
import { CompactedError, DatabasesChangeRefusedError } from "../errors.ts";
import { throwProblem, toConsistency } from "../input.ts";
import type { Consistency } from "../../protocol/messages.ts";
import type { CallOptions } from "../types.ts";
import { wrongAnswer } from "../writer.ts";
import { KeyWatches } from "./key_watches.ts";
import type {
  DatabaseCallOptions,
  DatabaseList,
  DatabaseRange,
  DatabaseReadOptions,
  DatabaseReadResult,
  DatabasesChangeResult,
  DatabaseWriteRequest,
  DatabaseWriteResult,
} from "./types.ts";

const READ = "read a database";
const WRITE = "write to a database";
const LIST = "list the databases";
/** Attempts of a read of several answers, of which a compaction may take the rest. */
const MAX_READ_ATTEMPTS = 3;

/** The databases of a cluster. Every call rejects with a KvraftError. */
export class DatabaseClient {
  readonly #core: ClientCore;
  readonly #watches: KeyWatches;

  /** Makes a client that uses the connections and the session of `core`. */
  constructor(core: ClientCore) {
    this.#core = core;
    this.#watches = new KeyWatches(core);
  }

  /** Reads ranges of a database, all at one revision. What they may have in all is bounded by their limits alone. */
  async read(
    databaseId: number,
    ranges: readonly DatabaseRange[],
    options: DatabaseReadOptions = {},
  ): Promise<DatabaseReadResult> {
    const consistency = toConsistency(options);
    const context = this.#core.context(options);
    const wanted = ranges.map((range) => inStore(databaseId, range));
    throwProblem(validateRanges(wanted));
    let mayReadMore = options.beforeMore === undefined;
    for (let attempt = 1;; attempt++) {
      try {
        const result = await this.#readAll(wanted, { consistency, context, mayReadMore });
        if (result !== null) return result;
        mayReadMore = true;
        await options.beforeMore?.();
      } catch (error) {
        if (!(error instanceof CompactedError) || attempt === MAX_READ_ATTEMPTS) throw error;
      }
    }
  }

  /**
   * Makes a write, exactly once. `credentialId`: the id of the access token by which it came, or 0.
   *
   * @throws {DatabaseNotFoundError} when there is no such database
   * @throws {AuthenticationError} when the access token was removed, or the write needs one
   */
  write(
    databaseId: number,
    credentialId: number,
    { checks, mutations }: DatabaseWriteRequest,
    options: DatabaseCallOptions = {},
  ): Promise<DatabaseWriteResult> {
    const command = { kind: "databaseWrite", databaseId, credentialId, checks, mutations } as const;
    const problem = validateDatabaseWrite({ ...command, session: null }, { maxValueBytes: MAX_VALUE_BYTES });
    try {
      throwProblem(problem);
      const notes = { action: WRITE, options, context: this.#core.context(options) };
      return this.#core.write({ command }, notes, (result) => {
        if (result.kind === "databaseWritten" || result.kind === "databaseChecksFailed") return result;
        if (result.kind !== "databaseWriteFailed") throw wrongAnswer(WRITE);
        return result;
      });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Yields once all of these keys are watched, and then whenever one of them has changed: the revision that a read must have
   * reached to show it. It goes on over lost connections, and takes together what changes between two iterations. Ends when
   * `signal` is aborted.
   */
  watch(
    databaseId: number,
    keys: readonly Uint8Array[],
    options: { readonly signal: AbortSignal },
  ): AsyncIterable<{ readonly revision: number }> {
    return this.#watches.changes(keys.map((key) => databaseKey(databaseId, key)), options);
  }

  /** Yields once it has begun, and then whenever a database or an access token has changed, as {@link watch} does. */
  watchDatabases(options: { readonly signal: AbortSignal }): AsyncIterable<{ readonly revision: number }> {
    return this.#watches.changes([REGISTRY_KEY], options);
  }

  /** Returns all databases. `secrets` (default true): with their keys and hashes, for which a user needs the role root. */
  async databases(
    { secrets = true, ...options }: DatabaseReadOptions & { readonly secrets?: boolean } = {},
  ): Promise<DatabaseList> {
    const consistency = toConsistency(options);
    const context = this.#core.context(options);
    const request = { kind: "listDatabases", secrets, consistency } as const;
    const { message } = await this.#core.call(request, { kind: "read", action: LIST, context });
    const { revision, authenticationEnabled, databases } = message;
    return { revision, authenticationEnabled, databases };
  }

  /**
   * Changes the databases or their access tokens, exactly once.
   *
   * @throws {DatabasesChangeRefusedError} when the cluster does not make the change
   */
  async change(change: DatabasesChange, options: CallOptions = {}): Promise<DatabasesChangeResult> {
    const action = actionOf(change);
    throwProblem(validateDatabasesChange(change));
    const command = { kind: "changeDatabases", change } as const;
    return await this.#core.write({ command }, { action, options }, (result) => {
      if (result.kind === "databasesChanged") {
        const { revision, databaseId, tokenId } = result;
        return { revision, databaseId, tokenId };
      }
      if (result.kind !== "databasesFailed") throw wrongAnswer(action);
      const { reason } = result;
      throw new DatabasesChangeRefusedError(`Cannot ${action}: ${explain(reason, change)}`, { reason });
    });
  }

  /**
   * Reads ranges by as many answers as it takes, those after the first one as of its revision. Returns null if they are more
   * than one, and may not be.
   */
  async #readAll(
    ranges: readonly ReadRange[],
    { consistency, context, mayReadMore }: {
      readonly consistency: Consistency;
      readonly context: CallContext;
      readonly mayReadMore: boolean;
    },
  ): Promise<DatabaseReadResult | null> {
    const found: KeyValue[][] = ranges.map(() => []);
    let revision: number | null = null;
    /** The position of the first range that is not complete, and the ranges from there on. */
    let first = 0;
    let left = ranges;
    for (;;) {
      const request: RequestOf<"readRanges"> = { kind: "readRanges", ranges: left, consistency, revision };
      const { message }: Answered<"readRanges"> = await this.#core.call(request, {
        kind: "read",
        action: READ,
        context,
      });
      for (const [position, entries] of message.ranges.entries()) {
        const into = found[first + position];
        if (into === undefined) throw wrongAnswer(READ);
        for (const entry of entries) into.push({ ...entry, key: entry.key.subarray(DATABASE_PREFIX_BYTES) });
      }
      revision ??= message.revision;
      const { next } = message;
      if (next === null) return { revision, ranges: found };
      if (!mayReadMore) return null;
      if (next.range >= left.length || (next.range === 0 && next.after === null)) throw wrongAnswer(READ);
      first += next.range;
      left = rest(ranges.slice(first), next, found[first]?.length ?? 0);
      if (validateRanges(left) !== null) throw wrongAnswer(READ);
    }
  }
}

/** Returns the ranges that are left, of the first one without the `taken` entries up to where it continues. */
function rest(ranges: readonly ReadRange[], { after }: NextRange, taken: number): readonly ReadRange[] {
  const [range, ...others] = ranges;
  assert(range !== undefined, "a read continues at one of its ranges");
  if (after === null) return ranges;
  const limit = range.limit - taken;
  return [
    range.reverse ? { ...range, limit, end: after } : { ...range, limit, start: successor(after) },
    ...others,
  ];
}

function inStore(databaseId: number, { start, end, limit, reverse }: DatabaseRange): ReadRange {
  return {
    start: databaseKey(databaseId, start),
    end: end === null ? databaseRange(databaseId).end : databaseKey(databaseId, end),
    limit,
    reverse,
  };
}

function actionOf(change: DatabasesChange): string {
  switch (change.kind) {
    case "create":
      return `create the database ${change.name}`;
    case "remove":
      return `remove the database ${change.name}`;
    case "addToken":
      return `add an access token to the database ${change.name}`;
    case "removeToken":
      return `remove an access token of the database ${change.name}`;
    default:
      return assertNever(change);
  }
}

/** Returns why a change was not made and what to do, as sentences. */
function explain(reason: DatabasesFailure, { name, kind }: DatabasesChange): string {
  switch (reason) {
    case "databaseExists":
      return `there is a database ${name} already.`;
    case "databaseNotFound":
      return `there is no database ${name}. Create it first.`;
    case "databaseNotEmpty":
      return "it has keys. Delete them first.";
    case "defaultDatabase":
      return `every cluster has the database ${name}.`;
    case "tokenExists":
      return "it has this token.";
    case "tokenNotFound":
      return "it has no such token. Look at its tokens: denokv show.";
    case "tooMany":
      return kind === "create"
        ? "the cluster has as many databases as it may have. Remove some first."
        : "it has as many access tokens as it may have, or the list of all has its largest size. Remove some first.";
    default:
      return assertNever(reason);
  }
}
