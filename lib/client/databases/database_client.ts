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

  /**
   * Reads ranges of a database, all at one revision. What they may have in all is bounded by their limits alone.
   *
   * Nearly every read has one answer. An async function keeps all of its variables at each `await`, so this one has few, and
   * what is done for the rest of a large read is in another: that saves a read of one key 2 kB of memory.
   */
  async read(
    databaseId: number,
    ranges: readonly DatabaseRange[],
    options: DatabaseReadOptions = {},
  ): Promise<DatabaseReadResult> {
    const read = this.#rangesRead(databaseId, ranges, options);
    const { message } = await this.#readPage(read, { ranges: read.ranges, revision: null });
    if (message.next !== null) return await this.#readLarge(read, message, options.beforeMore);
    if (message.ranges.length !== read.ranges.length) throw wrongAnswer(READ);
    return { revision: message.revision, ranges: message.ranges.map(withinDatabase) };
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

  #rangesRead(
    databaseId: number,
    ranges: readonly DatabaseRange[],
    options: DatabaseReadOptions,
  ): RangesRead {
    const consistency = toConsistency(options);
    const context = this.#core.context(options);
    const wanted = ranges.map((range) => inStore(databaseId, range));
    throwProblem(validateRanges(wanted));
    return { ranges: wanted, consistency, context };
  }

  #readPage(
    { consistency, context }: RangesRead,
    { ranges, revision }: { readonly ranges: readonly ReadRange[]; readonly revision: number | null },
  ): Promise<Answered<"readRanges">> {
    const request = { kind: "readRanges", ranges, consistency, revision } as const;
    return this.#core.call(request, { kind: "read", action: READ, context });
  }

  /** Reads ranges by several answers. The `first` one is dropped before `beforeMore`, and read again. */
  async #readLarge(
    read: RangesRead,
    first: RangesAnswer,
    beforeMore: (() => Promise<void>) | undefined,
  ): Promise<DatabaseReadResult> {
    let answer: RangesAnswer | null = beforeMore === undefined ? first : null;
    await beforeMore?.();
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#readAll(read, answer);
      } catch (error) {
        if (!(error instanceof CompactedError) || attempt === MAX_READ_ATTEMPTS) throw error;
        answer = null;
      }
    }
  }

  /** Reads ranges by as many answers as it takes, those after the `first` one, if there is one, as of its revision. */
  async #readAll(read: RangesRead, first: RangesAnswer | null): Promise<DatabaseReadResult> {
    const found: KeyValue[][] = read.ranges.map(() => []);
    let revision: number | null = null;
    /** The position of the first range that is not complete, and the ranges from there on. */
    let position = 0;
    let left = read.ranges;
    let answer = first;
    for (;;) {
      answer ??= (await this.#readPage(read, { ranges: left, revision })).message;
      for (const [offset, entries] of answer.ranges.entries()) {
        const into = found[position + offset];
        if (into === undefined) throw wrongAnswer(READ);
        for (const entry of withinDatabase(entries)) into.push(entry);
      }
      revision ??= answer.revision;
      const { next } = answer;
      if (next === null) return { revision, ranges: found };
      if (next.range >= left.length || (next.range === 0 && next.after === null)) throw wrongAnswer(READ);
      position += next.range;
      left = rest(read.ranges.slice(position), next, found[position]?.length ?? 0);
      if (validateRanges(left) !== null) throw wrongAnswer(READ);
      answer = null;
    }
  }
}

/** A read of ranges of the store. */
interface RangesRead {
  readonly ranges: readonly ReadRange[];
  readonly consistency: Consistency;
  readonly context: CallContext;
}

/** An answer to a read of ranges. */
type RangesAnswer = Answered<"readRanges">["message"];

/** Returns entries with their keys within the database. */
function withinDatabase(entries: readonly KeyValue[]): readonly KeyValue[] {
  return entries.map((entry) => ({ ...entry, key: entry.key.subarray(DATABASE_PREFIX_BYTES) }));
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
