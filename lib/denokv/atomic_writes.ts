/** The commits of clients: `atomic_write`. */
import { KvraftError } from "../client/errors.ts";
import type { DatabaseMutation } from "../kv/databases/database_command.ts";
import { describeWriteFailure } from "../kv/databases/number_mutation.ts";
import { revisionOf } from "../kv/databases/versionstamp.ts";
import { assert, assertNever } from "../platform/assert.ts";
import type { Clock } from "../platform/clock.ts";
import { logConnectionFault } from "../platform/fault.ts";
import type { Logger } from "../platform/logger.ts";
import type { WebRequest, WebResponse } from "../web/mod.ts";
import type { DataAccess } from "./access.ts";
import { failure, failureOf, protobuf, type WriteAnswer } from "./answers.ts";
import { type Check, decodeAtomicWrite } from "./datapath.ts";
import { encodeAtomicWriteOutput } from "./datapath_output.ts";
import { DEADLINE_MS, Deadlines, PATIENCE_MS } from "./deadlines.ts";
import { checkWrite, MAX_BODY_BYTES } from "./limits.ts";
import type { DatabaseStore, WriteResult } from "./store.ts";

import { pointOf, type TranslatedWrite, translateWrite } from "./translation.ts";
import { UndeliveredAnswers } from "./undelivered_answers.ts";

/**
 * Time for a write that was sent to the cluster and has no answer: it is longer than that of its requests, since the write that
 * is sent again waits for it.
 */
const WRITE_TIMEOUT_MS = 60_000;
/** The greatest sequence of a versionstamp, which two bytes hold. */
const MAX_SEQUENCE = 0xffff;
/** A key that is read for the revision alone. */
const ANY_KEY = Uint8Array.of(0);

const OVERDUE = failure(503, "The outcome of this write is not known yet. Sent again, it is not made twice.");

/** Dependencies of {@link AtomicWrites}. */
export interface AtomicWritesOptions {
  readonly store: Pick<DatabaseStore, "read" | "write">;
  readonly clock: Clock;
  /** Returns milliseconds since 1970: what expires by it is not written. */
  readonly wallClock: () => number;
  readonly logger: Logger;
  /** Called for a write that got the answer to an earlier one. */
  readonly onRepeated: (access: DataAccess) => void;
}

/** The commits of the clients of one front end. */
export class AtomicWrites {
  readonly #options: AtomicWritesOptions;
  readonly #undelivered: UndeliveredAnswers;
  readonly #deadlines: Deadlines;
  /** The last versionstamp that was given to a commit without mutations. */
  #unchanged = { revision: 0, sequence: 0 };

  constructor(options: AtomicWritesOptions) {
    this.#options = options;
    this.#undelivered = new UndeliveredAnswers(options.clock);
    this.#deadlines = new Deadlines(options.clock, DEADLINE_MS);
  }

  /** Answers a commit; resolves to the status. Rejects with WebError, ProtobufError or KvraftError before it has answered. */
  async serve(request: WebRequest, access: DataAccess): Promise<number> {
    const body = await request.body(MAX_BODY_BYTES);
    const write = decodeAtomicWrite(body);
    checkWrite(write);
    if (write.mutations.length === 0) {
      const response = await this.#checkOnly(access, write.checks);
      await request.respond(response);
      return response.status;
    }
    const sent = { token: access.token, body };
    const known = this.#undelivered.take(sent);
    if (known !== null) this.#options.onRepeated(access);
    const answer = known ?? this.#make(access, translateWrite(write, this.#options.wallClock()));
    return await this.#deliver(request, answer, () => this.#undelivered.remember(sent, answer));
  }

  /** Ends what is left of the requests. */
  stop(): void {
    this.#deadlines.stop();
  }

  /** Answers a request with an answer that may not be known yet, and has it remembered unless it was delivered. */
  async #deliver(request: WebRequest, answer: Promise<WriteAnswer>, remember: () => void): Promise<number> {
    let isRemembered = false;
    const rememberOnce = (): void => {
      if (!isRemembered) remember();
      isRemembered = true;
    };
    const { signal } = request;
    // The client sends its write again as soon as it has lost the connection, which may be before the outcome is known.
    signal.addEventListener("abort", rememberOnce);
    if (signal.aborted) rememberOnce();
    const known = await this.#deadlines.within(answer);
    if (known === null) rememberOnce();
    const response = known?.response ?? OVERDUE;
    if (await request.respond(response) === "lost") rememberOnce();
    signal.removeEventListener("abort", rememberOnce);
    return response.status;
  }

  /** Makes a write. Never rejects. */
  async #make({ database, credentialId }: DataAccess, write: TranslatedWrite): Promise<WriteAnswer> {
    try {
      const result = await this.#options.store.write(database.id, credentialId, write, {
        timeoutMs: WRITE_TIMEOUT_MS,
        patienceMs: PATIENCE_MS,
      });
      return {
        response: responseTo(result, write.mutations),
        wasApplied: result.kind !== "databaseWriteFailed",
      };
    } catch (error) {
      if (error instanceof KvraftError) {
        return { response: failureOf(error), wasApplied: error.outcome !== "not-applied" };
      }
      logConnectionFault(this.#options.logger, error, { database: database.name });
      const message = "This write failed because of a fault in kvraft. It may have been made.";
      return { response: failure(409, message), wasApplied: true };
    }
  }

  /** Answers a commit without mutations, which leaves no entry in the log. */
  async #checkOnly({ database }: DataAccess, checks: readonly Check[]): Promise<WebResponse> {
    const keys = checks.length === 0 ? [ANY_KEY] : checks.map(({ key }) => key);
    const { revision, ranges } = await this.#options.store.read(database.id, keys.map(pointOf), {
      consistency: "linearizable",
      timeoutMs: DEADLINE_MS,
      patienceMs: PATIENCE_MS,
    });
    const failedChecks = checks.flatMap(({ versionstamp }, position) => {
      const expected = versionstamp.length === 0 ? null : revisionOf(versionstamp);
      return (ranges[position]?.[0]?.modRevision ?? null) === expected ? [] : [position];
    });
    const status = failedChecks.length === 0
      ? { kind: "success", revision, sequence: this.#sequenceAt(revision) } as const
      : { kind: "checkFailure", failedChecks } as const;
    return protobuf(encodeAtomicWriteOutput(status));
  }

  /**
   * Returns the sequence for the versionstamp of a commit that changes nothing: programs that commit twice expect two
   * versionstamps, as Deno's own database returns them. No key has one with a sequence.
   */
  #sequenceAt(revision: number): number {
    const { revision: last, sequence } = this.#unchanged;
    const next = revision === last ? Math.min(sequence + 1, MAX_SEQUENCE) : 1;
    this.#unchanged = { revision, sequence: next };
    return next;
  }
}

function responseTo(result: WriteResult, mutations: readonly DatabaseMutation[]): WebResponse {
  switch (result.kind) {
    case "databaseWritten":
      return protobuf(encodeAtomicWriteOutput({ kind: "success", revision: result.revision, sequence: 0 }));
    case "databaseChecksFailed":
      return protobuf(encodeAtomicWriteOutput({ kind: "checkFailure", failedChecks: result.failedChecks }));
    case "databaseWriteFailed": {
      const mutation = mutations[result.position];
      const isOfNumbers = mutation !== undefined && mutation.kind !== "set" && mutation.kind !== "delete";
      assert(isOfNumbers, "only a mutation of numbers fails when it is applied");
      return failure(400, describeWriteFailure(result.reason, mutation));
    }
    default:
      return assertNever(result);
  }
}
