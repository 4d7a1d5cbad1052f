/**
 * A table of all states of a node, each with a number, and of the transition for each input.
 *
 * A scenario has few states of a node and very many combinations of three nodes and a network. So the production core
 * runs once for each state of a node and each input, and a combination is a few numbers.
 *
 * The core cannot be copied: to try an input, the table creates a new node and repeats all inputs since its last start.
 * This is correct because the core is pure.
 */
import { assert, InvariantError } from "../../lib/platform/assert.ts";
import type { Message, MessageKind, NodeId } from "../../lib/raft/mod.ts";
import { type Effects, type Input, ModelNode, type NodeStart, readKey, SELF } from "./node.ts";
import { type NodeView, viewOf, violationBy } from "./node_invariants.ts";

/** A sent message: the number of its content, and the relative id of the receiver (2 or 3). */
export interface Sent {
  readonly content: number;
  readonly to: NodeId;
}

/** The result of an input in a state of a node. */
export interface Transition {
  /** The state after it. */
  readonly next: number;
  readonly sent: readonly Sent[];
  /** The term of which the node becomes leader, or 0. */
  readonly leads: number;
  /** Key of the accepted read, or null. */
  readonly read: number | null;
  readonly answered: readonly { readonly key: number; readonly index: number | null }[];
  readonly proposed: boolean;
  readonly ticks: number;
  readonly worked: boolean;
  /** Whether nothing changed. */
  readonly isIdle: boolean;
  /** The violated invariant, or null. */
  readonly broken: string | null;
}

/** Counts of the events that scenarios must cover, by transition of a node. */
export interface Coverage {
  elections: number;
  commits: number;
  /** Conflicting entries were discarded. */
  truncations: number;
  /** Entries were rejected because the preceding entry did not match. */
  rejections: number;
  /** A crash lost a write. */
  lostWrites: number;
  readsAnswered: number;
  /** A node campaigned after TimeoutNow. */
  transfers: number;
  /** A received snapshot replaced the log. */
  installs: number;
}

/** How a state is reached: by a start, or by an input in another state. */
type Origin = NodeStart | { readonly from: number; readonly input: number };

interface NodeState {
  readonly view: NodeView;
  readonly origin: Origin;
  /** The last other origin that was found. */
  otherOrigin: Origin | null;
  readonly transitions: Map<number, Transition>;
  /** The state with the other two nodes exchanged. */
  mirror: number | null;
}

/** One of this many runs of the core is checked by another run. */
const CHECKED_SHARE = 4;

/** The states of all nodes of a scenario, with their transitions. */
export class NodeTable {
  readonly #states: NodeState[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #inputs: Input[] = [];
  readonly #inputNumbers = new Map<string, number>();
  readonly #contents: Message[] = [];
  readonly #contentNumbers = new Map<string, number>();
  /** Number of runs of the core. */
  runs = 0;
  readonly met: Coverage = {
    elections: 0,
    commits: 0,
    truncations: 0,
    rejections: 0,
    lostWrites: 0,
    readsAnswered: 0,
    transfers: 0,
    installs: 0,
  };

  /** Number of states. */
  get size(): number {
    return this.#states.length;
  }

  /** Number of different messages, without sender and receiver. */
  get messages(): number {
    return this.#contents.length;
  }

  /** Returns the state of a node after a start. */
  start(start: NodeStart): number {
    const node = new ModelNode(start);
    node.begin();
    return this.#intern(node, start);
  }

  /** Returns the view of a state. */
  view(state: number): NodeView {
    return this.#state(state).view;
  }

  /** Returns the number of an input, equal for equal inputs. */
  inputNumber(input: Exclude<Input, { kind: "deliver" }>): number {
    return this.#inputNumber(input, JSON.stringify(input));
  }

  /** Returns the number of the arrival of a message from the node with the relative id `from` (2 or 3). */
  deliveryNumber(content: number, from: NodeId): number {
    // Arrivals have negative numbers; their inputs are created when they are tried.
    return -(content * 2 + from - 1);
  }

