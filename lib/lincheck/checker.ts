/**
 * The checker: cuts a history into components, searches each for an order, puts the orders together, and believes the
 * result only once it was replayed on a plain model of the store.
 */
import { assert, assertNever } from "../platform/assert.ts";
import { Budget, type CheckLimits } from "./search_memory.ts";
import {
  type Component,
  componentsOf,
  finestPartition,
  type Obstacle,
  operationsOf,
  type Placement,
  type SearchResult,
} from "./components.ts";
import type { History } from "./history.ts";
import { RevisionOrder } from "./revisions.ts";
import { search } from "./search.ts";
import { keysOf, type Steps, stepsOf } from "./steps.ts";
import { replay, type Turn } from "./store.ts";
import type { Cause, Linearizable, Misfit, Undecided, Verdict, Violation } from "./verdict.ts";
import { numberWrites, type OrderedComponent } from "./numbering.ts";
import { merge, type Witness } from "./witness.ts";

/** The bounds of a check unless its caller has others; the clock is always the caller's. */
export const CHECK_LIMITS: Omit<CheckLimits, "now"> = { timeMs: 60_000, configurations: 2_000_000 };

const NONE: ReadonlySet<number> = new Set();

/**
 * Whether a history can have come from a linearizable store whose keys did not exist when it began.
 *
 * The answer is exact, revisions included, or "undecided". A violation in one component counts even if others could not be
 * decided in another.
 *
 * @example
 * ```ts
 * import { check, CHECK_LIMITS } from "./mod.ts";
 * const verdict = check([
 *   { kind: "put", client: 1, key: "k", value: "v", calledAt: 0, returnedAt: 2,
 *     outcome: { kind: "answered", result: { revision: 1 } } },
 *   { kind: "get", client: 2, key: "k", calledAt: 3, returnedAt: 4,
 *     outcome: { kind: "answered", result: null } },
 * ], { ...CHECK_LIMITS, now: () => performance.now() });
 * if (verdict.kind !== "violation") throw new Error("the stale read was not found");
 * ```
 */
export function check(history: History, limits: CheckLimits): Verdict {
  const budget = new Budget(limits);
  const steps = stepsOf(history);
  const order = new RevisionOrder(steps.steps);
  const partition = finestPartition(steps, order);
  if (order.clash !== null) return clashOf(history, { steps, order });
  const results = new Map<string, SearchResult>();
  while (true) {
    const components = componentsOf(steps, { order, partition });
    const ordered: OrderedComponent[] = [];
    let undecided: Undecided | null = null;
    for (const component of components) {
      const name = JSON.stringify(component.keys);
      const result = results.get(name) ?? search(component, { order, budget, taken: NONE });
      results.set(name, result);
      switch (result.kind) {
        case "ordered":
          ordered.push({ component, order: result.order });
          break;
        case "stuck":
          return violationOf(history, { steps, component, result, order });
        case "undecided":
          undecided ??= undecidedOf(history, component, result.reason);
          break;
        default:
          assertNever(result);
      }
    }
    if (undecided !== null) return undecided;
    const witness = witnessOf(history, { steps, order, ordered, budget });
    if (witness.kind === "linearizable") return witness;
    if (witness.together.map((keys) => partition.unite(keys)).includes(true)) continue;
    const united = partition.unite(components.flatMap(({ keys }) => keys));
    assert(united, "the order of a single component fits itself");
  }
}

/** A replayed order, or the keys that have to be searched as one before there can be one. */
function witnessOf(
  history: History,
  { ordered, ...options }: {
    readonly steps: Steps;
    readonly order: RevisionOrder;
    readonly budget: Budget;
    readonly ordered: readonly OrderedComponent[];
  },
): Linearizable | Extract<Witness, { readonly kind: "conflict" }> {
  const { steps, order } = options;
  const numbering = numberWrites(ordered, options);
  if (numbering.kind === "conflict") return numbering;
  const witness = merge(steps, { order, ordered: numbering.ordered });
  if (witness.kind === "conflict") return witness;
  const failure = replay(history, witness.turns);
  if (failure !== null) {
    const step = steps.steps.find(({ index }) => index === failure.operation);
    assert(step !== undefined, `a replay takes every operation (${failure.why})`);
    return { kind: "conflict", together: [keysOf(step)] };
  }
  const presumed = witness.turns.map(({ operation }) => operation)
    .filter((operation) => history[operation]?.outcome.kind === "unknown");
  return { kind: "linearizable", order: witness.turns, presumed };
}

function clashOf(
  history: History,
  { steps, order }: { readonly steps: Steps; readonly order: RevisionOrder },
): Violation {
  const { clash } = order;
  const late = steps.steps[clash?.late ?? -1];
  const early = steps.steps[clash?.early ?? -1];
  assert(late !== undefined && early !== undefined, "a clash is between two steps");
  const keys = [...new Set([...keysOf(late), ...keysOf(early)])].sort();
  const partition = finestPartition(steps, order);
  partition.unite(keys);
  const component = componentsOf(steps, { order, partition }).find((each) =>
    each.keys.includes(keys[0] ?? "")
  );
  return {
    kind: "violation",
    keys: component?.keys ?? keys,
    operations: component === undefined ? [late.index, early.index] : operationsOf(component, history),
    cause: { kind: "revisions", late: late.index, early: early.index },
  };
}

function violationOf(
  history: History,
  { steps, component, result, order }: {
    readonly steps: Steps;
    readonly component: Component;
    readonly result: Extract<SearchResult, { readonly kind: "stuck" }>;
    readonly order: RevisionOrder;
  },
): Violation {
  const indexOf = (position: number): number => steps.steps[position]?.index ?? -1;
  const { blocked } = result;
  const cause: Cause = {
    kind: "stuck",
    operation: blocked.step.index,
    from: blocked.from,
    until: blocked.until,
    narrowedBy: order.windowOf(blocked.position).narrowedBy.map(indexOf),
    prefix: result.prefix.map((placement) => turnOf(placement, steps)),
    possible: result.states.map(({ keys, obstacle }) => ({
      states: keys,
      misfit: misfitOf(obstacle, indexOf),
    })),
    morePossible: result.moreStates,
  };
  return { kind: "violation", keys: component.keys, operations: operationsOf(component, history), cause };
}

function turnOf({ position, revision, isUnseen }: Placement, { steps }: Steps): Turn {
  const step = steps[position];
  return { operation: step?.index ?? -1, revision: step?.writes === true && !isUnseen ? revision : null };
}

function misfitOf(obstacle: Obstacle, indexOf: (position: number) => number): Misfit {
  switch (obstacle.kind) {
    case "condition":
    case "result":
    case "noneExists":
    case "passed":
    case "tooSoon":
    case "transaction":
      return obstacle;
    case "order": {
      const { revision, step } = obstacle.first;
      return { kind: "order", revision, operation: step === null ? null : indexOf(step) };
    }
    case "none":
      return { kind: "later" };
    default:
      return assertNever(obstacle);
  }
}

function undecidedOf(history: History, component: Component, reason: Undecided["reason"]): Undecided {
  return { kind: "undecided", keys: component.keys, operations: operationsOf(component, history), reason };
}
