/** What a search for an order comes to: an order, the step that no order can place, or a bound. */
import type { ComponentStep } from "./components.ts";
import type { Condition, KeyState } from "./model.ts";
import type { Place } from "./bounds.ts";

/** A step in an order. */
export interface Placement {
  /** Position in the history's steps. */
  readonly position: number;
  /** The revision that it made or was answered at; null where there is none or none is known. */
  readonly revision: number | null;
  /** Whether the revision is the least of those that nobody saw and this write may have made. */
  readonly isUnseen: boolean;
}

/** Why a step can't come next. */
export type Obstacle =
  /** This is not so. */
  | { readonly kind: "condition"; readonly condition: Condition; readonly actual: KeyState | null }
  /** It fits, but this would not be so after it. */
  | { readonly kind: "result"; readonly condition: Condition; readonly actual: KeyState | null }
  /** None of these keys exists. */
  | { readonly kind: "noneExists"; readonly keys: readonly string[] }
  /** Something with a smaller revision has to come first, and can't. */
  | { readonly kind: "order"; readonly first: Place }
  /** Its revision was passed already. */
  | { readonly kind: "passed"; readonly revision: number }
  /** What is placed made more revisions than the store can have had by then. */
  | { readonly kind: "tooSoon"; readonly greatest: number }
  /** It could come next, and leads nowhere. */
  | { readonly kind: "none" };

/** One way in which the store may have stood when the search could not go on. */
export interface FinalState {
  /** By the component's keys. */
  readonly keys: readonly (KeyState | null)[];
  readonly obstacle: Obstacle;
}

/** What a search came to. */
export type SearchResult =
  | { readonly kind: "ordered"; readonly order: readonly Placement[] }
  | {
    readonly kind: "stuck";
    /** The step that no order can place before its return. */
    readonly blocked: ComponentStep;
    /** An order of what came before, and of all that could be placed besides. */
    readonly prefix: readonly Placement[];
    readonly states: readonly FinalState[];
    /** Whether there are states beyond those. */
    readonly moreStates: boolean;
  }
  | { readonly kind: "undecided"; readonly reason: "time" | "memory" };
