/**
 * Assigns a revision of its own to each write of unknown revision that an order wants to have happened. Components choose
 * without knowing of each other, so two may have chosen the same: then one of them looks for another order.
 */
import type { Budget } from "./search_memory.ts";
import type { Component, Placement } from "./components.ts";
import type { RevisionOrder } from "./revisions.ts";
import { search } from "./search.ts";
import { keysOf, type Steps } from "./steps.ts";

/** A component and an order of its steps. */
export interface OrderedComponent {
  readonly component: Component;
  readonly order: readonly Placement[];
}

/** Orders in which no two writes have the same revision, or sets of keys that have to be looked at together. */
export type Numbering =
  | { readonly kind: "numbered"; readonly ordered: readonly OrderedComponent[] }
  | { readonly kind: "conflict"; readonly together: readonly (readonly string[])[] };

const NO_STEP = -1;

/** Where the numbering works. */
export interface NumberingOptions {
  readonly steps: Steps;
  readonly order: RevisionOrder;
  readonly budget: Budget;
}

/** A write that needs a revision from `least` to `greatest`. */
interface Wish {
  readonly owner: OrderedComponent;
  /** Position of its step. */
  readonly position: number;
  readonly least: number;
  readonly greatest: number;
  /** Whether an answer or a check named the revision, so that it can't be another one that is still free. */
  readonly isFixed: boolean;
}

/** The revision of each write. */
type Owners = ReadonlyMap<number, Wish>;

/** The outcome of assigning revisions. */
interface Allotment {
  readonly owners: Owners;
  /** One that found none, or null. */
  readonly loser: Wish | null;
}

/**
 * How often a component may be given an order that takes revisions from others, in the hope that they can do without.
 */
const MAX_DETOURS = 64;

/**
 * Numbers what needs a number. Where too many want the same, one of them gives way if it has another order: best one
 * that takes none from another write, for then one more is served for good.
 */
export function numberWrites(plain: readonly OrderedComponent[], options: NumberingOptions): Numbering {
  let components = plain;
  for (let detours = 0;;) {
    const divided = components.flatMap((each) => keysOfDivided(each, options));
    if (divided.length > 0) return { kind: "conflict", together: divided };
    const { loser, owners } = allot(components, options.order);
    if (loser === null) return { kind: "numbered", ordered: renumbered(components, owners) };
    const quarrel = quarrelOf(loser, owners);
    const { rivals } = quarrel;
    let change = changeOf(quarrel, { ...options, mayTake: false });
    if (change === null && detours++ < MAX_DETOURS) change = changeOf(quarrel, { ...options, mayTake: true });
    if (change === null) {
      return {
        kind: "conflict",
        together: [[loser.owner, ...rivals].flatMap(({ component }) => component.keys)],
      };
    }
    const { from, to } = change;
    components = components.map((each) => each === from ? to : each);
  }
}

/** The writes that want more revisions than there are. */
interface Quarrel {
  readonly owner: OrderedComponent;
  readonly rivals: readonly OrderedComponent[];
  readonly least: number;
  readonly greatest: number;
  readonly owners: Owners;
}

/** Those that have what the loser could have used, and those that have what would have served these. */
function quarrelOf({ owner, least, greatest }: Wish, owners: Owners): Quarrel {
  const falling = [...owners].filter(([revision]) => revision <= greatest).sort(([a], [b]) => b - a);
  const rivals = new Set<OrderedComponent>();
  let from = least;
  for (const [revision, wish] of falling) {
    if (revision < from) break;
    from = Math.min(from, wish.least);
    if (wish.owner !== owner) rivals.add(wish.owner);
  }
  return { owner, rivals: [...rivals], least: from, greatest, owners };
}

/** Another order for the loser, or for a rival that can do without what the loser wants. */
function changeOf(
  { owner, rivals, least, greatest, owners }: Quarrel,
  { order, budget, mayTake }: NumberingOptions & { readonly mayTake: boolean },
): { readonly from: OrderedComponent; readonly to: OrderedComponent } | null {
  for (const from of [owner, ...rivals]) {
    const taken = new Set<number>();
    for (const [revision, wish] of owners) {
      const isContested = least <= revision && revision <= greatest;
      const isOwn = wish.owner === from;
      if (isContested ? !isOwn || from !== owner : !isOwn && !mayTake) taken.add(revision);
    }
    const result = search(from.component, { order, budget, taken });
    if (result.kind === "ordered") return { from, to: { component: from.component, order: result.order } };
  }
  return null;
}

