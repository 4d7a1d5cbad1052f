/** One operation: what is asked of a client, and what it answered, in the words of a history. */
import type { KvClient } from "../client/client.ts";
import { KvraftError } from "../client/errors.ts";
import type { CallOptions, TransactionCheck, TransactionMutation } from "../client/types.ts";
import type { KeyValue } from "../kv/command.ts";
import type { Check, Entry, Mutation, Operation } from "../lincheck/mod.ts";
import { assertNever } from "../platform/assert.ts";
import type { Clock } from "../platform/clock.ts";
import { performBranches } from "./branches.ts";
import { bytesOfText, textOfBytes } from "./texts.ts";

/** The part of {@link KvClient} that a workload calls. */
export type WorkloadClient = Pick<
  KvClient,
  "put" | "get" | "delete" | "list" | "compareAndSet" | "transaction"
>;

type Without<O, Names extends string> = O extends Operation ? Omit<O, Names> : never;

/** An operation that is still to be made. */
export type Request = Without<Operation, "client" | "calledAt" | "returnedAt" | "outcome">;

/** An operation that ended, without who made it and when. */
export type Ended = Without<Operation, "client" | "calledAt" | "returnedAt">;

/** Has `client` do it; rejects as the client does. */
export async function perform(
  client: WorkloadClient,
  { request, options }: { readonly request: Request; readonly options: CallOptions },
): Promise<Ended> {
  switch (request.kind) {
    case "put": {
      const { key, value, leaseId } = request;
      const { revision } = await client.put(bytesOfText(key), bytesOfText(value), {
        ...(leaseId === undefined ? {} : { leaseId }),
        ...options,
      });
      return { ...request, outcome: { kind: "answered", result: { revision } } };
    }
    case "get": {
      const entry = await client.get(bytesOfText(request.key), { ...pastOf(request), ...options });
      return { ...request, outcome: { kind: "answered", result: entryOf(entry) } };
    }
    case "delete": {
      const { deleted, revision } = await client.delete(bytesOfText(request.key), options);
      return { ...request, outcome: { kind: "answered", result: { deleted, revision } } };
    }
    case "compareAndSet": {
      const { succeeded, current, revision } = await client.compareAndSet(bytesOfText(request.key), {
        expect: request.expect === null ? null : bytesOfText(request.expect),
        value: bytesOfText(request.value),
        ...options,
      });
      const result = { succeeded, current: entryOf(current), revision };
      return { ...request, outcome: { kind: "answered", result } };
    }
    case "transaction":
      return await performTransaction(client, { request, options });
    case "branchingTransaction": {
      const result = await performBranches(client, { transaction: request.transaction, options });
      return { ...request, outcome: { kind: "answered", result } };
    }
    case "list":
      return await performList(client, { request, options });
    default:
      return assertNever(request);
  }
}

/**
 * Has `client` do it, and records how it ended. Rejects with any error that is not one of the client library. The outcome
 * of a failed read is recorded as that of a write: it says nothing in any case.
 */
export async function performRecorded(
  client: WorkloadClient,
  { request, number, clock, timeoutMs }: {
    readonly request: Request;
    /** The number of the client in the history. */
    readonly number: number;
    readonly clock: Pick<Clock, "now">;
    readonly timeoutMs: number;
  },
): Promise<Operation> {
  const recorded = { client: number, calledAt: clock.now() };
  try {
    const ended = await perform(client, { request, options: { timeoutMs } });
    return { ...ended, ...recorded, returnedAt: clock.now() };
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    const kind = error.outcome === "not-applied" ? "notApplied" : "unknown";
    return { ...request, ...recorded, returnedAt: clock.now(), outcome: { kind } };
  }
}

/** A request of one kind, and how to call. */
interface Call<Kind extends Request["kind"]> {
  readonly request: Extract<Request, { readonly kind: Kind }>;
  readonly options: CallOptions;
}

async function performTransaction(
  client: WorkloadClient,
  { request, options }: Call<"transaction">,
): Promise<Ended> {
  const { succeeded, failedChecks, revision } = await client.transaction({
    checks: request.checks.map(checkOf),
    mutations: request.mutations.map(mutationOf),
    ...options,
  });
  return { ...request, outcome: { kind: "answered", result: { succeeded, failedChecks, revision } } };
}

async function performList(client: WorkloadClient, { request, options }: Call<"list">): Promise<Ended> {
  const { prefix, start, end, reverse } = request.range;
  const { entries, cursor, revision } = await client.list({
    prefix: bytesOfText(prefix),
    ...(start === null ? {} : { start: bytesOfText(start) }),
    ...(end === null ? {} : { end: bytesOfText(end) }),
    reverse,
    limit: request.limit,
    ...pastOf(request),
    ...options,
  });
  const listed = entries.map((entry) => ({ key: textOfBytes(entry.key), ...shown(entry) }));
  const result = { entries: listed, more: cursor !== null, revision };
  return { ...request, outcome: { kind: "answered", result } };
}

function pastOf({ revision }: { readonly revision?: number }): { readonly revision?: number } {
  return revision === undefined ? {} : { revision };
}

function mutationOf(mutation: Mutation): TransactionMutation {
  const key = bytesOfText(mutation.key);
  switch (mutation.kind) {
    case "put":
      return { kind: "put", key, value: bytesOfText(mutation.value) };
    case "delete":
      return { kind: "delete", key };
    default:
      return assertNever(mutation);
  }
}

function checkOf(check: Check): TransactionCheck {
  const key = bytesOfText(check.key);
  switch (check.kind) {
    case "modRevision":
      return { key, modRevision: check.modRevision };
    case "exists":
      return { key, exists: check.exists };
    case "value":
      return { key, value: bytesOfText(check.value) };
    default:
      return assertNever(check);
  }
}

function entryOf(entry: KeyValue | null): Entry | null {
  return entry === null ? null : shown(entry);
}

function shown({ value, createRevision, modRevision, version }: KeyValue): Entry {
  return { value: textOfBytes(value), createRevision, modRevision, version };
}
