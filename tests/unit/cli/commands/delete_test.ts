/** `delete --prefix`: the question, one transaction or several, and a deletion that ends early. */
import { assert, assertEquals } from "@std/assert";
import {
  ConnectionError,
  PermissionDeniedError,
  TransactionFailedError,
} from "../../../../lib/client/errors.ts";
import type { BranchingRequest, BranchingResult } from "../../../../lib/client/transaction/types.ts";
import { FakeStore } from "../support/fake_store.ts";
import { type Run, run, start } from "../support/run_client.ts";

/** On a terminal, where the question is answered with yes. */
const YES: Run = { input: null, terminal: true, confirms: true };

/** Returns a store that deletes prefixes and ranges of up to `maxKeys` keys, with `count` keys that begin with user:. */
async function storeWith(count: number, maxKeys = 10_000): Promise<FakeStore> {
  const store = new FakeStore();
  const name = (number: number): string => `user:${String(number).padStart(6, "0")}`;
  for (let number = 0; number < count; number += 1) await store.put(name(number), "v");
  await store.put("other", "v");
  store.calls.length = 0;
  const text = (bytes: unknown): string =>
    typeof bytes === "string" ? bytes : bytes instanceof Uint8Array ? new TextDecoder().decode(bytes) : "";
  store.onBranches = ({ then }: BranchingRequest): BranchingResult => {
    const [operation] = then ?? [];
    assert(operation?.kind === "delete");
    const [from, to] = "prefix" in operation
      ? [text(operation.prefix), `${text(operation.prefix)}\uffff`]
      : "start" in operation
      ? [text(operation.start), text(operation.end)]
      : ["", ""];
    const keys = [...store.entries.keys()].filter((key) => key >= from && key < to);
    if (keys.length > maxKeys) {
      throw new TransactionFailedError("too many", {
        reason: "tooManyKeys",
        position: "then 1",
        revision: 1,
      });
    }
    for (const key of keys) store.entries.delete(key);
    store.revision += 1;
    return { succeeded: true, results: [{ kind: "delete", deleted: keys.length }], revision: store.revision };
  };
  return store;
}

Deno.test("delete --prefix: names the number of keys, and deletes them in one transaction after a yes", async () => {
  const store = await storeWith(1_200);
  const { environment, ended } = start(["delete", "--prefix", "user:"], { store, ...YES });
  assertEquals(await ended, { code: 0, out: "ok  1 200 keys  revision 1202\n", err: "" });
  assertEquals(environment.prompts, ["Delete 1 200 keys that begin with user:? [y/N] "]);
  assertEquals([...store.entries.keys()], ["other"]);
  assertEquals(store.transactions.length, 1);
});

Deno.test("delete --prefix: any other answer deletes nothing, and ends with 1", async () => {
  const store = await storeWith(1);
  const { environment, ended } = start(["delete", "user:", "--prefix"], { store, ...YES, confirms: false });
  assertEquals(await ended, { code: 1, out: "nothing was deleted  revision 2\n", err: "" });
  assertEquals(environment.prompts, ["Delete 1 key that begins with user:? [y/N] "]);
  assertEquals([store.entries.size, store.transactions.length], [2, 0]);
});

Deno.test("delete --prefix: an empty prefix means all keys, and the question says so", async () => {
  const store = await storeWith(2);
  const { environment, ended } = start(["delete", "--prefix", ""], { store, ...YES });
  assertEquals((await ended).out, "ok  3 keys  revision 4\n");
  assertEquals(environment.prompts, ["Delete all 3 keys? [y/N] "]);
});

Deno.test("delete --prefix: without keys it asks nothing, and ends with 1", async () => {
  const { environment, ended } = start(["delete", "--prefix", "none:"], {
    store: await storeWith(1),
    ...YES,
  });
  assertEquals(await ended, { code: 1, out: "(not found)  revision 2\n", err: "" });
  assertEquals(environment.prompts, []);
});

Deno.test("delete --prefix: without a terminal it needs --yes, which asks nothing", async () => {
  const store = await storeWith(3);
  const refused = await run(["delete", "--prefix", "user:"], { store, confirms: true });
  assertEquals(refused.code, 2);
  assertEquals(
    refused.err,
    "kvraft: delete --prefix asks before it deletes, and there is no terminal to ask on. Give --yes.\n",
  );
  const lines = await run([], { store, input: ["delete --prefix user:\n"], confirms: true });
  assertEquals([lines.code, store.entries.size], [2, 4]);
  const { environment, ended } = start(["delete", "--prefix", "user:", "--yes", "--output", "json"], {
    store,
  });
  assertEquals(await ended, { code: 0, out: '{"deleted":3,"revision":5,"transactions":1}\n', err: "" });
  assertEquals(environment.prompts, []);
  assertEquals(store.calls.length, 1, "nothing is counted for a question that is not asked");
  assertEquals((await run(["delete", "user:", "--yes"], { store })).code, 2);
});

Deno.test("delete --prefix: more keys than a transaction may delete go in several", async () => {
  const store = await storeWith(2_500, 2_000);
  assertEquals(await run(["delete", "--prefix", "user:", "--yes"], { store }), {
    code: 0,
    out: "ok  2 500 keys in 3 transactions  revision 2504\n",
    err: "",
  });
  assertEquals([...store.entries.keys()], ["other"]);
});

Deno.test("delete --prefix: Ctrl-C ends it behind a transaction, and says how many keys are deleted", async () => {
  const store = await storeWith(2_500, 2_000);
  const { environment, ended } = start(["delete", "--prefix", "user:"], { store, ...YES });
  store.before = () => {
    if (store.entries.size < 2_501) environment.signal();
    return Promise.resolve();
  };
  const { code, err } = await ended;
  assertEquals(code, 4);
  assert(
    err.endsWith(
      "kvraft: The deletion ended: 2 000 of 2 500 keys deleted up to revision 2503. " +
        "It was interrupted. Give the command again for the rest.\n",
    ),
    err,
  );
  assertEquals(store.entries.size, 501);
});

Deno.test("delete --prefix: a failure behind the first transaction says how many keys are deleted", async () => {
  const store = await storeWith(2_500, 2_000);
  const execute = store.onBranches;
  store.onBranches = (request) => {
    if (store.entries.size < 2_501) throw new ConnectionError("It was lost.", { outcome: "unknown" });
    return execute(request);
  };
  const { code, err } = await run(["delete", "--prefix", "user:", "--yes"], { store });
  assertEquals(code, 4);
  assertEquals(
    err,
    "kvraft: The deletion ended: 1 000 keys deleted up to revision 2502 (up to 1 000 more may be). " +
      "It was lost. Give the command again for the rest.\n",
  );
});

Deno.test("delete --prefix: a user who may not read all of the keys is refused, and nothing is asked", async () => {
  const store = await storeWith(3);
  store.before = () =>
    Promise.reject(new PermissionDeniedError("alice may not.", { outcome: "not-applied" }));
  const { environment, ended } = start(["delete", "--prefix", "user:"], { store, ...YES });
  assertEquals((await ended).code, 6);
  assertEquals([environment.prompts, store.entries.size], [[], 4]);
});