  /** Returns the transition for an input in a state. */
  transition(state: number, input: number): Transition {
    const { transitions } = this.#state(state);
    let known = transitions.get(input);
    if (known === undefined) {
      known = this.#try(state, input);
      transitions.set(input, known);
    }
    return known;
  }

  /** Returns the state with the other two nodes exchanged. */
  mirror(state: number): number {
    const known = this.#state(state);
    if (known.mirror !== null) return known.mirror;
    const { origin } = known;
    const mirror = "from" in origin
      ? this.transition(this.mirror(origin.from), this.#mirrorInput(origin.input)).next
      : this.start({
        ...origin,
        hardState: { ...origin.hardState, vote: mirrorNode(origin.hardState.vote) },
      });
    known.mirror = mirror;
    const other = this.#state(mirror);
    assert(
      other.mirror === null || other.mirror === state,
      "the mirror of a mirror is the original state",
    );
    other.mirror = state;
    return mirror;
  }

  /** Returns a message with the ids of sender and receiver. */
  message(content: number, ends: { readonly from: NodeId; readonly to: NodeId }): Message {
    const message = this.#contents[content];
    assert(message !== undefined, "every content was sent once");
    return { ...message, ...ends };
  }

  /** Returns the kind of a message. */
  messageKind(content: number): MessageKind {
    return this.message(content, { from: SELF, to: SELF }).kind;
  }

  #state(number: number): NodeState {
    const state = this.#states[number];
    assert(state !== undefined, "every number of a state exists");
    return state;
  }

