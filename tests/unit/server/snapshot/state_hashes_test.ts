/** StateHashes: waiting requests share one hash, and closed connections cost nothing. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { StateView } from "../../../../lib/kv/mod.ts";
import { hashState, type StateHash, StateHashes } from "../../../../lib/server/snapshot/state_hashes.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { machineAt } from "../../../support/server_state.ts";
import type { Command } from "../../../../lib/kv/command.ts";
import type { StateRecord } from "../../../../lib/kv/record.ts";
import { StateMachine } from "../../../../lib/kv/state_machine.ts";

/** Hashes that count the states that were hashed, and wait for the test at each yield. */
function scene({ view = null }: { readonly view?: (() => StateView) | null } = {}): {
  readonly hashes: StateHashes;
  readonly walks: () => number;
  readonly ask: (requester: { isClosed: boolean }) => void;
  readonly answers: (StateHash | null)[];
  readonly failures: unknown[];
  readonly goOn: () => Promise<void>;
} {
  const machine = machineAt(300, 10);
  let walks = 0;
  let pauses: (() => void)[] = [];
  const answers: (StateHash | null)[] = [];
  const failures: unknown[] = [];
  const hashes = new StateHashes({
    view: () => {
      walks += 1;
      return view === null ? machine.snapshot() : view();
    },
    yieldToEventLoop: () => new Promise((resolve) => void pauses.push(resolve)),
  });
  return {
    hashes,
    walks: () => walks,
    ask: (requester) => {
      const fail = (error: unknown): void => void failures.push(error);
      hashes.ask(Object.assign(requester, { fail }), (answer) => void answers.push(answer));
    },
    failures,
    answers,
    goOn: async () => {
      while (pauses.length > 0) {
        const due = pauses;
        pauses = [];
        for (const resolve of due) resolve();
        await settle();
      }
    },
  };
}

Deno.test("StateHashes: all requests that come while one is computed share the next", async () => {
  const { walks, ask, answers, goOn } = scene();
  for (let requester = 0; requester < 5; requester++) ask({ isClosed: false });
  await goOn();
  assertEquals([walks(), answers.length, new Set(answers.map((answer) => answer?.hash)).size], [2, 5, 1]);
  assertEquals(answers[0]?.appliedIndex, 300);
});

Deno.test("StateHashes: a hash is abandoned once its connections are closed, and none is begun for those", async () => {
  const { walks, ask, answers, goOn } = scene();
  const requesters = Array.from({ length: 100 }, () => ({ isClosed: false }));
  for (const requester of requesters) ask(requester);
  for (const requester of requesters) requester.isClosed = true;
  await goOn();
  assertEquals([walks(), answers], [1, requesters.map(() => null)]);
  ask({ isClosed: false });
  await goOn();
  assertEquals([walks(), answers.at(-1)?.appliedIndex], [2, 300]);
});

Deno.test("StateHashes: a stopping node abandons the hash that it computes", async () => {
  const { hashes, walks, ask, answers, goOn } = scene();
  for (let requester = 0; requester < 3; requester++) ask({ isClosed: false });
  hashes.stop();
  await goOn();
  assertEquals([walks(), answers], [1, [null, null, null]]);
});

Deno.test("StateHashes: a fault ends the connections that asked, and the next request is answered", async () => {
  const fault = new Error("a fault");
  let isBroken = true;
  const machine = machineAt(3, 10);
  const { ask, answers, failures, goOn } = scene({
    view: () => {
      if (isBroken) throw fault;
      return machine.snapshot();
    },
  });
  ask({ isClosed: false });
  await settle();
  assertEquals([answers, failures], [[null], [fault]]);
  isBroken = false;
  ask({ isClosed: false });
  await goOn();
  await settle();
  assertEquals([answers.at(-1)?.appliedIndex, failures.length], [3, 1]);
});

/** A simple encoding: JSON, bytes as arrays of numbers, a line each. */
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

Deno.test("hashState: the hash is that of the records' bytes in their order", async () => {
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

Deno.test("hashState: replicas of one log have one hash, and one more write makes another", async () => {
  const [a, b] = [machineWith(50), machineWith(50)];
  const hash = await hashState(a.snapshot(), { encode, yieldToEventLoop: noYield });
  assertEquals(await hashState(b.snapshot(), { encode, yieldToEventLoop: noYield }), hash);
  b.apply(51, put(1));
  assertNotEquals(await hashState(b.snapshot(), { encode, yieldToEventLoop: noYield }), hash);
});

Deno.test("hashState: it yields to the event loop, and later writes do not show in the hash", async () => {
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
