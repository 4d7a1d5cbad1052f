/**
 * All states that a node of a small world was ever found in, each with a number, and what each input makes of it.
 *
 * A world has few states of a node and very many combinations of three nodes and a network. So the production core
 * runs once for each state of a node and each input, and a combination is a few numbers.
 *
 * The core is a class that can't be copied: to try an input, the node is made anew and its inputs since its last
 * start are repeated. That is sound as the core is pure.
 */
import { assert, InvariantError } from "../../lib/platform/assert.ts";
import type { Message, MessageKind, NodeId } from "../../lib/raft/mod.ts";
import { type Effects, type Input, ModelNode, type NodeStart, readKey, SELF } from "./node.ts";
import { brokenBy, type NodeView, viewOf } from "./node_promises.ts";

/** A message that left a node: the number of its content, and the addressee as seen by the sender (2 or 3). */
export interface Sent {
  readonly content: number;
  readonly to: NodeId;
}

/** What an input makes of a state of a node. */
export interface Transition {
  /** The state after it. */
  readonly next: number;
  readonly sent: readonly Sent[];
  /** The term that the node begins to lead, or 0. */
  readonly leads: number;
  /** Key of the read that it took, or null. */
  readonly read: number | null;
  readonly answered: readonly { readonly key: number; readonly index: number | null }[];
  readonly proposed: boolean;
  readonly ticks: number;
  readonly worked: boolean;
  /** Whether anything happened at all. */
  readonly isIdle: boolean;
  /** The promise that the node broke, or null. */
  readonly broken: string | null;
}

/** What nodes did, in how many different situations of a node. */
export interface Met {
  elections: number;
  commits: number;
  /** A conflicting suffix was discarded. */
  truncations: number;
  /** Entries were refused for lack of the one before them. */
  rejections: number;
  /** A crash lost a write. */
  lostWrites: number;
  readsAnswered: number;
  /** A node campaigned as its leader told it to. */
  handovers: number;
  /** A received snapshot took the place of a log. */
  installs: number;
}

/** How to come to a state: from the beginning of a process, or by an input to another state. */
type Origin = NodeStart | { readonly from: number; readonly input: number };

interface NodeState {
  readonly view: NodeView;
  readonly origin: Origin;
  /** Another way to come here, the last that was found. */
  otherWay: Origin | null;
  readonly transitions: Map<number, Transition>;
  /** The same state with the other two nodes exchanged. */
  mirror: number | null;
}

/** Of so many runs of the core, one is checked by another. */
const CHECKED_SHARE = 4;

/** The machine that all nodes of a world are states of. */
export class NodeTable {
  readonly #states: NodeState[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #inputs: Input[] = [];
  readonly #inputNumbers = new Map<string, number>();
  readonly #contents: Message[] = [];
  readonly #contentNumbers = new Map<string, number>();
  /** How often the core was run. */
  runs = 0;
  readonly met: Met = {
    elections: 0,
    commits: 0,
    truncations: 0,
    rejections: 0,
    lostWrites: 0,
    readsAnswered: 0,
    handovers: 0,
    installs: 0,
  };

  /** States of a node. */
  get size(): number {
    return this.#states.length;
  }

  /** Different messages, apart from who sends them to whom. */
  get messages(): number {
    return this.#contents.length;
  }

  /** The state of a node that begins so. */
  start(start: NodeStart): number {
    const node = new ModelNode(start);
    node.begin();
    return this.#intern(node, start);
  }

  /** How a state looks. */
  view(state: number): NodeView {
    return this.#state(state).view;
  }

  /** The number of an input, the same for the same input. */
  inputNumber(input: Exclude<Input, { kind: "deliver" }>): number {
    return this.#inputNumber(input, JSON.stringify(input));
  }

  /** The number of the arrival of a message from a node (2 or 3, as seen by the receiver). */
  deliveryNumber(content: number, from: NodeId): number {
    // Arrivals have the negative numbers; their inputs are made when they are tried.
    return -(content * 2 + from - 1);
  }

  /** What an input makes of a state. */
  transition(state: number, input: number): Transition {
    const { transitions } = this.#state(state);
    let known = transitions.get(input);
    if (known === undefined) {
      known = this.#try(state, input);
      transitions.set(input, known);
    }
    return known;
  }

  /** The state in which the other two nodes have exchanged their places. */
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
      "a mirror image of a mirror image is the original",
    );
    other.mirror = state;
    return mirror;
  }

  /** A message as it is, with the true ids of sender and addressee. */
  message(content: number, ends: { readonly from: NodeId; readonly to: NodeId }): Message {
    const message = this.#contents[content];
    assert(message !== undefined, "every content was sent once");
    return { ...message, ...ends };
  }

  /** The kind of a message. */
  messageKind(content: number): MessageKind {
    return this.message(content, { from: SELF, to: SELF }).kind;
  }

  #state(number: number): NodeState {
    const state = this.#states[number];
    assert(state !== undefined, "every number of a state was given out");
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
    assert(input !== undefined, "every number of an input was given out");
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
      this.#state(known).otherWay = origin;
      return known;
    }
    const number = this.#states.length;
    this.#numbers.set(fingerprint, number);
    this.#states.push({ view: viewOf(node), origin, otherWay: null, transitions: new Map(), mirror: null });
    return number;
  }

  /** Makes a node in the state that a way leads to. */
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
    const { view: before, origin, otherWay } = this.#state(state);
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
      if (otherWay !== null && this.runs % CHECKED_SHARE === 0) {
        const other = this.#make(otherWay);
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

  /** A state that was reached in two ways has one future: else its fingerprint would leave something out. */
  #checkSame(one: Did, other: Did): void {
    const isSame = one.node.fingerprint() === other.node.fingerprint() &&
      JSON.stringify(one.effects) === JSON.stringify(other.effects);
    if (!isSame) {
      throw new Error("Cannot tell states of a node apart: the dump of the core leaves something out");
    }
  }

  /** Exchanging the other two nodes before an input or after it comes to the same: the core treats all nodes alike. */
  #checkMirror(state: number, { input, next }: { readonly input: number; readonly next: number }): void {
    const other = this.transition(this.mirror(state), this.#mirrorInput(input)).next;
    if (other !== this.mirror(next)) {
      throw new Error("Cannot rename nodes: the core does not treat all of them alike");
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
      broken: brokenBy({ before, after, input, effects }),
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
      met.handovers++;
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

/** A node, and what the last input made it do. */
interface Did {
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