  #inputNumber(input: Input, text: string): number {
    const known = this.#inputNumbers.get(text);
    if (known !== undefined) return known;
    this.#inputNumbers.set(text, this.#inputs.length);
    return this.#inputs.push(input) - 1;
  }

  #input(number: number): Input {
    if (number < 0) {
      const content = (-number - 1) >> 1;
      return {
        kind: "deliver",
        message: this.message(content, { from: -number - content * 2 + 1, to: SELF }),
      };
    }
    const input = this.#inputs[number];
    assert(input !== undefined, "every number of an input exists");
    return input;
  }

  #mirrorInput(number: number): number {
    if (number < 0) {
      const content = (-number - 1) >> 1;
      return this.deliveryNumber(content, 5 - (-number - content * 2 + 1));
    }
    const input = this.#input(number);
    return input.kind === "transfer" || input.kind === "reconnect"
      ? this.inputNumber({ ...input, target: 5 - input.target })
      : number;
  }

  #intern(node: ModelNode, origin: Origin): number {
    const fingerprint = node.fingerprint();
    const known = this.#numbers.get(fingerprint);
    if (known !== undefined) {
      this.#state(known).otherOrigin = origin;
      return known;
    }
    const number = this.#states.length;
    this.#numbers.set(fingerprint, number);
    this.#states.push({
      view: viewOf(node),
      origin,
      otherOrigin: null,
      transitions: new Map(),
      mirror: null,
    });
    return number;
  }

  /** Creates a node in the state of an origin. */
  #make(origin: Origin): ModelNode {
    if (!("from" in origin)) {
      const node = new ModelNode(origin);
      node.begin();
      return node;
    }
    const node = this.#make(this.#state(origin.from).origin);
    const input = this.#input(origin.input);
    assert(input.kind !== "restart", "a restart begins a process");
    node.apply(input);
    return node;
  }

  #try(state: number, inputNumber: number): Transition {
    this.runs++;
    const input = this.#input(inputNumber);
    const { view: before, origin, otherOrigin } = this.#state(state);
    const node = this.#make(origin);
    try {
      if (input.kind === "restart") {
        node.disk.crash();
        const { hardState, compacted, entries, snapshot } = node.disk;
        const start = { hardState, compacted, entries: [...entries], snapshot, process: input.process };
        const restarted = new ModelNode(start);
        const effects = restarted.begin();
        return this.#transition(before, { input, effects, next: this.#intern(restarted, start), state });
      }
      const effects = node.apply(input);
      if (otherOrigin !== null && this.runs % CHECKED_SHARE === 0) {
        const other = this.#make(otherOrigin);
        this.#checkSame({ node, effects }, { node: other, effects: other.apply(input) });
      }
      const size = this.size;
      const next = this.#intern(node, { from: state, input: inputNumber });
      if (next < size && next !== state && this.runs % CHECKED_SHARE === 0) {
        this.#checkMirror(state, { input: inputNumber, next });
      }
      return this.#transition(before, { input, effects, next, state });
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error;
      return { ...IDLE, next: state, isIdle: false, broken: `the core stops: ${error.message}` };
    }
  }

  /** Checks that a state reached by two paths has the same transitions; otherwise its fingerprint is incomplete. */
  #checkSame(one: Applied, other: Applied): void {
    const isSame = one.node.fingerprint() === other.node.fingerprint() &&
      JSON.stringify(one.effects) === JSON.stringify(other.effects);
    if (!isSame) {
      throw new Error("Cannot distinguish states of a node: the dump of the core is incomplete");
    }
  }

  /** Checks that exchanging the other two nodes before or after an input gives the same state. */
  #checkMirror(state: number, { input, next }: { readonly input: number; readonly next: number }): void {
    const other = this.transition(this.mirror(state), this.#mirrorInput(input)).next;
    if (other !== this.mirror(next)) {
      throw new Error("Cannot rename nodes: the core does not treat all nodes equally");
    }
  }

  #transition(
    before: NodeView,
    { input, effects, next, state }: {
      readonly input: Input;
      readonly effects: Effects;
      readonly next: number;
      readonly state: number;
    },
  ): Transition {
    const { sent, answered, read, proposed, ticks, worked } = effects;
    const after = this.view(next);
    this.#note(before, { input, effects, after });
    return {
      next,
      sent: sent.map((message) => ({ content: this.#content(message), to: message.to })),
      leads: after.role === "leader" && before.role !== "leader" ? after.term : 0,
      read,
      answered: answered.map(({ readId, index }) => ({ key: readKey(readId), index })),
      proposed,
      ticks,
      worked,
      isIdle: next === state && sent.length === 0 && answered.length === 0,
      broken: violationBy({ before, after, input, effects }),
    };
  }

  #note(
    before: NodeView,
    { input, effects, after }: { readonly input: Input; readonly effects: Effects; readonly after: NodeView },
  ): void {
    const { met } = this;
    const isCrash = input.kind === "restart";
    if (after.role === "leader" && before.role !== "leader") met.elections++;
    if (!isCrash && after.commitIndex > before.commitIndex) met.commits++;
    if (!isCrash && !after.log.startsWith(before.log)) met.truncations++;
    if (isCrash && before.isWriting) met.lostWrites++;
    if (input.kind === "deliver" && input.message.kind === "timeoutNow" && after.role === "candidate") {
      met.transfers++;
    }
    if (effects.restored) met.installs++;
    for (const { index } of effects.answered) if (index !== null) met.readsAnswered++;
    for (const message of effects.sent) {
      if (message.kind === "appendEntriesResponse" && message.result.kind === "rejected") met.rejections++;
    }
  }

  #content(message: Message): number {
    const content = { ...message, from: 0, to: 0 };
    const text = JSON.stringify(content);
    const known = this.#contentNumbers.get(text);
    if (known !== undefined) return known;
    this.#contentNumbers.set(text, this.#contents.length);
    return this.#contents.push(content) - 1;
  }
}

/** A node after its last input, with the effects. */
interface Applied {
  readonly node: ModelNode;
  readonly effects: Effects;
}

const IDLE: Omit<Transition, "next"> = {
  sent: [],
  leads: 0,
  read: null,
  answered: [],
  proposed: false,
  ticks: 0,
  worked: false,
  isIdle: true,
  broken: null,
};

function mirrorNode(node: NodeId | null): NodeId | null {
  return node === 2 || node === 3 ? 5 - node : node;
}
