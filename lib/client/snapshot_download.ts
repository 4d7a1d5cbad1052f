/**
 * The file of a snapshot, read from the node that took it. The node keeps the file for the connection of the request, so
 * all parts are read over that one, and the download fails with it: a snapshot of another node is another file.
 */
import { errorMessage } from "../platform/errors.ts";
import { assertNever } from "../platform/assert.ts";
import { MAX_SNAPSHOT_PART_BYTES } from "../protocol/limits.ts";
import { checkObject } from "./argument_checks.ts";
import type { CallContext } from "./call_context.ts";
import { type Answered, stopError } from "./calls.ts";
import type { RequestEnd } from "./connection.ts";
import type { ClientCore } from "./core.ts";
import { ConnectionError, InternalError, InvalidRequestError, KvraftError, TimeoutError } from "./errors.ts";
import { throwIfNoNodeId } from "./input.ts";
import { needsSignIn, toError } from "./retry.ts";
import type { CallOptions, SnapshotDownload, SnapshotInfo, SnapshotOptions } from "./types.ts";

/** Parts that are requested before the first of them has arrived. */
export const SNAPSHOT_READS_IN_FLIGHT = 4;
/** The longest wait for the answer to closing the file; the node also closes it with the connection. */
const CLOSE_TIMEOUT_MS = 1_000;
const ACTION = "read a snapshot";

/** Takes a snapshot on the named node only, or on the leader if none is named. */
export async function takeSnapshot(
  core: ClientCore,
  { keep, options }: { readonly keep: boolean; readonly options: SnapshotOptions },
): Promise<Answered<"takeSnapshot">> {
  const { node } = checkObject(options, "the options of a call");
  const note = { kind: "longRead", action: "take a snapshot", context: core.context(options) } as const;
  const request = { kind: "takeSnapshot", keep } as const;
  if (node === undefined) return await core.call(request, note);
  throwIfNoNodeId(node);
  // Any node knows the members at once, so this read does not get the long timeout of a snapshot.
  const { message: { status } } = await core.call({ kind: "status" }, { ...note, kind: "read" });
  const member = status.members.find(({ id }) => id === node);
  if (member !== undefined) return await core.runner.runAt(member.address, { ...note, request });
  throw new InvalidRequestError(
    `Cannot ${note.action}: node ${node} is no member. Members: ${
      status.members.map(({ id }) => id).join(", ")
    }.`,
  );
}

/** Returns the description of a snapshot that was taken. */
export function snapshotInfo({ message, connection }: Answered<"takeSnapshot">): SnapshotInfo {
  const { index, term, revision, bytes, takenBy } = message;
  return { nodeId: takenBy ?? connection.node, index, term, revision, bytes };
}

/** The file of one snapshot. */
export class FileDownload implements SnapshotDownload {
  readonly nodeId: number;
  readonly index: number;
  readonly term: number;
  readonly revision: number;
  readonly bytes: number;
  readonly #core: ClientCore;
  readonly #taken: Answered<"takeSnapshot">;
  readonly #options: CallOptions;
  /** Whether reading a part failed: disposing does not wait for the node then. */
  #hasFailed = false;

  /** `options` apply to each part. */
  constructor(core: ClientCore, taken: Answered<"takeSnapshot">, options: CallOptions) {
    const { nodeId, index, term, revision, bytes } = snapshotInfo(taken);
    this.nodeId = nodeId;
    this.index = index;
    this.term = term;
    this.revision = revision;
    this.bytes = bytes;
    this.#core = core;
    this.#taken = taken;
    this.#options = options;
  }

  /** Returns the file from its beginning, in order, and reads a few parts ahead. */
  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const ahead: Promise<readonly Uint8Array[] | KvraftError>[] = [];
    for (let next = 0; next < this.bytes || ahead.length > 0;) {
      while (ahead.length < SNAPSHOT_READS_IN_FLIGHT && next < this.bytes) {
        const end = Math.min(next + MAX_SNAPSHOT_PART_BYTES, this.bytes);
        ahead.push(this.#tryRead(next, end));
        next = end;
      }
      const parts = await ahead.shift();
      if (parts instanceof KvraftError) throw parts;
      yield* parts ?? [];
    }
  }

  /** Closes the file at the node; after a failure without waiting for the answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { connection, message: { snapshotId } } = this.#taken;
    const limits = { timeoutMs: CLOSE_TIMEOUT_MS, signal: null };
    const closing = connection.request({ kind: "closeSnapshot", snapshotId }, limits); // never rejects
    if (!this.#hasFailed) await closing;
  }

  /** Reads up to `end`. Never rejects: a part that is read ahead may have no reader when it fails. */
  async #tryRead(offset: number, end: number): Promise<readonly Uint8Array[] | KvraftError> {
    const parts: Uint8Array[] = [];
    try {
      for (let at = offset; at < end;) {
        const part = (await this.#readPart(at)).subarray(0, end - at);
        parts.push(part);
        at += part.length;
      }
      return parts;
    } catch (error) {
      this.#hasFailed = true;
      if (error instanceof KvraftError) return error;
      return new InternalError(`Cannot ${ACTION}: ${errorMessage(error)}.`);
    }
  }

  /** Requests a part; again after a new sign-in if the node asks for one: the file belongs to it. */
  async #requestPart(offset: number, context: CallContext): Promise<RequestEnd<"readSnapshot">> {
    const { connection, message: { snapshotId } } = this.#taken;
    const request = { kind: "readSnapshot", snapshotId, offset } as const;
    const limits = { timeoutMs: context.timeoutMs, signal: context.signal };
    const end = await connection.request(request, limits);
    if (end.kind !== "refused" || !needsSignIn({ ...end.error, kind: "refused", node: connection.node })) {
      return end;
    }
    const { runner } = this.#core;
    const unanswered = await runner.signInAgain(connection.node, {
      action: ACTION,
      context,
      outcome: "not-applied",
    });
    if (unanswered !== null) throw unanswered.error;
    return await connection.request(request, limits);
  }

  async #readPart(offset: number): Promise<Uint8Array> {
    const { node } = this.#taken.connection;
    const context = this.#core.context(this.#options);
    const end = await this.#requestPart(offset, context);
    const stopped = context.stopped;
    const ending = { action: ACTION, context, outcome: "not-applied", failure: null } as const;
    switch (end.kind) {
      case "answered":
        if (end.message.offset === offset && end.message.data.length > 0) return end.message.data;
        throw new InternalError(
          `Cannot ${ACTION}: node ${node} sent another part than the one requested.`,
        );
      case "refused":
        throw toError({ ...end.error, kind: "refused", node }, ACTION, "not-applied");
      case "lost":
        if (stopped === "closed") throw stopError(stopped, ending);
        throw new ConnectionError(
          `Cannot ${ACTION} to its end: the connection to node ${node} was lost: ${end.reason}. Begin again.`,
        );
      case "silent":
        throw new TimeoutError(
          `Cannot ${ACTION}: node ${node} gave no part within ${context.timeoutMs} ms. Begin again.`,
        );
      case "aborted":
        throw stopError("aborted", ending);
      default:
        return assertNever(end);
    }
  }
}
