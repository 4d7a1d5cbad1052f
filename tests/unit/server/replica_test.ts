/** Replica: waiting writes and reads are answered once, by their own entry or index. */
import { assertEquals } from "@std/assert";
import {
  type Command,
  type KeySet,
  MAX_KEY_BYTES,
  MAX_VALUE_BYTES,
  type Mutation,
  type Operation,
  StateMachine,
} from "../../../lib/kv/mod.ts";
import { EMPTY_CONFIGURATION, type Entry, type SnapshotMetadata } from "../../../lib/raft/mod.ts";
import { decodeResult, encodeCommand } from "../../../lib/protocol/command.ts";
import type { WriteAnswer } from "../../../lib/server/reply.ts";
import {
  ConfirmedReads,
  MAX_CONFIRMED_READS,
  MAX_CURRENT_BYTES_A_BATCH,
  MAX_OUTCOME_BYTES_A_BATCH,
  Replica,
} from "../../../lib/server/replica.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";

const TEXT = new TextEncoder();

function command(index: number, term: number): Command {
  return {
    kind: "transaction",
    session: null,
    checks: [],
    mutations: [{ kind: "put", key: TEXT.encode("k"), value: TEXT.encode(`${index}@${term}`) }],
  };
}

function put(index: number, term: number): Entry {
  return { index, term, kind: "command", data: encodeCommand(command(index, term)) };
}

const NOTHING_YET: SnapshotMetadata = { index: 0, term: 0, configuration: EMPTY_CONFIGURATION };

/** Returns the code and outcome of an answer. */
function gist(answer: WriteAnswer): string {
  return answer.kind === "result" ? decodeResult(answer.result).kind : `${answer.code}, ${answer.outcome}`;
}

function newReplica(): { replica: Replica; answers: string[]; answer: (answer: WriteAnswer) => void } {
  const answers: string[] = [];
  return {
    replica: new Replica(new StateMachine(), NOTHING_YET, {
      confirmed: new ConfirmedReads({ clock: new ManualClock(), timeoutMs: 100 }),
    }),
    answers,
    answer: (answer) => void answers.push(gist(answer)),
  };
}

Deno.test("Replica: a write is answered with its result when its own entry is applied", () => {
  const { replica, answers, answer } = newReplica();
  replica.awaitWrite(1, { term: 3, command: command(1, 3), answer });
  replica.apply([put(1, 3)]);
  assertEquals(answers, ["applied"]);
  assertEquals(replica.waitingWrites, 0);
});

Deno.test("Replica: another leader's entry at the index of a write leaves its outcome unknown", () => {
  const { replica, answers, answer } = newReplica();
  replica.awaitWrite(1, { term: 3, command: command(1, 3), answer });
  replica.apply([put(1, 4)]);
  assertEquals(answers, ["leadershipLost, unknown"]);
  // And that entry is applied, not the one that this node had proposed at its index.
  assertEquals(replica.stateMachine.get(TEXT.encode("k"))?.value, TEXT.encode("1@4"));
});

Deno.test("Replica: the answer of a write has its index, also where its outcome is unknown", () => {
  const { replica } = newReplica();
  const indexes: (number | undefined)[] = [];
  const answer = ({ index }: WriteAnswer): void => void indexes.push(index);
  for (const index of [1, 2, 3]) replica.awaitWrite(index, { term: 3, command: command(index, 3), answer });
  replica.apply([put(1, 3), put(2, 4)]);
  replica.abandonWrites(null);
  assertEquals(indexes, [1, 2, 3]);
});

Deno.test("Replica: losing the leadership answers the writes of the lost term, not those of a new one", () => {
  const { replica, answers, answer } = newReplica();
  replica.awaitWrite(1, { term: 3, command: command(1, 3), answer });
  replica.awaitWrite(2, { term: 5, command: command(2, 5), answer });
  replica.abandonWrites(5);
  assertEquals(answers, ["leadershipLost, unknown"]);
  replica.apply([put(1, 3), put(2, 5)]);
  assertEquals(answers, ["leadershipLost, unknown", "applied"]);
});

Deno.test("Replica: an entry that is no command is refused and does not stop the ones behind it", () => {
  const { replica, answers, answer } = newReplica();
  replica.awaitWrite(2, { term: 1, command: command(2, 1), answer });
  replica.apply([{ index: 1, term: 1, kind: "command", data: new Uint8Array([0xc1]) }, put(2, 1)]);
  assertEquals(answers, ["applied"]);
  assertEquals(replica.stateMachine.appliedIndex, 2);
  assertEquals(replica.stateMachine.revision, 1);
});

