/**
 * Cuts a history into components that can be searched one by one (Herlihy and Wing's locality; Horn and Kroening's
 * P-compositionality): sets of keys such that what happens to one tells nothing of another.
 *
 * An operation on several keys ties them together only while its revision is unknown. A known revision is an instant
 * that all components share, so a transaction or a page of a listing falls apart into one step for each of them.
 */
import type { Place } from "./bounds.ts";
import type { History } from "./history.ts";
import type { Condition, KeyState, Step } from "./model.ts";
import type { RevisionOrder } from "./revisions.ts";
import { keysNamedInBranches } from "./transactions/program.ts";
import { keysOf, type Steps } from "./steps.ts";

/** The part of an operation that concerns one component, and when it may take effect. */
export interface ComponentStep {
  readonly step: Step;
  readonly keys: ReadonlySet<string>;
  /** Whether the operation concerns other components as well. */
  readonly isPart: boolean;
  /** Position in {@link Steps.steps}. */
  readonly position: number;
  /** In the answer or inferred; null where not known. */
  readonly revision: number | null;
  readonly from: number;
  readonly until: number;
  /** Revisions that a write of unknown revision may have made, apart from those that no answer showed. */
  readonly candidates: readonly number[];
  /** The revision that the store had certainly reached before it. */
  readonly reached: number;
  /** The greatest revision that it, or a write before it, can have made. */
  readonly greatest: number;
  /** Index of the optional step before it that may stand in for it, or null. */
  readonly twin: number | null;
  /** Steps of different groups of one component have no keys in common, not even through others. */
  readonly group: number;
}

/** Keys, and all that happened to them. */
export interface Component {
  readonly keys: readonly string[];
  /** The steps that took effect, by the beginning of their windows. */
  readonly required: readonly ComponentStep[];
  /** The steps that may have taken effect: whole operations by their calls, then parts of others by theirs. */
  readonly optional: readonly ComponentStep[];
  /** The places of these steps in the order of revisions. */
  readonly places: readonly Place[];
}

/** Which keys belong together (a union-find over texts). */
export class Partition {
  readonly #parents = new Map<string, string>();

  /** The key that stands for all that belong to `key`. */
  find(key: string): string {
    let root = key;
    for (let parent = this.#parents.get(root); parent !== undefined; parent = this.#parents.get(root)) {
      root = parent;
    }
    for (let at = key; at !== root;) {
      const parent = this.#parents.get(at) ?? root;
      this.#parents.set(at, root);
      at = parent;
    }
    return root;
  }

  /** Puts keys together; false when they already were. */
  unite(keys: readonly string[]): boolean {
    const [first, ...others] = keys;
    if (first === undefined) return false;
    let changed = false;
    for (const key of others) {
      const from = this.find(key);
      const to = this.find(first);
      if (from === to) continue;
      this.#parents.set(from, to);
      changed = true;
    }
    return changed;
  }
}

/**
 * The finest partition to begin with. An optional transaction does not tie its keys together yet: most never happened
 * or were seen, which gives them a revision. Those that a search wants to have happened are looked at again.
 */
export function finestPartition({ steps }: Steps, order: RevisionOrder): Partition {
  const partition = new Partition();
  for (const [position, step] of steps.entries()) {
    const isCertain = !step.optional && order.revisionOf(position) === null;
    // What a transaction with branches does to one key depends on the others.
    if (isCertain || step.program !== null) partition.unite(keysOf(step));
  }
  return partition;
}

/** The components of a partition, the smallest first. */
export function componentsOf(
  { steps }: Steps,
  { order, partition }: { readonly order: RevisionOrder; readonly partition: Partition },
): readonly Component[] {
  const drafts = new Map<string, { readonly keys: Set<string>; readonly steps: ComponentStep[] }>();
  for (const [position, step] of steps.entries()) {
    for (const [root, part] of partsOf(step, partition)) {
      let draft = drafts.get(root);
      if (draft === undefined) {
        draft = { keys: new Set(), steps: [] };
        drafts.set(root, draft);
      }
      const keys = new Set(keysOf(part));
      for (const key of keys) draft.keys.add(key);
      const { from, until } = order.windowOf(position);
      draft.steps.push({
        step: part,
        keys,
        isPart: part !== step,
        position,
        revision: order.revisionOf(position),
        from,
        until,
        candidates: order.candidatesOf(position),
        reached: order.reachedBefore(from),
        greatest: order.greatestUntil(until),
        twin: null,
        group: 0,
      });
    }
  }
  const placesByKey = placesOfKeys(order);
  return [...drafts.values()]
    .map((draft) => finished(draft, { order, placesByKey }))
    .sort((a, b) => a.required.length - b.required.length);
}

/** Operations of a history that a component's picture shows, as positions in the history. */
export function operationsOf(component: Component, history: History): readonly number[] {
  const keys = new Set(component.keys);
  const shown = new Set([...component.required, ...component.optional].map(({ step }) => step.index));
  for (const [index, operation] of history.entries()) {
    if ("key" in operation && keys.has(operation.key)) shown.add(index);
    if (operation.kind === "transaction" && operation.mutations.some(({ key }) => keys.has(key))) {
      shown.add(index);
    }
    if (
      operation.kind === "branchingTransaction" && keysNamedInBranches(operation).some((key) => keys.has(key))
    ) {
      shown.add(index);
    }
  }
  return [...shown].sort((a, b) => a - b);
}

