/** The shortest way to a state, told with the nodes' true names: each step goes by the canonical ones of its state. */
import type { Action } from "./action.ts";
import { unpackAction } from "./action.ts";
import {
  FIRST_MESSAGE_WORD,
  makeCanonical,
  messageContent,
  messageFrom,
  messageTo,
  positionOf,
} from "./layout.ts";
import type { NodeView } from "./node_promises.ts";
import type { Transition } from "./node_table.ts";
import type { StateStore } from "./state_store.ts";
import { type Outcome, withMessages, type WorldMachine } from "./world_machine.ts";

/** A message between two nodes. */
export interface Flight {
  readonly content: number;
  readonly from: number;
  readonly to: number;
}

/** An action and what it did. Nodes go by their positions in the world. */
export interface Step {
  readonly kind: Action["kind"];
  readonly node: number;
  /** Of an arrival: the message. */
  readonly message: Flight | null;
  /** Of transfer and reconnect: the other node. */
  readonly target: number;
  readonly transition: Transition;
  /** How the node stands after it; the ids in it are the node's own names for the nodes. */
  readonly view: NodeView;
  /** The positions of the nodes that it calls 1, 2 and 3. */
  readonly named: readonly number[];
  /** Every message that the node sent. */
  readonly sent: readonly Flight[];
  /** What was lost for want of room. */
  readonly lost: readonly Flight[];
}

/** The steps to state `number`, and one action more, if given. */
export function wayTo(
  number: number,
  { store, machine, last }: {
    readonly store: StateStore;
    readonly machine: WorldMachine;
    readonly last: Action | null;
  },
): Step[] {
  const actions = last === null ? [] : [{ action: last, lost: 0 }];
  for (let state = number; state !== 0;) {
    const origin = store.origin(state);
    actions.push(unpackAction(origin.action));
    state = origin.parent;
  }
  const steps: Step[] = [];
  const state = machine.start();
  /** The true position of each node. */
  let places: readonly number[] = [0, 1, 2];
  for (const { action, lost } of actions.reverse()) {
    const outcome = machine.act(state, action);
    if (outcome === null) throw new Error("Cannot tell the way: an action of it changes nothing");
    const view = machine.nodes.view(outcome.transition.next);
    steps.push({ ...stepOf(state, { action, lost, outcome, places }), view });
    if (outcome.broken !== null) break;
    withMessages(state, outcome, lost);
    places = makeCanonical(state, machine.nodes).map((old) => places[old] ?? 0);
  }
  return steps;
}

function stepOf(
  state: Uint32Array,
  { action, lost, outcome, places }: {
    readonly action: Action;
    readonly lost: number;
    readonly outcome: Outcome;
    readonly places: readonly number[];
  },
): Omit<Step, "view"> {
  const { kind, node, argument } = action;
  const { transition, flights } = outcome;
  const place = (position: number): number => places[position] ?? 0;
  const flight = (word: number): Flight => ({
    content: messageContent(word),
    from: place(messageFrom(word)),
    to: place(messageTo(word)),
  });
  const arrives = kind === "deliver" || kind === "repeat";
  return {
    kind,
    node: place(node),
    message: arrives ? flight(state[FIRST_MESSAGE_WORD + argument] ?? 0) : null,
    target: place(positionOf(node, argument)),
    named: [1, 2, 3].map((id) => place(positionOf(node, id))),
    transition,
    sent: transition.sent.map(({ content, to }) => ({
      content,
      from: place(node),
      to: place(positionOf(node, to)),
    })),
    lost: flights.filter((_, bit) => (lost >>> bit & 1) === 1).map(flight),
  };
}
