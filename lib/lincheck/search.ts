/**
 * Looks for an order of one component's operations that the specification allows and real time permits: Wing and
 * Gong's search with Lowe's memory of configurations.
 *
 * Calls and returns stand in one list by time. A step may come next if it was called before the first return in the
 * list; it is then taken out of the list, and put back when it turns out to lead nowhere. A configuration (which
 * steps are placed, the state they gave) that was met before is not entered again, nor is one that leaves less open
 * than one that was met: it leads nowhere.
 *
 * What keeps the search short: a read that fits now is placed for good, since it changes nothing; steps of known
 * revision are placed in its order only; what may or may not have happened is tried last.
 */
import { assert } from "../platform/assert.ts";
import {
  type Budget,
  clearBit,
  type Cursor,
  type Frame,
  hasBit,
  Memory,
  type Move,
  type SearchConfiguration,
  setBit,
  StateTable,
  textOf,
  WORD_BITS,
} from "./search_memory.ts";
import type { Component, ComponentStep, FinalState, Obstacle, SearchResult } from "./components.ts";
import {
  changed,
  type Condition,
  holds,
  type KeyState,
  type Program,
  type Step,
  UNSEEN_REVISION,
} from "./model.ts";
import { contradictionOf } from "./transactions/program.ts";
import type { RevisionOrder } from "./revisions.ts";
import { execute } from "./transactions/transaction.ts";

/** Final states that a violation names. */
const MAX_STATES = 16;
const HEAD = 0;

/** A condition that does not hold, and the key as it is instead. */
interface Mismatch {
  readonly condition: Condition;
  readonly actual: KeyState | null;
}

/** A point of time in the list. */
interface Event {
  readonly time: number;
  readonly isReturn: boolean;
  /** Index of a required step. */
  readonly index: number;
}

/** The input of a search. */
export interface SearchOptions {
  readonly order: RevisionOrder;
  readonly budget: Budget;
  /** Revisions that no write of unknown revision may have here, because other components need them. */
  readonly taken: ReadonlySet<number>;
}

/**
 * Searches one component.
 *
 * In a component of several keys, what may have happened to one of them rarely explains an answer about another. So
 * the first attempt tries only what concerns the key in question; it is quick, and what it finds holds. Only if it
 * finds nothing are all combinations tried.
 */
export function search(component: Component, options: SearchOptions): SearchResult {
  if (component.keys.length > 1 && component.optional.length > 0) {
    const result = new Search(component, { ...options, isFocused: true }).run();
    if (result.kind === "ordered") return result;
  }
  return new Search(component, { ...options, isFocused: false }).run();
}

/** One attempt. */
class Search {
  readonly #component: Component;
  readonly #order: RevisionOrder;
  readonly #budget: Budget;
  readonly #taken: ReadonlySet<number>;
  readonly #isFocused: boolean;
  readonly #slots: ReadonlyMap<string, number>;
  /** Whether there are writes of unknown revision at all. */
  readonly #hasUnnumbered: boolean;
  readonly #states: StateTable;
  readonly #memory = new Memory();

  /** Event 0 is the head of the list; the others stand in the order of time. */
  readonly #events: readonly (Event | null)[];
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #returnEvents: Int32Array;

  readonly #path: Frame[] = [];
  readonly #placedRequired: Uint16Array;
  readonly #placedOptional: Uint16Array;
  #left: number;
  /** How many of them are left in each group of steps. */
  readonly #leftOfGroup = new Map<number, number>();
  #state: number;
  /** The greatest revision that was made so far or at which an answer was given. */
  #floor = 0;
  /** The least revision that is left for a write whose revision is unknown. Grows with the revisions and with time. */
  #open: number;
  /** Which place in the order of revisions comes next. */
  #place = 0;
  /** All required steps before it are placed. */
  #first = 0;
  /** No required step at or behind it is placed. */
  #end = 0;

  #furthest = HEAD;
  #furthestPath: readonly Frame[] = [];
  #furthestStates = new Map<string, FinalState>();
  #moreStates = false;

