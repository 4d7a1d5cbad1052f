/** The transactions of locks and elections, with the failures that etcd's clients know. */
import type { ClientCore } from "../../client/core.ts";
import { TransactionFailedError } from "../../client/errors.ts";
import { Keyspace } from "../../client/keyspace.ts";
import { executeTransaction } from "../../client/transaction/execute.ts";
import type { BranchingRequest, BranchingResult } from "../../client/transaction/types.ts";
import { failureOf } from "../kv/failures.ts";
import type { Place } from "./queue.ts";

/** Executes a transaction. Rejects with EtcdError or KvraftError. */
export async function transact(
  core: ClientCore,
  request: BranchingRequest,
  timeoutMs: number,
): Promise<BranchingResult> {
  try {
    const result = await executeTransaction(core, Keyspace.ALL, { ...request, timeoutMs });
    // The form with branches is answered in that form.
    return result as BranchingResult;
  } catch (error) {
    throw error instanceof TransactionFailedError ? failureOf(error.reason) : error;
  }
}

/** A new value of a contender. */
export interface Proclamation {
  readonly value: Uint8Array;
  /** "keep": that of the key. */
  readonly leaseId: number | "keep";
  readonly timeoutMs: number;
}

/** Writes a new value of a contender; resolves to the revision, null if its key has ended. Rejects as {@link transact}. */
export async function proclaim(
  core: ClientCore,
  { key, createRevision }: Place,
  { value, leaseId, timeoutMs }: Proclamation,
): Promise<number | null> {
  const request = {
    checks: [{ key, createRevision }],
    then: [{ kind: "put", key, value, leaseId }],
  } as const;
  const { succeeded, revision } = await transact(core, request, timeoutMs);
  return succeeded ? revision : null;
}

/** Deletes the key of a contender if it is there; resolves to the revision. Rejects as {@link transact}. */
export async function withdraw(
  core: ClientCore,
  { key, createRevision }: Place,
  timeoutMs: number,
): Promise<number> {
  const request = { checks: [{ key, createRevision }], then: [{ kind: "delete", key }] } as const;
  return (await transact(core, request, timeoutMs)).revision;
}
