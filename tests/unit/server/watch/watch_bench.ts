/** A hub that follows a log, with clients that read when a test says so, and the events that each should be sent. */
import { assert, assertEquals } from "@std/assert";
import { type Command, type KeySet, StateMachine } from "../../../../lib/kv/mod.ts";
import { decodeServerMessage, type ServerMessage } from "../../../../lib/protocol/client_frames.ts";
import { MessagePackWriter } from "../../../../lib/protocol/msgpack_writer.ts";
import { encodeSharedEvents, type SharedEvents } from "../../../../lib/protocol/watch_event.ts";
import type { ConnectionWatches } from "../../../../lib/server/watch/connection_watches.ts";
import type { Filter } from "../../../../lib/server/watch/watch.ts";
import { WatchHub } from "../../../../lib/server/watch/watch_hub.ts";
import { NO_WATCH_RIGHTS } from "../../../support/fakes/auth.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";
import { isKeyOf, TestWatch } from "../../../support/frames/watch_client.ts";

/** Puts and deletes, without previous values. */
export const ALL: Filter = { puts: true, deletes: true, previous: false };
/** Time without a leader after which watches end. */
export const LEADERLESS_MS = 500;

/** Returns a text as UTF-8. */
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Returns the set of one key. */
export const key = (text: string): KeySet => ({ kind: "key", key: bytes(text) });

/** A change of the log, as it should be reported. */
interface Change {
  readonly revision: number;
  readonly key: string;
  /** Null: a delete. */
  readonly value: string | null;
  /** Null: absent. */
  readonly previous: string | null;
}

/** A short text that identifies a value. */
function valueText(value: Uint8Array): string {
  return value.length <= 40 ? new TextDecoder().decode(value) : `${value.length} bytes of ${value[0]}`;
}

/** A log with what it does, by a model of its own. */
class Log {
  /** The leader's state, which is ahead of that of the node. */
  readonly machine = new StateMachine();
  readonly commands: Command[] = [];
  readonly changes: Change[] = [];
  readonly #values = new Map<string, string>();

  constructor() {
    this.append({ kind: "raiseFeatureLevel", level: 2 });
  }

  append(command: Command): void {
    this.commands.push(command);
    this.machine.apply(this.commands.length, command);
  }

  /** Puts or (null) deletes keys in one revision; the number "n" is counted up by two sums. */
  write(changes: ReadonlyMap<string, Uint8Array | null>, counts: boolean): void {
    const revision = this.machine.revision + 1;
    const mutations = [...changes].map(([key, value]) =>
      value === null
        ? { kind: "delete" as const, key: bytes(key) }
        : { kind: "put" as const, key: bytes(key), value }
    );
    if (counts) return this.#count(revision);
    if (mutations.length === 0) return;
    for (const [key, value] of changes) this.#note(revision, key, value === null ? null : valueText(value));
    this.append({ kind: "transaction", session: null, checks: [], mutations });
  }

  #count(revision: number): void {
    const operand = new Uint8Array(8);
    operand[0] = 1;
    const sum = { kind: "sum" as const, key: bytes("n"), operand };
    this.append({ kind: "branchingTransaction", session: null, conditions: [], then: [sum, sum], else: [] });
    for (let time = 0; time < 2; time++) {
      const before = this.#values.get("n");
      const next = before === undefined ? 1 : before.charCodeAt(0) + 1;
      this.#note(revision, "n", String.fromCharCode(next) + "\0".repeat(7));
    }
  }

  #note(revision: number, key: string, value: string | null): void {
    const previous = this.#values.get(key) ?? null;
    if (value === null && previous === null) return;
    this.changes.push({ revision, key, value, previous });
    if (value === null) this.#values.delete(key);
    else this.#values.set(key, value);
  }
}

/** A connection whose client reads when the test says so. */
class Connection {
  isHeld = false;
  readonly watches: ConnectionWatches;
  readonly messages: ServerMessage[] = [];
  readonly got = new Map<number, TestWatch>();
  queuedBytes = 0;

  constructor(hub: WatchHub) {
    this.watches = hub.connect({
      access: NO_WATCH_RIGHTS,
      isHeld: () => this.isHeld,
      send: (message) => this.#take(message),
      sendEvents: (frame) => {
        assert(!this.isHeld, "nothing is sent to a connection that is held");
        this.#take(decoded(frame));
      },
    });
  }

  get open(): readonly TestWatch[] {
    return [...this.got.values()].filter(({ ended }) => ended === null);
  }

  #take(message: ServerMessage): void {
    this.messages.push(message);
    if (message.kind === "watchEvents") {
      this.queuedBytes += message.events.reduce(
        (sum, event) => sum + (event.kind === "put" ? event.entry.value.length : 0),
        0,
      );
      this.#of(message.watchId).take(message);
    }
    if (message.kind === "watchEnded") this.#of(message.watchId).end(message);
    if (message.kind === "watchProgressed") {
      for (const watchId of message.watchIds) this.#of(watchId).progressed = message.revision;
    }
  }

  #of(watchId: number): TestWatch {
    const watch = this.got.get(watchId);
    assert(watch !== undefined, "a notice is of a watch");
    assert(watch.ended === null, "no notice follows the end of a watch");
    return watch;
  }
}

