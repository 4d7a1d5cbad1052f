/** Quota: writes that are refused because of the quota or a full disk, and those that are admitted nevertheless. */
import { assertEquals } from "@std/assert";
import {
  type Command,
  type Mutation,
  type Operation,
  type SessionStamp,
  StateMachine,
} from "../../../lib/kv/mod.ts";
import { MAX_WAITING_RANGE_KEYS, Quota, RangeAdmission } from "../../../lib/server/write_admission.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function transaction(mutations: readonly Mutation[], session: SessionStamp | null = null): Command {
  return { kind: "transaction", session, checks: [], mutations };
}

function put(key: string, valueBytes: number, session: SessionStamp | null = null): Command {
  return transaction([{ kind: "put", key: bytes(key), value: new Uint8Array(valueBytes) }], session);
}

function stamp(sequence: number): SessionStamp {
  return { sessionId: 7, openedAt: 0, sequence, acknowledgedBelow: 1 };
}

/** A store with one key of 90 bytes, and its quota. */
function bench(
  { quotaBytes, isDiskNearlyFull = false }: { quotaBytes: number | null; isDiskNearlyFull?: boolean },
): { machine: StateMachine; ask: (command: Command) => string; exceeded: readonly number[] } {
  const exceeded: number[] = [];
  const machine = new StateMachine();
  machine.apply(1, put("a", 89, stamp(1)));
  const quota = new Quota({
    exceeded: (bytes) => exceeded.push(bytes),
    live: { quotaBytes },
    stateMachine: () => machine,
    isDiskNearlyFull: () => isDiskNearlyFull,
  });
  return {
    machine,
    exceeded,
    ask: (command) => {
      const refusal = quota.problemOf(command);
      return refusal === null ? "admitted" : `${refusal.code}, ${refusal.outcome}`;
    },
  };
}

const FULL = "storageFull, not-applied";

Deno.test("Quota: writes are admitted up to the quota, to the byte", () => {
  const { ask, exceeded } = bench({ quotaBytes: 100 });
  assertEquals([ask(put("b", 9)), ask(put("b", 10))], ["admitted", FULL]);
  assertEquals(exceeded, [11]);
});

Deno.test("Quota: a transaction with branches counts what the branch that would be executed adds", () => {
  const { ask } = bench({ quotaBytes: 100 });
  const branching = (then: readonly Operation[], otherwise: readonly Operation[] = []): Command => ({
    kind: "branchingTransaction",
    session: null,
    conditions: [{ kind: "version", keys: { kind: "key", key: bytes("a") }, comparison: "equal", number: 1 }],
    then,
    else: otherwise,
  });
  const add = (key: string, valueBytes: number | null): Operation => ({
    kind: "put",
    key: bytes(key),
    value: valueBytes === null ? null : new Uint8Array(valueBytes),
    returnPrevious: false,
    leaseId: null,
    expiresAtMs: null,
  });
  const all = { kind: "range", start: bytes(""), end: null } as const;
  const removeAll: Operation = { kind: "delete", keys: all, returnPrevious: false };
  assertEquals(
    [
      ask(branching([add("b", 9)])),
      ask(branching([add("b", 10)])),
      ask(branching([add("b", 4), add("b", 9)])),
      ask(branching([], [add("b", 1_000)])),
      ask(branching([removeAll, add("b", 99)])),
      ask(branching([removeAll, add("b", 100)])),
      ask(branching([add("a", null)])),
    ],
    ["admitted", FULL, "admitted", "admitted", "admitted", FULL, "admitted"],
  );
});

Deno.test("RangeAdmission: transactions wait with so many keys in all, and one is always admitted", () => {
  const ranges = new RangeAdmission();
  const half = MAX_WAITING_RANGE_KEYS / 2;
  assertEquals([half, half, 0, 1].map((keys) => ranges.tryEnter(keys)), [true, true, true, false]);
  ranges.leave(half);
  assertEquals([half + 1, half].map((keys) => ranges.tryEnter(keys)), [false, true]);
  for (const keys of [half, half]) ranges.leave(keys);
  assertEquals(ranges.tryEnter(MAX_WAITING_RANGE_KEYS + 1), true);
});

