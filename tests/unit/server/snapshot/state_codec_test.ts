/** The bytes of a state: a written state is read unchanged, in slices, and invalid bytes are refused. */
import fc from "fast-check";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  FEATURE_LEVEL,
  MAX_KEY_BYTES,
  MAX_LOG_TIME_MS,
  MAX_VALUE_BYTES,
  NewerFeatureLevelError,
  StateMachine,
  type StateRecord,
} from "../../../../lib/kv/mod.ts";
import { encodeResult } from "../../../../lib/protocol/command.ts";
import { DecodeError } from "../../../../lib/protocol/errors.ts";
import { MessagePackWriter } from "../../../../lib/protocol/msgpack_writer.ts";
import { readState, stateRecordEncoder, writeState } from "../../../../lib/server/snapshot/state_codec.ts";
import { hashState } from "../../../../lib/server/snapshot/state_hashes.ts";
import { MAX_SNAPSHOT_CHUNK_BYTES } from "../../../../lib/storage/mod.ts";
import { anyLog, tightLimits } from "../../kv/random_log.ts";

const noYield = (): Promise<void> => Promise.resolve();

function machineOf(log: readonly Parameters<StateMachine["apply"]>[1][]): StateMachine {
  const machine = new StateMachine(tightLimits);
  for (const [position, command] of log.entries()) machine.apply(position + 1, command);
  return machine;
}

async function chunksOf(machine: StateMachine, yieldToEventLoop = noYield): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  await writeState(machine.snapshot(), {
    write: (chunk) => void chunks.push(chunk.slice()),
    yieldToEventLoop,
  });
  return chunks;
}

async function machineFrom(chunks: readonly Uint8Array[], yieldToEventLoop = noYield): Promise<StateMachine> {
  const restoring = StateMachine.restoring(tightLimits);
  return await readState(ReadableStream.from(chunks), { restoring, yieldToEventLoop });
}

Deno.test("readState: every state is read from its bytes unchanged", async () => {
  await fc.assert(
    fc.asyncProperty(anyLog, async (log) => {
      const machine = machineOf(log);
      const copy = await machineFrom(await chunksOf(machine));
      assertEquals([...copy.snapshot().records()], [...machine.snapshot().records()]);
    }),
    { numRuns: 300 },
  );
});

Deno.test("readState: a lease is read with its owner, and without one as earlier nodes wrote it", async () => {
  const records: readonly StateRecord[] = [
    ["header", 9, 7, 1_000, 3, 2, 7],
    ["lease", 4, 2_000, 3_000],
    ["lease", 5, 2_000, 3_000, 12],
  ];
  const copy = await machineFrom(await chunksOf(StateMachine.restore(records)));
  assertEquals([...copy.snapshot().records()], records);
  assertEquals([4, 5].map((leaseId) => copy.lease(leaseId)?.ownerId), [0, 12]);
});

Deno.test("writeState: a large state is cut into chunks, other work runs between them, and later writes are not in it", async () => {
  const machine = new StateMachine();
  const value = new Uint8Array(1_000);
  const put = (index: number): void => {
    const key = new TextEncoder().encode(`key ${index}`);
    const mutations = [{ kind: "put", key, value }] as const;
    machine.apply(index, { kind: "transaction", session: null, checks: [], mutations });
  };
  for (let index = 1; index <= 2_000; index++) put(index);
  const undisturbed = await chunksOf(machine);
  let pauses = 0;
  const chunks = await chunksOf(machine, () => {
    pauses++;
    put(machine.appliedIndex + 1);
    return Promise.resolve();
  });
  assertEquals(chunks, undisturbed);
  assert(chunks.length >= 7, `2 MB came in ${chunks.length} chunks`);
  assert(pauses >= 7, `there were ${pauses} pauses in writing`);
});

/** Returns a state of `keys` keys that were each put once, at the newest feature level, with or without their events. */
function filledMachine(keys: number, hasHistory: boolean): StateMachine {
  const machine = new StateMachine();
  machine.apply(1, { kind: "raiseFeatureLevel", level: FEATURE_LEVEL });
  for (let index = 2; index < keys + 2; index++) {
    const mutations = [{
      kind: "put",
      key: new TextEncoder().encode(`key ${index}`),
      value: new Uint8Array(1),
    }] as const;
    machine.apply(index, { kind: "transaction", session: null, checks: [], mutations });
  }
  machine.apply(keys + 2, { kind: "compact", revision: hasHistory ? 0 : keys });
  return machine;
}