Deno.test("Replica: its observer is called after each entry that advances the revision, before the next is applied", () => {
  const seen: number[] = [];
  const observer = {
    authChanged: (): void => {},
    revisionApplied: (): void => void seen.push(replica.stateMachine.revision),
    restored: (): void => {},
  };
  const replica: Replica = new Replica(new StateMachine(), NOTHING_YET, { observer });
  const level: Entry = {
    index: 1,
    term: 1,
    kind: "command",
    data: encodeCommand({ kind: "raiseFeatureLevel", level: 2 }),
  };
  replica.apply([level, put(2, 1), put(3, 1), { index: 4, term: 1, kind: "noop", data: new Uint8Array() }]);
  replica.apply([put(5, 1)]);
  assertEquals(seen, [1, 2, 3]);
});

Deno.test("Replica: a read waits until its index is applied", () => {
  const { replica } = newReplica();
  const seen: string[] = [];
  for (const readId of [1, 2, 3]) {
    replica.awaitRead(
      readId,
      (ready) => void seen.push(`${readId}: ${ready} at ${replica.stateMachine.appliedIndex}`),
    );
  }
  replica.confirmRead({ readId: 2, index: 2 });
  replica.confirmRead({ readId: 1, index: 1 });
  replica.confirmRead({ readId: 3, index: null });
  assertEquals(seen, ["3: false at 0"]);
  replica.apply([put(1, 1)]);
  replica.apply([put(2, 1)]);
  assertEquals(seen, ["3: false at 0", "1: true at 1", "2: true at 2"]);
});

Deno.test("Replica: reads that share a read index are all answered", () => {
  const { replica } = newReplica();
  const seen: string[] = [];
  for (const [read, readId] of [["a", 1], ["b", 1], ["c", 2], ["d", 2]] as const) {
    replica.awaitRead(readId, (ready) => void seen.push(`${read}: ${ready}`));
  }
  replica.confirmRead({ readId: 2, index: null });
  replica.confirmRead({ readId: 1, index: 1 });
  assertEquals(seen, ["c: false", "d: false"]);
  replica.apply([put(1, 1)]);
  assertEquals(seen, ["c: false", "d: false", "a: true", "b: true"]);
});

Deno.test("Replica: a snapshot that replaces the state answers the reads that it covers, and ends the writes below it", () => {
  const { replica, answers, answer } = newReplica();
  const reads: string[] = [];
  for (const [readId, index] of [[1, 5], [2, 7], [3, 8]] as const) {
    replica.awaitRead(readId, (ready) => void reads.push(`${index}: ${ready}`));
    replica.confirmRead({ readId, index });
  }
  for (const index of [6, 9]) replica.awaitWrite(index, { term: 1, command: command(index, 1), answer });
  const state = new StateMachine();
  for (let index = 1; index <= 7; index++) state.apply(index, command(index, 1));
  replica.restore(state, { index: 7, term: 1, configuration: EMPTY_CONFIGURATION });
  assertEquals([reads, answers], [["5: true", "7: true"], ["leadershipLost, unknown"]]);
  replica.apply([put(8, 1), put(9, 1)]);
  assertEquals([reads.slice(2), answers.slice(1)], [["8: true"], ["applied"]]);
});

Deno.test("Replica: the index of the last count changes with every count, and with a snapshot", () => {
  const { replica } = newReplica();
  const count = (index: number): Entry => (
    { index, term: 1, kind: "command", data: encodeCommand({ kind: "expireSessions", elapsedMs: 0 }) }
  );
  const indexes = [replica.countIndex];
  replica.apply([count(1)]);
  indexes.push(replica.countIndex);
  replica.apply([put(2, 1), count(3), put(4, 1)]);
  indexes.push(replica.countIndex);
  const snapshot = new Replica(new StateMachine(), NOTHING_YET);
  for (let index = 1; index <= 6; index++) snapshot.apply([put(index, 1)]);
  replica.restore(snapshot.stateMachine, { ...NOTHING_YET, index: 6, term: 1 });
  indexes.push(replica.countIndex);
  assertEquals(indexes, [0, 1, 3, 6]);
});

Deno.test("Replica: close ends every waiting write and read", () => {
  const { replica, answers, answer } = newReplica();
  replica.awaitWrite(1, { term: 1, command: command(1, 1), answer });
  const reads: boolean[] = [];
  replica.awaitRead(1, (ready) => void reads.push(ready));
  replica.awaitRead(2, (ready) => void reads.push(ready));
  replica.confirmRead({ readId: 2, index: 9 });
  replica.close();
  assertEquals({ answers, reads }, { answers: ["leadershipLost, unknown"], reads: [false, false] });
});

