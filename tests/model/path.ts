/** The shortest path to a state, with the real names of the nodes instead of the canonical names of each state. */
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
import type { NodeView } from "./node_invariants.ts";
import type { Transition } from "./node_table.ts";
import type { StateStore } from "./state_store.ts";
import { type Outcome, type ScenarioMachine, withMessages } from "./scenario_machine.ts";

/** A message between two nodes. */
export interface Flight {
  readonly content: number;
  readonly from: number;
  readonly to: number;
}

/** An action with its effects. Nodes are identified by their positions. */
export interface Step {
  readonly kind: Action["kind"];
  readonly node: number;
  /** For an arrival, the message. */
  readonly message: Flight | null;
  /** For transfer and reconnect, the other node. */
  readonly target: number;
  readonly transition: Transition;
  /** The node after the action, with relative ids. */
  readonly view: NodeView;
  /** The positions of the nodes with relative ids 1, 2 and 3. */
  readonly named: readonly number[];
  /** The messages that the node sent. */
  readonly sent: readonly Flight[];
  /** The messages that were lost because the network was full. */
  readonly lost: readonly Flight[];
}

/** Returns the steps to state `number`, and one more action if given. */
export function pathTo(
  number: number,
  { store, machine, last }: {
    readonly store: StateStore;
    readonly machine: ScenarioMachine;
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
  /** The real position of each node. */
  let places: readonly number[] = [0, 1, 2];
  for (const { action, lost } of actions.reverse()) {
    const outcome = machine.act(state, action);
    if (outcome === null) throw new Error("Cannot build the path: one of its actions changes nothing");
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
