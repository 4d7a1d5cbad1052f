/**
 * The history of a run with what its watches add to it, in the form of operations, so that the check of linearizability
 * takes both together: a change that a watch showed is a read of that key as of its revision, which returned when the
 * watch showed it; the end of a lease is a transaction.
 */
import { getOrMake } from "../bounds.ts";
import { greatestClient, type History, type Operation } from "../history.ts";
import type { BranchOperation, KeySet } from "../transactions/transaction.ts";
import type { Authors } from "./authors.ts";
import { type Cell, type Changes, entryAfterCell, lastEntry, type Sighting } from "./changes.ts";
import type { LeaseEnd, Leases } from "./leases.ts";
import type { WatchedEntry, WatchedRun } from "./record.ts";
import type { KeyStates } from "./states.ts";

/** Everything that was found out about a run. */
interface Facts {
  readonly changes: Changes;
  readonly authors: Authors;
  readonly leases: Leases;
  readonly states: KeyStates;
  readonly ends: readonly LeaseEnd[];
}

/** Returns the history with what the watches showed; clients above the greatest one are watches. */
export function historyWithWatches(run: WatchedRun, facts: Facts): History {
  const { history, prefix } = run;
  const firstWatch = greatestClient(history) + 1;
  const added: Operation[] = [];
  for (const revision of facts.changes.revisions) {
    for (const cell of facts.changes.at(revision)) {
      if (cell.key.startsWith(prefix)) added.push(...readsOf(cell, { run, facts, firstWatch }));
    }
  }
  const client = firstWatch + run.watches.length;
  const ends = facts.ends.map((end) => transactionOf(end, client));
  return [...history, ...added, ...ends, ...missedEndsOf(run, { facts, client })];
}

/** Returns the reads that say what a watch showed of a cell, if the answers do not say as much. */
function readsOf(
  { key, revision, sightings }: Cell,
  { run, facts, firstWatch }: {
    readonly run: WatchedRun;
    readonly facts: Facts;
    readonly firstWatch: number;
  },
): readonly Operation[] {
  const complete = sightings.filter(({ watch }) => run.watches[watch]?.only === null);
  const [first] = complete.toSorted((a, b) => a.receivedAt - b.receivedAt);
  if (first === undefined) return [];
  const maker = facts.authors.makerOf(revision);
  const returnedAt = maker === null ? null : run.history[maker]?.returnedAt ?? null;
  if (returnedAt !== null && returnedAt <= first.receivedAt) return [];
  const after = readOf(key, { revision, entry: lastEntry(first.events), sighting: first, firstWatch });
  const previous = complete.map(({ events }) => events[0]?.previous ?? "omitted").find((each) =>
    each !== "omitted"
  );
  return previous === undefined
    ? [after]
    : [readOf(key, { revision: revision - 1, entry: previous, sighting: first, firstWatch }), after];
}

function readOf(
  key: string,
  { revision, entry, sighting: { watch, receivedAt }, firstWatch }: {
    readonly revision: number;
    readonly entry: WatchedEntry | null;
    readonly sighting: Sighting;
    readonly firstWatch: number;
  },
): Operation {
  const result = entry === null ? null : {
    value: entry.value,
    createRevision: entry.createRevision,
    modRevision: entry.modRevision,
    version: entry.version,
  };
  return {
    kind: "get",
    key,
    revision,
    client: firstWatch + watch,
    calledAt: receivedAt,
    returnedAt: receivedAt,
    outcome: { kind: "answered", result },
  };
}

/** A key that may have been attached to a lease when that ended: in this revision or, where it is not known, with this value. */
interface Attached {
  readonly key: string;
  readonly modRevision: number | null;
  readonly value: string;
}

/** Returns ends of leases that may have taken place where no watch showed the changes, as transactions of unknown outcome. */
function missedEndsOf(
  { history }: WatchedRun,
  { facts: { states, leases, authors }, client }: { readonly facts: Facts; readonly client: number },
): readonly Operation[] {
  const attachedTo = new Map<number, Attached[]>();
  for (const key of leases.attachedKeys) {
    for (const { leaseId, ...attached } of unfollowed(key, states)) {
      getOrMake(attachedTo, leaseId, () => []).push(attached);
    }
  }
  // The put may have been missed too.
  for (const [position, operation] of history.entries()) {
    if (operation.kind !== "put" || operation.leaseId === undefined) continue;
    if (operation.outcome.kind !== "unknown" || authors.resolved.has(position)) continue;
    const { key, value, leaseId } = operation;
    getOrMake(attachedTo, leaseId, () => []).push({ key, value, modRevision: null });
  }
  return [...attachedTo].map(([leaseId, attached]) =>
    missedEnd(attached, { client, calledAt: leases.grantedFrom(leaseId) })
  );
}

/** Returns the states in which a key was attached to a lease, if changes after them may have been missed. */
function unfollowed(key: string, states: KeyStates): readonly (Attached & { readonly leaseId: number })[] {
  const cells = states.cellsOf(key);
  return cells.flatMap((cell, position) => {
    const next = cells[position + 1];
    if (next !== undefined && states.at(key, next.revision - 1)?.isCurrent === true) return [];
    const entry = entryAfterCell(cell) ?? null;
    if (entry === null || typeof entry.leaseId !== "number" || entry.value === null) return [];
    return [{ key, modRevision: cell.revision, value: entry.value, leaseId: entry.leaseId }];
  });
}

/** Returns the end of a lease: it deletes those keys that are still as they were when they were attached. */
function missedEnd(
  attached: readonly Attached[],
  recorded: Pick<Operation, "client" | "calledAt">,
): Operation {
  const then = attached.map(({ key, modRevision, value }): BranchOperation => {
    const keys: KeySet = { kind: "key", key };
    const comparison = "equal" as const;
    return {
      kind: "transaction",
      conditions: [
        modRevision === null
          ? { kind: "value", keys, comparison, value }
          : { kind: "modRevision", keys, comparison, number: modRevision },
      ],
      then: [{ kind: "delete", keys, returnPrevious: false }],
      else: [],
    };
  });
  return {
    ...recorded,
    kind: "branchingTransaction",
    returnedAt: null,
    transaction: { conditions: [], then, else: [] },
    outcome: { kind: "unknown" },
  };
}

/** Returns the end of leases that a watch showed; one that is not certain is of unknown outcome. */
function transactionOf(end: LeaseEnd, client: number): Operation {
  const mutations = end.keys.map((key) => ({ kind: "delete" as const, key }));
  const transaction = {
    kind: "transaction" as const,
    client,
    calledAt: end.grantedFrom,
    checks: [],
    mutations,
  };
  if (!end.isCertain) return { ...transaction, returnedAt: null, outcome: { kind: "unknown" } };
  const result = { succeeded: true, failedChecks: [], revision: end.revision };
  return { ...transaction, returnedAt: end.seenAt, outcome: { kind: "answered", result } };
}