Deno.test("writeState, hashState: other work runs while events without a superseded version are passed over", async () => {
  const pausesOf = async (machine: StateMachine): Promise<readonly number[]> => {
    const pauses = [0, 0];
    const countAt = (position: number) => (): Promise<void> => {
      pauses[position] = (pauses[position] ?? 0) + 1;
      return Promise.resolve();
    };
    await chunksOf(machine, countAt(0));
    await hashState(machine.snapshot(), { encode: stateRecordEncoder(), yieldToEventLoop: countAt(1) });
    return pauses;
  };
  const without = await pausesOf(filledMachine(20_000, false));
  const withEvents = await pausesOf(filledMachine(20_000, true));
  // One pause for about 4,096 events.
  assertEquals(withEvents.map((pauses, position) => pauses - (without[position] ?? 0) >= 4), [true, true]);
});

Deno.test("readState: other work runs while the events are put in order, in few steps for each event", async () => {
  const pausesAtEnd = async (machine: StateMachine): Promise<number> => {
    let pauses = 0;
    let isAtEnd = false;
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield* await chunksOf(machine);
      isAtEnd = true;
    }
    const yieldToEventLoop = (): Promise<void> => {
      if (isAtEnd) pauses++;
      return Promise.resolve();
    };
    await readState(chunks(), { restoring: StateMachine.restoring(tightLimits), yieldToEventLoop });
    return pauses;
  };
  assertEquals(await pausesAtEnd(filledMachine(20_000, false)), 0);
  // Each event is visited three times; a pause follows 4,096 visits.
  assertEquals(await pausesAtEnd(filledMachine(20_000, true)), 14);
});

Deno.test("writeState: the largest key with the largest value, behind a chunk that is almost full, is still a chunk", async () => {
  const machine = new StateMachine();
  const put = (index: number, key: Uint8Array, valueBytes: number): void => {
    const mutations = [{ kind: "put", key, value: new Uint8Array(valueBytes) }] as const;
    machine.apply(index, { kind: "transaction", session: null, checks: [], mutations });
  };
  put(1, new Uint8Array([1]), 262_000);
  put(2, new Uint8Array(MAX_KEY_BYTES).fill(2), MAX_VALUE_BYTES);
  const chunks = await chunksOf(machine);
  const longest = Math.max(...chunks.map(({ length }) => length));
  assert(longest > 262_000 + MAX_VALUE_BYTES, "both are in one chunk");
  assert(longest <= MAX_SNAPSHOT_CHUNK_BYTES, `a chunk of ${longest} bytes can't be written`);
});

/** A chunk with one record. */
function record(...fields: (number | string | Uint8Array | null)[]): Uint8Array {
  const out = new MessagePackWriter();
  out.array(1);
  out.array(fields.length);
  for (const field of fields) {
    if (typeof field === "number") out.integer(field);
    else if (typeof field === "string") out.string(field);
    else if (field === null) out.nil();
    else out.binary(field);
  }
  return out.copy();
}

/** Chunks that must be refused, behind a part of the reason. */
type Refused = readonly [reason: string, ...chunks: Uint8Array[]];

async function assertAllRefused(cases: readonly Refused[]): Promise<void> {
  for (const [reason, ...chunks] of cases) {
    const error = await assertRejects(() => machineFrom(chunks), DecodeError);
    assert(error.message.includes(reason), `${reason}: ${error.message}`);
  }
}

Deno.test("readState: bytes that no state machine wrote are refused", async () => {
  const key = new Uint8Array([1]);
  const top = Number.MAX_SAFE_INTEGER;
  const header = record("header", 9, 7, 1_000, 3);
  const session = record("session", 4, 5, 6, 9, 1_000, 2);
  const answer = encodeResult({ kind: "applied", revision: 1, outcomes: [] });
  await assertAllRefused([
    ["is cut off", (await chunksOf(machineOf([null])))[0]?.subarray(0, -1) ?? key],
    ["must be the header in the first record", record("key", key, key, 1, 1, 1)],
    ["must be the header in the first record, and only there", header, header],
    ["appliedIndex must not be above", record("header", top, 0, 0, 0)],
    ["revision must not be above 9", record("header", 9, 10, 0, 0)],
    ["logTimeMs must not be above", record("header", 9, 7, top, 0)],
    ["logTimeMs must not be above", record("header", 9, 7, MAX_LOG_TIME_MS / 2 + 1, 0)],
    ["forgottenIndex must not be above 9", record("header", 9, 7, 0, 10)],
    ["featureLevel must be an integer from 2", record("header", 9, 7, 0, 0, 1, 7)],
    ["compactedRevision must not be above 7", record("header", 9, 7, 0, 0, 2, 8)],
    ['"blob" is not known', header, record("blob", 1)],
    ["key has an impossible length", header, record("key", new Uint8Array(0), key, 1, 1, 1)],
    [
      "value has an impossible length",
      header,
      record("key", key, new Uint8Array(MAX_VALUE_BYTES + 1), 1, 1, 1),
    ],
    ["modRevision must be an integer from 2", header, record("key", key, key, 2, 1, 2)],
    ["modRevision must not be above 7", header, record("key", key, key, 2, 8, 2)],
    ["version must be above 1", header, record("key", key, key, 1, 2, 1)],
    ["version must not be above", header, record("key", key, key, 1, 2, top)],
    ["key must be greater", header, record("key", key, key, 1, 1, 1), record("key", key, key, 1, 1, 1)],
    ["openedIndex must be an integer from 6", header, record("session", 1, 5, 5, 5, 0, 1)],
    ["openedIndex must not be above 9", header, record("session", 1, 5, 10, 10, 0, 1)],
    ["lastActiveIndex must not be above 9", header, record("session", 1, 5, 6, 10, 0, 1)],
    ["lastActiveMs must not be above 1000", header, record("session", 1, 5, 6, 9, 1_001, 1)],
    ["sessionId must be an integer from 5", header, session, session],
    ["sessionId must be that of the session before", header, session, record("answer", 3, 2, answer)],
    ["sequence must be an integer from 2", header, session, record("answer", 4, 1, answer)],
    ["sequence must not be above 4097", header, session, record("answer", 4, 4_098, answer)],
    [
      "sequence must be an integer from 3",
      header,
      session,
      record("answer", 4, 2, answer),
      record("answer", 4, 2, answer),
    ],
  ]);
});