Deno.test("Replica: an entry that no leader would propose changes nothing", () => {
  const { replica } = newReplica();
  const { replica: other } = newReplica();
  const k = TEXT.encode("k");
  const mutations: readonly Mutation[][] = [
    [{ kind: "put", key: new Uint8Array(0), value: k }],
    [{ kind: "put", key: new Uint8Array(MAX_KEY_BYTES + 1), value: k }],
    [{ kind: "put", key: k, value: new Uint8Array(MAX_VALUE_BYTES + 1) }],
    [{ kind: "put", key: k, value: k }, { kind: "delete", key: k }],
    [],
  ];
  for (const [position, made] of mutations.entries()) {
    const data = encodeCommand({ kind: "transaction", session: null, checks: [], mutations: made });
    replica.apply([{ index: position + 1, term: 1, kind: "command", data }]);
    other.apply([{ index: position + 1, term: 1, kind: "noop", data: new Uint8Array(0) }]);
  }
  const records = ({ stateMachine }: Replica): unknown => [...stateMachine.snapshot().records()];
  assertEquals(records(replica), records(other));
});

Deno.test("Replica: a transaction with branches that no leader would propose changes nothing", () => {
  const { replica } = newReplica();
  const { replica: other } = newReplica();
  const k = TEXT.encode("k");
  const unattached = { leaseId: null, expiresAtMs: null };
  const put = { kind: "put", key: k, value: k, returnPrevious: false, ...unattached } as const;
  const faulty: readonly Operation[] = [
    { ...put, key: new Uint8Array(0) },
    { ...put, key: new Uint8Array(MAX_KEY_BYTES + 1) },
    { ...put, value: new Uint8Array(MAX_VALUE_BYTES + 1) },
    { kind: "delete", keys: { kind: "key", key: new Uint8Array(0) }, returnPrevious: false },
    {
      kind: "get",
      keys: { kind: "range", start: k, end: null },
      limit: 10_001,
      reverse: false,
      revision: null,
    },
    { kind: "get", keys: { kind: "key", key: k }, limit: 10_001, reverse: false, revision: null },
    { kind: "sum", key: k, operand: k },
  ];
  const level = encodeCommand({ kind: "raiseFeatureLevel", level: 2 });
  for (const one of [replica, other]) one.apply([{ index: 1, term: 1, kind: "command", data: level }]);
  for (const [position, operation] of faulty.entries()) {
    const branches = { conditions: [], then: [put, operation], else: [] };
    const data = encodeCommand({ kind: "branchingTransaction", session: null, ...branches });
    replica.apply([{ index: position + 2, term: 1, kind: "command", data }]);
    other.apply([{ index: position + 2, term: 1, kind: "noop", data: new Uint8Array(0) }]);
  }
  // Compared first: the difference of two states with a large value takes minutes to print.
  assertEquals(replica.stateMachine.revision, 0);
  const records = ({ stateMachine }: Replica): unknown => [...stateMachine.snapshot().records()];
  assertEquals(records(replica), records(other));
});

Deno.test("Replica: transactions with branches return entries up to a bound for each batch, and few always", () => {
  const { replica } = newReplica();
  const key = (name: string): KeySet => ({ kind: "key", key: TEXT.encode(name) });
  const branching = (...then: readonly Operation[]): Command => ({
    kind: "branchingTransaction",
    session: null,
    conditions: [],
    then,
    else: [],
  });
  const put = (name: string, bytes: number): Operation => ({
    kind: "put",
    key: TEXT.encode(name),
    value: new Uint8Array(bytes),
    returnPrevious: false,
    leaseId: null,
    expiresAtMs: null,
  });
  const get = (name: string): Operation => ({
    kind: "get",
    keys: key(name),
    limit: 1,
    reverse: false,
    revision: null,
  });
  const shown: string[] = [];
  let index = 0;
  const batch = (commands: readonly Command[]): void =>
    replica.apply(commands.map((command): Entry => {
      index += 1;
      replica.awaitWrite(index, {
        term: 1,
        command,
        answer: (given) => {
          const result = given.kind === "result" ? decodeResult(given.result) : null;
          if (result?.kind !== "executed") return;
          shown.push(
            result.outcomes === "omitted" ? "omitted" : result.outcomes.map(({ kind }) => kind).join(),
          );
        },
      });
      return { index, term: 1, kind: "command", data: encodeCommand(command) };
    }));
  batch([
    { kind: "raiseFeatureLevel", level: 2 },
    branching(put("large", MAX_VALUE_BYTES), put("small", 100)),
  ]);
  const readsInBound = Math.ceil(MAX_OUTCOME_BYTES_A_BATCH / MAX_VALUE_BYTES);
  batch([...Array(readsInBound + 1).fill(branching(get("large"))), branching(get("small"), put("a", 1))]);
  batch([branching(get("large"))]);
  const reads = Array<string>(readsInBound).fill("get");
  assertEquals(shown, ["put,put", ...reads, "omitted", "get,put", "get"]);
});