function decoded(frame: Readonly<SharedEvents>): ServerMessage {
  const out = new MessagePackWriter();
  encodeSharedEvents(out, frame);
  return decodeServerMessage(out.copy());
}

/** A node that follows the log, with its watches. */
export class Bench {
  readonly clock = new ManualClock();
  readonly log = new Log();
  machine = new StateMachine();
  readonly hub: WatchHub;
  readonly connections: Connection[];
  readonly #asked = new Map<
    TestWatch,
    { readonly keys: KeySet; readonly filter: Filter; readonly from: number }
  >();
  #nextWatchId = 1;

  constructor(connections = 3) {
    const { clock, machine: stateMachine } = this;
    this.hub = new WatchHub({ clock, stateMachine, leaderlessMs: LEADERLESS_MS });
    this.connections = Array.from({ length: connections }, () => new Connection(this.hub));
    this.follow();
  }

  /** Applies what it has not applied yet. */
  follow(): void {
    while (this.machine.appliedIndex < this.log.commands.length) {
      const { revision } = this.machine;
      const index = this.machine.appliedIndex + 1;
      this.machine.apply(index, this.log.commands[index - 1] ?? null);
      if (this.machine.revision > revision) this.hub.revisionApplied();
    }
  }

  /** Is sent a snapshot of the leader. */
  restore(): void {
    if (this.machine.appliedIndex === this.log.commands.length) return;
    using view = this.log.machine.snapshot();
    this.machine = StateMachine.restore(view.records());
    this.hub.restored(this.machine);
  }

  watch(keys: KeySet, { filter = ALL, from = this.machine.revision + 1, at = 0 } = {}): TestWatch {
    const connection = this.connection(at);
    const watchId = this.#nextWatchId++;
    const watch = new TestWatch(watchId, this.machine.revision);
    connection.got.set(watchId, watch);
    this.#asked.set(watch, { keys, filter, from });
    this.hub.start(connection.watches, { watchId, keys, filter, visibleOnly: false, from });
    return watch;
  }

  connection(at: number): Connection {
    const connection = this.connections[at];
    assert(connection !== undefined);
    return connection;
  }

  hold(at: number): void {
    this.connection(at).isHeld = true;
  }

  release(at: number): void {
    const connection = this.connection(at);
    connection.isHeld = false;
    connection.watches.resume();
  }

  /** Runs turns until nothing is fed any more. */
  feed(): void {
    for (let turn = 0; turn < 10_000 && this.clock.timerCount > (this.hub.size > 0 ? 1 : 0); turn++) {
      this.clock.advance(0);
    }
  }

  /** Returns what a watch should be sent: all of its changes from its first revision up to that of the node. */
  expected(watch: TestWatch): readonly string[] {
    const asked = this.#asked.get(watch);
    assert(asked !== undefined);
    const { keys, from, filter } = asked;
    return this.log.changes
      .filter(({ revision, key, value }) =>
        revision >= from && revision <= this.machine.revision && isKeyOf(keys, bytes(key)) &&
        (value === null ? filter.deletes : filter.puts)
      )
      .map(({ revision, key, value, previous }) => {
        const before = filter.previous ? ` (was ${previous ?? "absent"})` : "";
        return value === null
          ? `${revision} delete ${key}${before}`
          : `${revision} put ${key}=${value}${before}`;
      });
  }

  /** Checks that each watch was sent the first of its events, in order, and if it is level, all of them. */
  check(): void {
    let level = 0;
    for (const { got, isHeld } of this.connections) {
      for (const watch of got.values()) {
        const all = this.expected(watch);
        const seen = textsOf(watch);
        assertEquals(seen, all.slice(0, seen.length));
        const { ended } = watch;
        if (ended !== null) {
          assertEquals([ended.code, typeof ended.compactedRevision], ["compacted", "number"]);
          continue;
        }
        if (seen.length === all.length) level++;
        else assert(isHeld, "a watch lacks events only while it is held");
      }
    }
    assert(level >= this.hub.size - this.hub.behind, "a watch that is level has all events");
  }
}

export function textsOf(watch: TestWatch): readonly string[] {
  return watch.revisions.flatMap(({ revision, events }) =>
    events.map((event) => {
      const { previous } = event;
      const before = previous === undefined
        ? ""
        : ` (was ${previous === null ? "absent" : valueText(previous.value)})`;
      return event.kind === "put"
        ? `${revision} put ${new TextDecoder().decode(event.entry.key)}=${
          valueText(event.entry.value)
        }${before}`
        : `${revision} delete ${new TextDecoder().decode(event.key)}${before}`;
    })
  );
}
