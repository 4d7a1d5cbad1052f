/** The target of the records in a snapshot: a state that another node or a backup provides. */
import { assertEquals } from "@std/assert";
import { type Command, MAX_ELAPSED_MS, NewerFeatureLevelError, StateMachine } from "../../lib/kv/mod.ts";
import { DecodeError } from "../../lib/protocol/errors.ts";
import { readState, writeState } from "../../lib/server/snapshot/state_codec.ts";
import { type FuzzTarget, texts, unrepaired } from "./target.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const noYield = (): Promise<void> => Promise.resolve();
const KEY = new TextEncoder().encode("k");
const PUT = { kind: "expiringPut", key: KEY, value: KEY, leaseId: 1, expiresAtMs: 9 } as const;

/** Commands that every restored state executes. */
const COMMANDS: readonly Command[] = [
  { kind: "expireSessions", elapsedMs: MAX_ELAPSED_MS },
  { kind: "grantLease", session: null, leaseId: 1, ttlMs: 1_000 },
  { kind: "transaction", session: null, checks: [], mutations: [PUT] },
  { kind: "deleteExpired", untilMs: Number.MAX_SAFE_INTEGER },
  { kind: "expireSessions", elapsedMs: 1_000 },
  { kind: "revokeLease", session: null, leaseId: 1 },
  { kind: "changeAuth", session: null, change: { kind: "addUser", user: "new", password: null } },
  {
    kind: "authorized",
    identity: { userId: 1, credential: 0, authRevision: 0 },
    command: { kind: "transaction", session: null, checks: [], mutations: [PUT] },
  },
  {
    kind: "authorized",
    identity: { userId: 1, credential: 0, authRevision: 0 },
    command: { kind: "changeAuth", session: null, change: { kind: "removeUser", user: "ann" } },
  },
];

async function written(machine: StateMachine): Promise<readonly Bytes[]> {
  const chunks: Bytes[] = [];
  using view = machine.snapshot();
  await writeState(view, { write: (chunk) => void chunks.push(chunk.slice()), yieldToEventLoop: noYield });
  return chunks;
}

async function restored(chunks: readonly Bytes[]): Promise<StateMachine | null> {
  try {
    return await readState(ReadableStream.from(chunks), {
      restoring: StateMachine.restoring(),
      yieldToEventLoop: noYield,
    });
  } catch (error) {
    if (error instanceof DecodeError || error instanceof NewerFeatureLevelError) return null;
    throw error;
  }
}

async function readAndContinue(input: Bytes): Promise<void> {
  const machine = await restored([input.slice()]);
  if (machine === null) return;
  machine.checkStructure();
  const chunks = await written(machine);
  const again = await restored(chunks);
  assertEquals(again === null ? null : await written(again), chunks, "written and read it is the same");
  for (const command of COMMANDS) machine.apply(machine.appliedIndex + 1, command);
  machine.checkStructure();
}

/** The records of a state, in one chunk. */
export const STATE_RECORDS: FuzzTarget = {
  name: "state_records",
  promise: "a state is refused with a named error, or is sound and executes further commands",
  tokens: texts(
    "header",
    "auth",
    "role",
    "grant",
    "user",
    "token",
    "lease",
    "key",
    "tombstone",
    "version",
    "session",
    "answer",
  ),
  repair: unrepaired,
  run: readAndContinue,
};