Deno.test("Replica: failed checks return current values up to a bound for each batch", () => {
  const { replica } = newReplica();
  const value = new Uint8Array(MAX_CURRENT_BYTES_A_BATCH / 2 - 1);
  const key = TEXT.encode("k");
  const first: Command = {
    kind: "transaction",
    session: null,
    checks: [],
    mutations: [{ kind: "put", key, value }],
  };
  const failing: Command = {
    kind: "transaction",
    session: null,
    checks: [{ kind: "value", key, value: TEXT.encode("other") }],
    mutations: [{ kind: "put", key, value: TEXT.encode("new") }],
    returnCurrent: true,
  };
  const currents: (number | string)[] = [];
  const answer = (given: WriteAnswer): void => {
    const result = given.kind === "result" ? decodeResult(given.result) : null;
    if (result?.kind !== "checksFailed") return;
    currents.push(typeof result.current === "string" ? result.current : result.current?.value.length ?? 0);
  };
  let index = 0;
  const batch = (commands: readonly Command[]): void => {
    replica.apply(commands.map((command): Entry => {
      index += 1;
      replica.awaitWrite(index, { term: 1, command, answer });
      return { index, term: 1, kind: "command", data: encodeCommand(command) };
    }));
  };
  batch([first, failing, failing, failing, failing, failing]);
  batch([failing]);
  const whole = value.length;
  assertEquals(currents, [whole, whole, "omitted", "omitted", "omitted", whole]);
});

interface Scene {
  readonly clock: ManualClock;
  readonly reads: ConfirmedReads;
  readonly answers: string[];
  readonly add: (index: number) => void;
}

function scene(): Scene {
  const clock = new ManualClock();
  const reads = new ConfirmedReads({ clock, timeoutMs: 100 });
  const answers: string[] = [];
  const add = (index: number): void => reads.add(index, (ready) => void answers.push(`${index} ${ready}`));
  return { clock, reads, answers, add };
}

Deno.test("ConfirmedReads: reads are answered in the order of their indexes, as these are applied", () => {
  const { clock, reads, answers, add } = scene();
  for (const index of [7, 5, 6, 5]) add(index);
  reads.applied(4);
  reads.applied(5);
  assertEquals(answers.splice(0), ["5 true", "5 true"]);
  reads.applied(9);
  assertEquals([answers, reads.size], [["6 true", "7 true"], 0]);
  clock.advance(1_000);
  assertEquals([answers.length, clock.timerCount], [2, 0]);
});

Deno.test("ConfirmedReads: an answer says how long the read has waited to be applied", () => {
  const clock = new ManualClock();
  const reads = new ConfirmedReads({ clock, timeoutMs: 100 });
  const waits: (readonly [boolean, number | undefined])[] = [];
  const answer = (ready: boolean, applyMs?: number): void => void waits.push([ready, applyMs]);
  reads.add(1, answer);
  clock.advance(30);
  reads.add(2, answer);
  reads.applied(1);
  clock.advance(100);
  assertEquals(waits, [[true, 30], [false, 100]]);
  reads.close();
});

Deno.test("ConfirmedReads: a node that does not catch up refuses each read at its own deadline", () => {
  const { clock, reads, answers, add } = scene();
  add(9);
  clock.advance(60);
  add(8);
  clock.advance(39);
  assertEquals(answers, []);
  clock.advance(1);
  assertEquals(answers.splice(0), ["9 false"]);
  clock.advance(60);
  assertEquals([answers.splice(0), reads.size, clock.timerCount], [["8 false"], 0, 0]);
});

Deno.test("ConfirmedReads: beyond the bound a read is refused at once; at the end all are", () => {
  const { clock, reads, answers, add } = scene();
  for (let more = 0; more < MAX_CONFIRMED_READS; more++) add(3);
  assertEquals(answers.length, 0);
  add(2);
  assertEquals([answers.splice(0), reads.size], [["2 false"], MAX_CONFIRMED_READS]);
  reads.close();
  assertEquals([answers.length, reads.size, clock.timerCount], [MAX_CONFIRMED_READS, 0, 0]);
});
