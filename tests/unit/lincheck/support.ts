/** Short forms in which histories are written, and the bounds under which tests check them. */
import {
  check,
  type CheckLimits,
  type Entry,
  type History,
  type KeyRange,
  type ListedEntry,
  type Mutation,
  type Operation,
  type Outcome,
  type Verdict,
} from "../../../lib/lincheck/mod.ts";

/** Bounds without a clock: the same everywhere. */
export const LIMITS: CheckLimits = { now: () => 0, timeMs: 1, configurations: 500_000 };

/** The verdict on a history under {@link LIMITS}. */
export function verdictOf(history: History): Verdict {
  return check(history, LIMITS);
}

/** When an operation was called and returned, in milliseconds, and by which client. */
export type Span = readonly [client: number, calledAt: number, returnedAt: number | null];

/** An unknown outcome. */
export const UNKNOWN: Outcome<never> = { kind: "unknown" };
/** The outcome of an operation that was certainly not applied. */
export const NOT_APPLIED: Outcome<never> = { kind: "notApplied" };

/** The store answered so. */
export function answered<Result>(result: Result): Outcome<Result> {
  return { kind: "answered", result };
}

function spanned(
  [client, calledAt, returnedAt]: Span,
): Pick<Operation, "client" | "calledAt" | "returnedAt"> {
  return { client, calledAt, returnedAt };
}

/** A put that was answered with this revision, or had this outcome. */
export function put(span: Span, assignment: string, outcome: number | null | Outcome<never>): Operation {
  const [key = "", value = ""] = assignment.split("=");
  const ended: Extract<Operation, { kind: "put" }>["outcome"] =
    outcome === null || typeof outcome === "number" ? answered({ revision: outcome }) : outcome;
  return { kind: "put", ...spanned(span), key, value, outcome: ended };
}

/** A get that showed this, or (null) that the key does not exist. */
export function get(span: Span, key: string, seen: Entry | null | Outcome<never>): Operation {
  const ended = seen !== null && "kind" in seen ? seen : answered(seen);
  return { kind: "get", ...spanned(span), key, outcome: ended };
}

/** A delete that was answered so. */
export function remove(
  span: Span,
  key: string,
  outcome: { readonly deleted: boolean; readonly revision: number | null } | Outcome<never>,
): Operation {
  return { kind: "delete", ...spanned(span), key, outcome: "kind" in outcome ? outcome : answered(outcome) };
}

/** An entry; the numbers may be left out. */
export function entry(
  value: string,
  [createRevision, modRevision, version]: readonly [number?, number?, number?] = [],
): Entry {
  return {
    value,
    createRevision: createRevision ?? null,
    modRevision: modRevision ?? null,
    version: version ?? null,
  };
}

/** An entry of a listing. */
export function listed(key: string, seen: Entry): ListedEntry {
  return { key, ...seen };
}

/** A listing of everything, with these differences. */
export function range(differences: Partial<KeyRange> = {}): KeyRange {
  return { prefix: "", start: null, end: null, after: null, reverse: false, ...differences };
}

/** A page of a listing with at most 100 entries. */
export function list(
  span: Span,
  covered: KeyRange,
  result: {
    readonly entries: readonly ListedEntry[];
    readonly more?: boolean;
    readonly revision: number | null;
  },
): Operation {
  return {
    kind: "list",
    ...spanned(span),
    range: covered,
    limit: 100,
    outcome: answered({ more: false, ...result }),
  };
}

/** A transaction without checks that was answered with this revision, or had this outcome. */
export function transaction(
  span: Span,
  assignments: readonly string[],
  outcome: number | null | Outcome<never>,
): Operation {
  const mutations = assignments.map((assignment): Mutation => {
    const [key = "", value] = assignment.split("=");
    return value === undefined ? { kind: "delete", key } : { kind: "put", key, value };
  });
  return {
    kind: "transaction",
    ...spanned(span),
    checks: [],
    mutations,
    outcome: outcome === null || typeof outcome === "number"
      ? answered({ succeeded: true, failedChecks: [], revision: outcome })
      : outcome,
  };
}