/** Whether this is a write whose revision no answer showed. */
function isOpen({ position, revision }: Placement, order: RevisionOrder): boolean {
  return revision !== null && order.revisionOf(position) === null;
}

/**
 * Assigns each revision to the most urgent wish that may have it. That serves all of them if it can be done at all,
 * since each wants just one; within a component wishes grow with the order, which so is kept. Gives back one that
 * got nothing, or null.
 */
function allot(components: readonly OrderedComponent[], order: RevisionOrder): Allotment {
  const wishes = components.flatMap((each) => wishesOf(each, order));
  const owners = new Map<number, Wish>();
  let loser: Wish | null = null;
  for (const wish of wishes.filter(({ isFixed }) => isFixed)) {
    if (owners.has(wish.least)) loser = wish;
    else owners.set(wish.least, wish);
  }
  const coming = wishes.filter(({ isFixed }) => !isFixed).sort((a, b) => b.least - a.least);
  const waiting: Wish[] = [];
  for (let passed = 0; coming.length > 0 || waiting.length > 0;) {
    if (waiting.length === 0) passed = Math.max(passed, (coming.at(-1)?.least ?? 0) - 1);
    const revision = order.nextUnseen(passed, NO_STEP);
    while ((coming.at(-1)?.least ?? Infinity) <= revision) insert(waiting, coming.pop());
    const chosen = waiting.findIndex(({ position }) => !order.candidatesOf(position).includes(revision));
    const wish = owners.has(revision) ? undefined : waiting[chosen];
    if (wish === undefined) {
      passed = revision;
      continue;
    }
    waiting.splice(chosen, 1);
    if (revision > wish.greatest) {
      loser = wish;
      continue;
    }
    owners.set(revision, wish);
    passed = revision;
  }
  return { owners, loser };
}

/** Keeps the most urgent in front, and equals in the order in which they came. */
function insert(waiting: Wish[], wish: Wish | undefined): void {
  if (wish === undefined) return;
  const behind = waiting.findIndex(({ greatest }) => greatest > wish.greatest);
  waiting.splice(behind < 0 ? waiting.length : behind, 0, wish);
}

/** The needs of a component for its order. A write's revision lies below all that come after it and before their return. */
function wishesOf(owner: OrderedComponent, order: RevisionOrder): readonly Wish[] {
  const { required, optional } = owner.component;
  const steps = new Map([...required, ...optional].map((step) => [step.position, step]));
  const wishes: Wish[] = [];
  let greatest = Infinity;
  for (const placement of owner.order.toReversed()) {
    const { position, revision, isUnseen } = placement;
    const step = steps.get(position);
    if (step === undefined) continue;
    greatest = Math.min(greatest, step.greatest);
    if (revision !== null && isOpen(placement, order)) {
      wishes.push({
        owner,
        position,
        least: revision,
        greatest: isUnseen ? greatest : revision,
        isFixed: !isUnseen,
      });
      if (!isUnseen) greatest = Math.min(greatest, revision - 1);
    }
    if (step.revision !== null) {
      greatest = Math.min(greatest, step.step.writes ? step.revision - 1 : step.revision);
    }
  }
  return wishes.reverse();
}

function renumbered(
  components: readonly OrderedComponent[],
  owners: Owners,
): readonly OrderedComponent[] {
  const revisions = new Map([...owners].map(([revision, { position }]) => [position, revision]));
  return components.map(({ component, order }) => ({
    component,
    order: order.map((placement) => ({
      ...placement,
      revision: revisions.get(placement.position) ?? placement.revision,
    })),
  }));
}

/** An optional transaction of which only a part lies here can't be had by itself: its keys, for each of them. */
function keysOfDivided(
  { component, order: placements }: OrderedComponent,
  { steps: { steps }, order }: NumberingOptions,
): readonly (readonly string[])[] {
  const here = new Set(component.keys);
  return placements.flatMap(({ position }) => {
    const step = steps[position];
    if (step === undefined || !step.optional || order.revisionOf(position) !== null) return [];
    const keys = keysOf(step);
    return keys.every((key) => here.has(key)) ? [] : [keys];
  });
}
