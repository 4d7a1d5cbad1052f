/** The hash of a state: equal for equal states, different for others, and never long at a time. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { Command } from "../../../lib/kv/command.ts";
import type { StateRecord } from "../../../lib/kv/record.ts";
import { StateMachine } from "../../../lib/kv/state_machine.ts";
import { hashState } from "../../../lib/server/snapshot/state_hashes.ts";

/** An encoding that will do: JSON, bytes as arrays of numbers, a line each. */
function encode(record: StateRecord): Uint8Array {
  const text = JSON.stringify(record, (_, value) => value instanceof Uint8Array ? [...value] : value);
  return new TextEncoder().encode(text + "\n");
}

function put(number: number): Command {
  const key = new TextEncoder().encode(`key ${number}`);
  return { kind: "transaction", session: null, checks: [], mutations: [{ kind: "put", key, value: key }] };
}

function machineWith(keys: number): StateMachine {
  const machine = new StateMachine();
  for (let index = 1; index <= keys; index++) machine.apply(index, put(index));
  return machine;
}

const noYield = (): Promise<void> => Promise.resolve();

Deno.test("the hash is that of the records' bytes in their order", async () => {
  const machine = machineWith(2);
  const bytes = [...machine.snapshot().records()].map(encode);
  const digest = await crypto.subtle.digest(
    "SHA-256",
    await new Blob(bytes.map((b) => new Uint8Array(b))).arrayBuffer(),
  );
  assertEquals(
    await hashState(machine.snapshot(), { encode, yieldToEventLoop: noYield }),
    new Uint8Array(digest).toHex(),
  );
});

Deno.test("replicas of one log have one hash, and one more write makes another", async () => {
  const [a, b] = [machineWith(50), machineWith(50)];
  const hash = await hashState(a.snapshot(), { encode, yieldToEventLoop: noYield });
  assertEquals(await hashState(b.snapshot(), { encode, yieldToEventLoop: noYield }), hash);
  b.apply(51, put(1));
  assertNotEquals(await hashState(b.snapshot(), { encode, yieldToEventLoop: noYield }), hash);
});

Deno.test("others get their turn on the way, and what they write does not show in the hash", async () => {
  const machine = machineWith(2_000);
  const undisturbed = await hashState(machine.snapshot(), { encode, yieldToEventLoop: noYield });
  let pauses = 0;
  const yieldToEventLoop = (): Promise<void> => {
    machine.apply(machine.appliedIndex + 1, put(++pauses));
    return Promise.resolve();
  };
  assertEquals(await hashState(machine.snapshot(), { encode, yieldToEventLoop }), undisturbed);
  assert(pauses >= 5, `there were ${pauses} pauses`);
});