  /** Prepares a search; {@link run} does it. */
  constructor(
    component: Component,
    { order, budget, taken, isFocused }: SearchOptions & { readonly isFocused: boolean },
  ) {
    this.#component = component;
    this.#order = order;
    this.#budget = budget;
    this.#taken = taken;
    this.#isFocused = isFocused;
    this.#slots = new Map(component.keys.map((key, slot) => [key, slot]));
    this.#states = new StateTable(component.keys.length);
    this.#state = this.#states.empty;
    this.#open = order.nextOpen(0);
    const { required, optional } = component;
    this.#hasUnnumbered = optional.length > 0 ||
      required.some(({ step, revision }) => step.writes && revision === null);
    this.#left = required.length;
    for (const { group } of required) this.#leftOfGroup.set(group, (this.#leftOfGroup.get(group) ?? 0) + 1);
    this.#placedRequired = new Uint16Array(Math.ceil(required.length / WORD_BITS));
    this.#placedOptional = new Uint16Array(Math.ceil(optional.length / WORD_BITS));
    this.#events = eventsOf(required);
    this.#next = Int32Array.from(this.#events, (_, i) => i + 1);
    this.#previous = Int32Array.from(this.#events, (_, i) => i - 1);
    this.#returnEvents = new Int32Array(required.length);
    for (const [i, event] of this.#events.entries()) if (event?.isReturn) this.#returnEvents[event.index] = i;
  }

  /** Searches to the end, or to the end of the budget. */
  run(): SearchResult {
    let cursor: Cursor = this.#start();
    while (this.#left > 0) {
      const exceeded = this.#budget.exceeded(this.#memory.size + this.#states.size);
      if (exceeded !== null) return { kind: "undecided", reason: exceeded };
      if (this.#advance(cursor)) {
        cursor = this.#start();
        continue;
      }
      const resumed = this.#backtrack();
      if (resumed === null) return this.#stuck();
      cursor = resumed;
    }
    return { kind: "ordered", order: this.#path.map(({ placement }) => placement) };
  }

  #start(): Cursor {
    return { event: this.#next[HEAD] ?? HEAD, optional: 0, option: 0 };
  }

  /** Places the first step, from the cursor on, that may come next; false when there is none. */
  #advance(cursor: Cursor): boolean {
    let { event, option } = cursor;
    let current = this.#eventAt(event);
    for (; !current.isReturn; current = this.#eventAt(event)) {
      const step = this.#required(current.index);
      for (; option <= step.candidates.length; option++) {
        if (this.#try(step, { event, optional: 0, option })) return true;
      }
      option = 0;
      event = this.#next[event] ?? HEAD;
    }
    if (this.#placeOptional({ ...cursor, event, option }, current)) return true;
    this.#noteBlocked(event, current);
    return false;
  }

  /** Tries what may have happened before the first return in the list, as long as a step is left that can see it. */
  #placeOptional(cursor: Cursor, { time, index }: Event): boolean {
    const { optional } = this.#component;
    const blocked = this.#required(index);
    if (this.#open > blocked.greatest) return false;
    let { option } = cursor;
    for (let i = cursor.optional; i < optional.length; i++) {
      const step = optional[i];
      if (step === undefined || step.from > time) continue;
      for (; this.#isWorthTrying(step, { i, blocked }) && option <= step.candidates.length; option++) {
        if (this.#try(step, { ...cursor, optional: i, option })) return true;
      }
      option = 0;
    }
    return false;
  }

  #isWorthTrying(
    { twin, group, step }: ComponentStep,
    { i, blocked }: { readonly i: number; readonly blocked: ComponentStep },
  ): boolean {
    if (hasBit(this.#placedOptional, i) || (twin !== null && !hasBit(this.#placedOptional, twin))) {
      return false;
    }
    if ((this.#leftOfGroup.get(group) ?? 0) === 0) return false;
    const changed = step.program?.keys ?? step.changes.map(({ key }) => key);
    return !this.#isFocused || changed.some((key) => blocked.keys.has(key));
  }

  /** Places a step if the specification allows it and the configuration that it gives is new. */
  #try(step: ComponentStep, cursor: Cursor): boolean {
    const move = this.#moveOf(step, cursor);
    if (move === null) return false;
    const isRequired = !this.#eventAt(cursor.event).isReturn;
    const forced = isRequired && !step.step.writes && move.floor === this.#floor &&
      move.open === this.#open;
    this.#push(move, { ...cursor, step, isRequired, forced });
    if (forced) return true;
    if (this.#memory.remember(this.#configuration())) return true;
    this.#pop();
    return false;
  }

  /** Returns the result of placing a step now, or null when it can't be. `option` picks its revision where it is not known. */
  #moveOf(step: ComponentStep, { event, option }: Cursor): Move | null {
    const { position, revision, candidates } = step;
    const next = this.#component.places[this.#place];
    if (revision !== null) {
      if (option > 0 || next?.step !== position) return null;
      if (step.step.writes ? revision <= this.#floor : revision < this.#floor) return null;
      const placement = { position, revision, isUnseen: false };
      return this.#moveTo(step, { placement, floor: revision, place: this.#place + 1 });
    }
    if (!step.step.writes) {
      const placement = { position, revision: null, isUnseen: false };
      return option > 0 ? null : this.#moveTo(step, { placement, floor: this.#floor, place: this.#place });
    }
    const candidate = candidates[option] ?? null;
    const least = Math.max(this.#open, this.#order.nextOpen(step.reached));
    const floor = candidate ?? this.#nextUnseen(least - 1, position);
    if (floor < least || floor > this.#greatestAt(event) || this.#taken.has(floor)) return null;
    const fills = next !== undefined && next.step === null && next.revision === candidate;
    const fits = next === undefined || floor < next.revision || (floor === next.revision && !next.writes);
    if (!fills && !fits) return null;
    const placement = { position, revision: floor, isUnseen: candidate === null };
    return this.#moveTo(step, { placement, floor, place: this.#place + (fills ? 1 : 0) });
  }

  #nextUnseen(passed: number, step: number): number {
    let revision = this.#order.nextUnseen(passed, step);
    while (this.#taken.has(revision)) revision = this.#order.nextUnseen(revision, step);
    return revision;
  }

  /** The greatest revision that a step placed at this point of the list can have made: it comes before a return. */
  #greatestAt(event: number): number {
    return this.#required(this.#eventAt(event).index).greatest;
  }

  #moveTo(
    { step, reached, greatest }: ComponentStep,
    move: Pick<Move, "placement" | "floor" | "place">,
  ): Move | null {
    if (move.floor > greatest) return null;
    if (this.#findMismatch(step.before, this.#state) !== null) return null;
    if (step.someExist.length > 0 && !step.someExist.some((key) => this.#keyIn(this.#state, key) !== null)) {
      return null;
    }
    const state = this.#stateAfter(step, move.placement.isUnseen ? UNSEEN_REVISION : move.floor);
    if (typeof state === "string") return null;
    if (this.#findMismatch(step.after, state) !== null) return null;
    const passed = Math.max(move.floor, reached);
    const open = passed < this.#open || !this.#hasUnnumbered ? this.#open : this.#order.nextOpen(passed);
    return { ...move, state, open };
  }

  /** Returns the state after a step; a text that says why there is none if its program contradicts its answer. */
  #stateAfter({ changes, program }: Step, revision: number): number | string {
    if (program !== null) return this.#stateAfterProgram(program, revision);
    let state = this.#state;
    for (const change of changes) {
      const key = changed(change, this.#keyIn(this.#state, change.key), revision);
      state = this.#states.with(state, this.#slotOf(change.key), key);
    }
    return state;
  }

  #stateAfterProgram(program: Program, revision: number): number | string {
    const before = { keys: program.keys, get: (key: string) => this.#keyIn(this.#state, key) };
    const execution = execute(program.transaction, before, revision);
    const why = contradictionOf(program, execution);
    if (why !== null || execution.kind === "failed") return why ?? this.#state;
    return execution.changes.reduce(
      (state, { key, state: after }) => this.#states.with(state, this.#slotOf(key), after),
      this.#state,
    );
  }

  #findMismatch(conditions: readonly Condition[], state: number): Mismatch | null {
    for (const condition of conditions) {
      const actual = this.#keyIn(state, condition.key);
      if (!holds(condition, actual)) return { condition, actual };
    }
    return null;
  }

  #push(
    move: Move,
    frame: Pick<Frame, "event" | "optional" | "option" | "step" | "isRequired" | "forced">,
  ): void {
    this.#path.push({
      ...frame,
      placement: move.placement,
      state: this.#state,
      floor: this.#floor,
      open: this.#open,
      place: this.#place,
      first: this.#first,
      end: this.#end,
    });
    this.#state = move.state;
    this.#floor = move.floor;
    this.#open = move.open;
    this.#place = move.place;
    if (!frame.isRequired) {
      setBit(this.#placedOptional, frame.optional);
      return;
    }
    const { index } = this.#eventAt(frame.event);
    this.#unlink(frame.event);
    this.#unlink(this.#returnEvents[index] ?? HEAD);
    setBit(this.#placedRequired, index);
    this.#end = Math.max(this.#end, index + 1);
    while (this.#first < this.#end && hasBit(this.#placedRequired, this.#first)) this.#first++;
    this.#countLeft(frame.step, -1);
  }

  #pop(): Frame {
    const frame = this.#path.pop();
    assert(frame !== undefined, "only what was placed is taken back");
    this.#state = frame.state;
    this.#floor = frame.floor;
    this.#open = frame.open;
    this.#place = frame.place;
    this.#first = frame.first;
    this.#end = frame.end;
    if (!frame.isRequired) {
      clearBit(this.#placedOptional, frame.optional);
      return frame;
    }
    const { index } = this.#eventAt(frame.event);
    this.#relink(this.#returnEvents[index] ?? HEAD);
    this.#relink(frame.event);
    clearBit(this.#placedRequired, index);
    this.#countLeft(frame.step, 1);
    return frame;
  }

  #countLeft({ group }: ComponentStep, difference: number): void {
    this.#left += difference;
    this.#leftOfGroup.set(group, (this.#leftOfGroup.get(group) ?? 0) + difference);
  }

  /** Takes back the last step that had an alternative; null when there is none. */
  #backtrack(): Cursor | null {
    while (this.#path.length > 0) {
      const { event, optional, option, forced } = this.#pop();
      if (!forced) return { event, optional, option: option + 1 };
    }
    return null;
  }

  #configuration(): SearchConfiguration {
    // Placed steps before `first` need no bits: all of them are.
    const words = this.#placedRequired.subarray(
      Math.floor(this.#first / WORD_BITS),
      Math.ceil(this.#end / WORD_BITS),
    );
    return {
      name: `${this.#state},${this.#place},${this.#first},${textOf(words)}`,
      floor: this.#floor,
      open: this.#open,
      optional: textOf(this.#placedOptional),
    };
  }

  #noteBlocked(event: number, { index }: Event): void {
    if (event < this.#furthest) return;
    if (event > this.#furthest) {
      this.#furthest = event;
      this.#furthestPath = this.#path.slice();
      this.#furthestStates = new Map();
      this.#moreStates = false;
    }
    const obstacle = this.#obstacleOf(this.#required(index));
    const name = `${this.#state} ${JSON.stringify(obstacle)}`;
    if (this.#furthestStates.has(name)) return;
    if (this.#furthestStates.size === MAX_STATES) this.#moreStates = true;
    else {
      const keys = this.#component.keys.map((_, slot) => this.#states.get(this.#state, slot));
      this.#furthestStates.set(name, { keys, obstacle });
    }
  }

  #obstacleOf({ step, position, revision, greatest }: ComponentStep): Obstacle {
    const first = this.#component.places[this.#place];
    if (revision !== null && first !== undefined && first.step !== position) return { kind: "order", first };
    if (revision !== null && revision < this.#floor + Number(step.writes)) {
      return { kind: "passed", revision };
    }
    if (this.#floor > greatest) return { kind: "tooSoon", greatest };
    const before = this.#findMismatch(step.before, this.#state);
    if (before !== null) return { kind: "condition", ...before };
    if (step.someExist.length > 0 && step.someExist.every((key) => this.#keyIn(this.#state, key) === null)) {
      return { kind: "noneExists", keys: step.someExist };
    }
    const state = this.#stateAfter(step, revision ?? UNSEEN_REVISION);
    if (typeof state === "string") return { kind: "transaction", why: state };
    const after = this.#findMismatch(step.after, state);
    return after === null ? { kind: "none" } : { kind: "result", ...after };
  }

  #stuck(): SearchResult {
    return {
      kind: "stuck",
      blocked: this.#required(this.#eventAt(this.#furthest).index),
      prefix: this.#furthestPath.map(({ placement }) => placement),
      states: [...this.#furthestStates.values()],
      moreStates: this.#moreStates,
    };
  }

  #required(index: number): ComponentStep {
    const step = this.#component.required[index];
    assert(step !== undefined, "an event belongs to a step");
    return step;
  }

  #eventAt(position: number): Event {
    const event = this.#events[position] ?? null;
    assert(event !== null, "while steps are left, the list has a return");
    return event;
  }

  #slotOf(key: string): number {
    const slot = this.#slots.get(key);
    assert(slot !== undefined, "a component has every key of its steps");
    return slot;
  }

  #keyIn(state: number, key: string): KeyState | null {
    return this.#states.get(state, this.#slotOf(key));
  }

  #unlink(event: number): void {
    const previous = this.#previous[event] ?? HEAD;
    const next = this.#next[event] ?? HEAD;
    this.#next[previous] = next;
    this.#previous[next] = previous;
  }

  #relink(event: number): void {
    this.#next[this.#previous[event] ?? HEAD] = event;
    this.#previous[this.#next[event] ?? HEAD] = event;
  }
}

/** The list's events behind its head: by time, and at one instant calls before returns, which makes them overlap. */
function eventsOf(required: readonly ComponentStep[]): readonly (Event | null)[] {
  const events = required.flatMap(({ from, until }, index): Event[] => [
    { time: from, isReturn: false, index },
    { time: until, isReturn: true, index },
  ]);
  events.sort((a, b) => a.time - b.time || Number(a.isReturn) - Number(b.isReturn) || a.index - b.index);
  return [null, ...events];
}