Deno.test("readState: a history that no state machine wrote is refused", async () => {
  const key = new Uint8Array([1]);
  // Feature level 2, with the history above revision 5.
  const withHistory = record("header", 9, 7, 1_000, 3, 2, 5);
  await assertAllRefused([
    [
      "must not be of the history at feature level 1",
      record("header", 9, 7, 1_000, 3),
      record("tombstone", key, 7, 0),
    ],
    ["modRevision must be an integer from 6", withHistory, record("tombstone", key, 5, 0)],
    [
      "key must be greater",
      withHistory,
      record("tombstone", key, 6, 0),
      record("tombstone", key, 7, 0),
    ],
    [
      "successorRevision must be an integer from 6",
      withHistory,
      record("version", key, key, 1, 1, 1, 0, 5, 0),
    ],
    [
      "the previous version of one in the history is in the snapshot",
      withHistory,
      record("tombstone", key, 7, 0),
    ],
    ["the versions of a revision are numbered from 0", withHistory, record("key", key, key, 7, 7, 1, 3)],
    [
      "a version supersedes one of the same key",
      withHistory,
      record("key", key, key, 1, 6, 2),
      record("version", new Uint8Array([2]), key, 1, 1, 1, 0, 6, 0),
    ],
  ]);
});

Deno.test("readState: leases and attachments that no state machine wrote are refused", async () => {
  const key = new Uint8Array([1]);
  // Log time 1,000, feature level 2, with the history above revision 5.
  const header = record("header", 9, 7, 1_000, 3, 2, 5);
  const lease = record("lease", 4, 2_000, 3_000);
  await assertAllRefused([
    ["must not be a lease at feature level 1", record("header", 9, 7, 1_000, 3), lease],
    ["leaseId must be an integer from 5", header, lease, lease],
    ["ttlMs must be an integer from 1000", header, record("lease", 4, 999, 1_000)],
    ["ttlMs must not be above", header, record("lease", 4, 9_000_000_000_001, 9_000_000_000_001)],
    ["deadlineMs must be an integer from 2000", header, record("lease", 4, 2_000, 1_999)],
    ["deadlineMs must not be above 3000", header, record("lease", 4, 2_000, 3_001)],
    ["ownerId must be an integer from 1", header, record("lease", 4, 2_000, 3_000, 0)],
    [
      "leaseId must be missing at feature level 1",
      record("header", 9, 7, 0, 0),
      record("key", key, key, 1, 1, 1, 1, 4),
    ],
    ["order must be missing where it is 0", header, record("key", key, key, 1, 1, 1, 0)],
    ["leaseId must be missing where it is 0", header, record("key", key, key, 1, 1, 1, 0, 0)],
    ["expiresAtMs must be an integer from 1", header, record("key", key, key, 1, 1, 1, 0, 0, 0)],
    ["a key is attached to a lease that exists", header, lease, record("key", key, key, 1, 1, 1, 0, 5)],
    [
      "no lease has more keys than are allowed",
      header,
      lease,
      ...[1, 2, 3, 4].map((byte) => record("key", Uint8Array.of(byte), key, 1, 1, 1, 0, 4)),
    ],
    [
      "leaseId must be missing for a deletion",
      header,
      record("key", key, key, 7, 7, 1),
      record("version", key, null, 0, 6, 0, 0, 7, 0, 4),
    ],
  ]);
});

Deno.test("a state of a feature level that is not known is of a newer version, and not damaged", async () => {
  const out = new MessagePackWriter();
  out.array(1);
  out.array(7);
  out.string("header");
  for (const field of [9, 7, 0, 0, FEATURE_LEVEL + 1, 7]) out.integer(field);
  await assertRejects(
    () => machineFrom([out.copy()]),
    NewerFeatureLevelError,
    "Cannot apply the state at 9: it was written at feature level 3",
  );
});
