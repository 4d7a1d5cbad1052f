/** Verdicts about a history. Operations are named by their positions in it. */
import type { KeyState } from "./model.ts";
import type { Condition } from "./model.ts";
import type { Turn } from "./store.ts";

/** Why an operation could not come next. */
export type Misfit =
  /** This would have to be so, and the key was so instead. */
  | { readonly kind: "condition"; readonly condition: Condition; readonly actual: KeyState | null }
  /** It would have left the key in this state, and returned another one. */
  | { readonly kind: "result"; readonly condition: Condition; readonly actual: KeyState | null }
  /** It returned that more keys follow, and none of these existed. */
  | { readonly kind: "noneExists"; readonly keys: readonly string[] }
  /** A write with a smaller revision has to come first and can't; null when no operation in the history made it. */
  | { readonly kind: "order"; readonly revision: number; readonly operation: number | null }
  /** A greater revision was reached before. */
  | { readonly kind: "passed"; readonly revision: number }
  /** The writes before it need a greater revision than the store can have reached when it returned. */
  | { readonly kind: "tooSoon"; readonly greatest: number }
  /** It would have done something else than it was answered. */
  | { readonly kind: "transaction"; readonly why: string }
  /** It fits, and nothing that follows does. */
  | { readonly kind: "later" };

/** The key that a misfit is about, where it is about one. */
export function keyOfMisfit(misfit: Misfit): string | null {
  return "condition" in misfit ? misfit.condition.key : null;
}

/** A possible state of the keys when the operation could not be placed. */
export interface PossibleState {
  /** In the order of the violation's keys. */
  readonly states: readonly (KeyState | null)[];
  readonly misfit: Misfit;
}

/** The reason why a history is not linearizable. */
export type Cause =
  /** No order of the operations explains this one's answer. */
  | {
    readonly kind: "stuck";
    readonly operation: number;
    /** Only within this time can it have taken effect: its call and return, narrowed by others' revisions. */
    readonly from: number;
    readonly until: number;
    readonly narrowedBy: readonly number[];
    /** The longest order that the search found: all that returned before, and what could be placed besides. */
    readonly prefix: readonly Turn[];
    readonly possible: readonly PossibleState[];
    /** Whether there are more than those. */
    readonly morePossible: boolean;
  }
  /** `early` had returned before `late` was called, and `late` has no greater revision. */
  | { readonly kind: "revisions"; readonly early: number; readonly late: number };

/** The history can't have come from a linearizable store. */
export interface Violation {
  readonly kind: "violation";
  /** The keys of the component in which it was found. */
  readonly keys: readonly string[];
  /** The operations on them. */
  readonly operations: readonly number[];
  readonly cause: Cause;
}

/** A bound was reached before an answer was found. */
export interface Undecided {
  readonly kind: "undecided";
  readonly keys: readonly string[];
  readonly operations: readonly number[];
  readonly reason: "time" | "memory";
}

/** The history has an order that explains every answer; it was replayed. */
export interface Linearizable {
  readonly kind: "linearizable";
  readonly order: readonly Turn[];
  /** Operations of unknown outcome that the order has happen. */
  readonly presumed: readonly number[];
}

/** The result of a check. */
export type Verdict = Linearizable | Violation | Undecided;