/** A step cut into its parts, by component. */
function partsOf(step: Step, partition: Partition): ReadonlyMap<string, Step> {
  const keys = keysOf(step);
  const roots = new Set(keys.map((key) => partition.find(key)));
  const [only] = roots;
  if (only !== undefined && roots.size === 1) return new Map([[only, step]]);
  const someExistIn = new Set(step.someExist.map((key) => partition.find(key)));
  const parts = new Map<string, Step>();
  for (const root of roots) {
    const isHere = ({ key }: { readonly key: string }): boolean => partition.find(key) === root;
    // "One of these exists" can only be checked where all of them are.
    const someExist = someExistIn.size === 1 && someExistIn.has(root) ? step.someExist : [];
    const part = {
      ...step,
      before: step.before.filter(isHere),
      changes: step.changes.filter(isHere),
      after: step.after.filter(isHere),
      someExist,
    };
    if (keysOf(part).length > 0) parts.set(root, part);
  }
  return parts;
}

function placesOfKeys(order: RevisionOrder): ReadonlyMap<string, readonly Place[]> {
  const unnamed = new Map<string, Place[]>();
  for (const place of order.places) {
    if (place.step !== null) continue;
    for (const key of new Set(order.keysSeenAt(place.revision))) {
      const places = unnamed.get(key);
      if (places === undefined) unnamed.set(key, [place]);
      else places.push(place);
    }
  }
  return unnamed;
}

function finished(
  draft: { readonly keys: ReadonlySet<string>; readonly steps: readonly ComponentStep[] },
  { order, placesByKey }: {
    readonly order: RevisionOrder;
    readonly placesByKey: ReadonlyMap<string, readonly Place[]>;
  },
): Component {
  const isOptional = ({ step, position }: ComponentStep): boolean =>
    step.optional && order.revisionOf(position) === null;
  const steps = grouped(draft.steps);
  const places = new Set<Place>([...draft.keys].flatMap((key) => placesByKey.get(key) ?? []));
  for (const { step, position, revision } of steps) {
    if (revision !== null) places.add({ revision, writes: step.writes, step: position });
  }
  return {
    keys: [...draft.keys].sort(),
    required: steps.filter((step) => !isOptional(step)).sort((a, b) =>
      a.from - b.from || a.position - b.position
    ),
    optional: withTwins(
      steps.filter(isOptional).sort((a, b) => Number(a.isPart) - Number(b.isPart)),
      observedValues(steps),
    ),
    places: [...places].sort(byPlace),
  };
}

function grouped(steps: readonly ComponentStep[]): readonly ComponentStep[] {
  const ties = new Partition();
  for (const { keys } of steps) ties.unite([...keys]);
  const numbers = new Map<string, number>();
  return steps.map((step) => {
    const [key = ""] = step.keys;
    const root = ties.find(key);
    const group = numbers.get(root) ?? numbers.size;
    numbers.set(root, group);
    return { ...step, group };
  });
}

/** The order of {@link RevisionOrder.places}. */
function byPlace(a: Place, b: Place): number {
  return a.revision - b.revision || Number(b.writes) - Number(a.writes) || (a.step ?? -1) - (b.step ?? -1);
}

/**
 * Of optional writes that would do the same, the one that was called first can stand in for the others: a search
 * that tries each of them would do the same work many times over.
 */
function withTwins(
  optional: readonly ComponentStep[],
  observed: ReadonlySet<string>,
): readonly ComponentStep[] {
  const last = new Map<string, number>();
  return optional.map((step, index) => {
    const { before, changes } = step.step;
    const visible = changes.map((
      { key, value },
    ) => [key, value === null || observed.has(key) || observed.has(valueName(key, value)) ? value : 0]);
    const transaction = step.step.program?.transaction ?? null;
    const effect = JSON.stringify([step.isPart, before, visible, transaction, step.candidates]);
    const twin = last.get(effect) ?? null;
    last.set(effect, index);
    return { ...step, twin };
  });
}

/**
 * The values, with their keys, that distinguish a write that no answer showed from another one: those that a check
 * compares with, and those that were shown without their revision. A key by itself stands for all of its values: a
 * transaction with branches may work with any of them.
 */
function observedValues(steps: readonly ComponentStep[]): ReadonlySet<string> {
  const observed = new Set<string>();
  for (const { step } of steps) {
    for (const key of step.program?.keys ?? []) observed.add(key);
    for (const condition of [...step.before, ...step.after]) {
      const { key, kind } = condition;
      if (kind === "value") observed.add(valueName(key, condition.value));
      if (kind === "entry" && condition.entry?.modRevision === null) {
        observed.add(valueName(key, condition.entry.value));
      }
    }
  }
  return observed;
}

function valueName(key: string, value: string): string {
  return JSON.stringify([key, value]);
}

/** A step in an order. */
export interface Placement {
  /** Position in the history's steps. */
  readonly position: number;
  /** The revision that it made or was answered at; null where there is none or none is known. */
  readonly revision: number | null;
  /** Whether the revision is the least of those that no answer showed and this write may have made. */
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
  /** The placed steps made more revisions than the store can have had by then. */
  | { readonly kind: "tooSoon"; readonly greatest: number }
  /** The transaction would have done something else than it was answered. */
  | { readonly kind: "transaction"; readonly why: string }
  /** It could come next, and leads nowhere. */
  | { readonly kind: "none" };

/** A possible state of the store when the search could not go on. */
export interface FinalState {
  /** By the component's keys. */
  readonly keys: readonly (KeyState | null)[];
  readonly obstacle: Obstacle;
}

/** The outcome of a search. */
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