Deno.test("Quota: without a quota nothing is refused while the disk has space", () => {
  assertEquals(bench({ quotaBytes: null }).ask(put("b", 1_000_000)), "admitted");
});

Deno.test("Quota: a full store accepts deletes, and writes that make it no larger", () => {
  const { ask } = bench({ quotaBytes: 90 });
  const remove: Mutation = { kind: "delete", key: bytes("a") };
  const add: Mutation = { kind: "put", key: bytes("b"), value: new Uint8Array(89) };
  assertEquals(
    [
      ask(put("b", 0)),
      ask(transaction([remove])),
      ask(put("a", 89)),
      ask(put("a", 20)),
      ask(put("a", 90)),
      ask(transaction([remove, add])),
      ask({ kind: "expireSessions", elapsedMs: 1 }),
    ],
    [FULL, "admitted", "admitted", "admitted", FULL, "admitted", "admitted"],
  );
});

Deno.test("Quota: a store above its quota still accepts writes that make it smaller", () => {
  const { ask } = bench({ quotaBytes: 50 });
  assertEquals([ask(put("a", 88)), ask(put("a", 90)), ask(transaction([]))], ["admitted", FULL, "admitted"]);
});

Deno.test("Quota: a write of a database counts with its prefix, and one that adds nothing is admitted", () => {
  const set = (value: Uint8Array): Command => ({
    kind: "databaseWrite",
    session: null,
    databaseId: 0,
    credentialId: 0,
    checks: [],
    mutations: [{ kind: "set", key: bytes("a"), value, expiresAtMs: null, versionstampedKey: false }],
  });
  const { machine, ask } = bench({ quotaBytes: 120 });
  machine.apply(2, { kind: "raiseFeatureLevel", level: 2 });
  // 90 bytes are there; the prefix has 13 and the key 1.
  assertEquals([ask(set(new Uint8Array(16))), ask(set(new Uint8Array(17)))], ["admitted", FULL]);
  machine.apply(3, set(Uint8Array.of(3, ...new Uint8Array(20))));
  assertEquals([ask(set(new Uint8Array(20))), ask(set(new Uint8Array(22)))], ["admitted", FULL]);
  const full = bench({ quotaBytes: null, isDiskNearlyFull: true });
  assertEquals(full.ask(set(new Uint8Array(1))), FULL);
});

Deno.test("Quota: writes are admitted again once there is space", () => {
  const { machine, ask } = bench({ quotaBytes: 90 });
  assertEquals(ask(put("b", 1)), FULL);
  machine.apply(2, transaction([{ kind: "delete", key: bytes("a") }]));
  assertEquals(ask(put("b", 1)), "admitted");
});

Deno.test("Quota: a nearly full disk accepts writes that do not grow the store, and no others", () => {
  const { ask } = bench({ quotaBytes: null, isDiskNearlyFull: true });
  assertEquals(
    [ask(put("b", 0)), ask(put("a", 89)), ask(transaction([{ kind: "delete", key: bytes("a") }]))],
    [FULL, "admitted", "admitted"],
  );
});

Deno.test("Quota: a nearly full disk accepts no more leases, and lets those that exist end", () => {
  const { ask } = bench({ quotaBytes: null, isDiskNearlyFull: true });
  const lease = { session: null, leaseId: 7 } as const;
  assertEquals(
    [
      ask({ kind: "grantLease", ...lease, ttlMs: 5_000 }),
      ask({ kind: "keepLeasesAlive", leaseIds: [7] }),
      ask({ kind: "revokeLease", ...lease }),
    ],
    [FULL, "admitted", "admitted"],
  );
  assertEquals(bench({ quotaBytes: 1 }).ask({ kind: "grantLease", ...lease, ttlMs: 5_000 }), "admitted");
});

Deno.test("Quota: a retry of an applied write is admitted, so that it gets its answer", () => {
  for (const full of [{ quotaBytes: 1 }, { quotaBytes: null, isDiskNearlyFull: true }]) {
    const { ask } = bench(full);
    assertEquals([ask(put("b", 100, stamp(1))), ask(put("b", 100, stamp(2)))], ["admitted", FULL]);
  }
});
