/**
 * The history of a run with what its watches add to it, in the form of operations, so that the check of linearizability
 * takes both together: a change that a watch showed is a read of that key as of its revision, which returned when the
 * watch showed it; the end of a lease is a transaction.
 */
import { getOrMake } from "../bounds.ts";
import type { History, Operation } from "../history.ts";
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

/** Most keys of a lease whose end may have been missed, of which every subset is considered. */
const MAX_MISSED_KEYS = 3;

/** Returns the history with what the watches showed; clients above the greatest one are watches. */
export function historyWithWatches(run: WatchedRun, facts: Facts): History {
  const { history, prefix } = run;
  const firstWatch = history.reduce((greatest, { client }) => Math.max(greatest, client), 0) + 1;
  const added: Operation[] = [];
  for (const revision of facts.changes.revisions) {
    for (const cell of facts.changes.at(revision)) {
      if (cell.key.startsWith(prefix)) added.push(...readsOf(cell, { run, facts, firstWatch }));
    }
  }
  const store = firstWatch + run.watches.length;
  const ends = [...facts.ends, ...missedEndsOf(run, facts)];
  return [...history, ...added, ...ends.map((end) => transactionOf(end, store))];
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

/** An end of a lease that no watch showed, if it took place. */
type MissedEnd = Pick<LeaseEnd, "keys" | "grantedFrom">;

/** Returns ends of leases that may have taken place where no watch showed the changes. */
function missedEndsOf({ history }: WatchedRun, facts: Facts): readonly MissedEnd[] {
  const { states, leases, authors } = facts;
  const keysOf = new Map<number, Set<string>>();
  for (const [key, ids] of leases.attachments) {
    for (const leaseId of unfollowedLeases(key, { ids, states })) {
      getOrMake(keysOf, leaseId, () => new Set<string>()).add(key);
    }
  }
  // The put may have been missed too.
  for (const [position, operation] of history.entries()) {
    if (operation.kind !== "put" || operation.leaseId === undefined || operation.outcome.kind !== "unknown") {
      continue;
    }
    if (authors.resolved.has(position)) continue;
    getOrMake(keysOf, operation.leaseId, () => new Set<string>()).add(operation.key);
  }
  return [...keysOf].flatMap(([leaseId, keys]) => {
    const grantedFrom = leases.grantedFrom(leaseId);
    return subsetsOf([...keys].slice(0, MAX_MISSED_KEYS)).map((subset) => ({ keys: subset, grantedFrom }));
  });
}

/** Returns the leases to which a key was attached by a change after which other changes may have been missed. */
function unfollowedLeases(
  key: string,
  { ids, states }: { readonly ids: ReadonlySet<number>; readonly states: KeyStates },
): readonly number[] {
  const cells = states.cellsOf(key);
  return cells.flatMap((cell, position) => {
    const next = cells[position + 1];
    if (next !== undefined && states.at(key, next.revision - 1)?.isCurrent === true) return [];
    const entry = entryAfterCell(cell);
    if (entry === undefined || entry?.leaseId === "unknown") return [...ids];
    return entry === null || entry.leaseId === null ? [] : [entry.leaseId];
  });
}

function subsetsOf(keys: readonly string[]): readonly (readonly string[])[] {
  return keys.reduce<readonly (readonly string[])[]>(
    (subsets, key) => [...subsets, ...subsets.map((subset) => [...subset, key])],
    [[]],
  ).filter((subset) => subset.length > 0);
}

/** Returns the end of leases as a transaction; one that is not certain is of unknown outcome. */
function transactionOf(end: LeaseEnd | MissedEnd, client: number): Operation {
  const mutations = end.keys.map((key) => ({ kind: "delete" as const, key }));
  const transaction = {
    kind: "transaction" as const,
    client,
    calledAt: end.grantedFrom,
    checks: [],
    mutations,
  };
  if (!("isCertain" in end) || !end.isCertain) {
    return { ...transaction, returnedAt: null, outcome: { kind: "unknown" } };
  }
  const result = { succeeded: true, failedChecks: [], revision: end.revision };
  return { ...transaction, returnedAt: end.seenAt, outcome: { kind: "answered", result } };
}
