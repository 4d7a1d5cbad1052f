/** The commands `lock` and `elect`: waiting, holding, and every way to end that. */
import { assert, assertEquals } from "@std/assert";
import { NoLeaderError } from "../../../../lib/client/errors.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import type { FakeContender } from "../support/fake_leases.ts";
import { FakeStore } from "../support/fake_store.ts";
import { type Run, run, type Running, start } from "../support/run_client.ts";

/** A command that waits, the contender in the store, and its standard input. */
interface Waiting extends Running {
  readonly contender: FakeContender;
  endInput(): void;
}

async function waiting(args: readonly string[], options: Run = {}): Promise<Waiting> {
  const store = options.store ?? new FakeStore();
  const input = new TransformStream<Uint8Array, Uint8Array>();
  const running = start(args, { ...options, store, stdin: input.readable });
  await settle();
  const [contender] = store.contenders;
  if (contender === undefined) throw new Error((await running.ended).err);
  return { ...running, contender, endInput: () => void input.writable.close() };
}

/** Returns the same, with the lock or the leadership granted. */
async function holding(args: readonly string[], options: Run = {}): Promise<Waiting> {
  const running = await waiting(args, options);
  running.contender.grant();
  await settle();
  return running;
}

const HELD = "ok  locked, fencing token 21, key nightly/00000000001267\n";

Deno.test("lock: it says when it is held, and Ctrl-C releases it with 0", async () => {
  const { contender, environment, ended } = await waiting(["lock", "nightly", "--ttl", "5s"]);
  assertEquals([contender.request.options.ttlMs, environment.stdout.text], [5_000, ""]);
  contender.grant();
  await settle();
  assertEquals(environment.stdout.text, HELD);
  environment.signal();
  assertEquals(await ended, { code: 0, out: HELD, err: "the lock nightly: released (interrupted)\n" });
  assertEquals(contender.releases, 1);
});

Deno.test("lock: the end of standard input releases it, or ends the wait with 1", async () => {
  const held = await holding(["lock", "nightly"]);
  held.endInput();
  assertEquals(await held.ended, {
    code: 0,
    out: HELD,
    err: "the lock nightly: released (standard input has ended)\n",
  });
  const early = await waiting(["lock", "nightly"]);
  early.endInput();
  assertEquals(await early.ended, {
    code: 1,
    out: "",
    err: "the lock nightly: not locked (standard input has ended)\n",
  });
});

Deno.test("lock: --wait limits the wait, and not the time that it is held", async () => {
  const late = await waiting(["lock", "nightly", "--wait", "30s"]);
  late.environment.clock.advance(30_000);
  assertEquals(await late.ended, {
    code: 1,
    out: "",
    err: "the lock nightly: not locked (others had it all the time)\n",
  });
  const { environment, ended, contender } = await holding(["lock", "nightly", "--wait", "30s"]);
  environment.clock.advance(60_000);
  await settle();
  assertEquals([contender.releases, environment.clock.timerCount], [0, 0]);
  environment.signal();
  assertEquals((await ended).code, 0);
  assertEquals(
    (await run(["lock", "nightly", "--wait", "0s"])).err,
    'kvraft: --wait must be a time from 1ms to 24h, such as 1500ms, 10s or 5m, not "0s".\n',
  );
});

Deno.test("lock: a lost lock ends it with 1, a reason, and no release", async () => {
  const { contender, ended } = await holding(["lock", "nightly"]);
  contender.lose();
  assertEquals(await ended, {
    code: 1,
    out: HELD,
    err:
      "kvraft: the lock nightly was lost with its lease: no keep-alive was confirmed in time. Another client may hold it now.\n",
  });
  assertEquals(contender.releases, 0);
  const json = await holding(["lock", "nightly", "--output", "json"]);
  json.contender.lose();
  assertEquals(JSON.parse((await json.ended).err).error.code, "leaseLost");
});

Deno.test("lock: a release that fails is reported", async () => {
  const { contender, environment, ended } = await holding(["lock", "nightly"]);
  contender.onRelease = () => Promise.reject(new NoLeaderError("Cannot revoke lease 4711: no leader."));
  environment.signal();
  const { code, err } = await ended;
  assertEquals([code, err], [3, "kvraft: Cannot revoke lease 4711: no leader.\n"]);
});

Deno.test("lock: it is released when standard output is closed", async () => {
  const { contender, environment, ended } = await waiting(["lock", "nightly"]);
  environment.stdout.isClosed = true;
  contender.grant();
  assertEquals(await ended, { code: 0, out: "", err: "" });
  assertEquals(contender.releases, 1);
});

Deno.test("lock: JSON says that it is locked, and at the end why it was released", async () => {
  const { environment, ended } = await holding(["lock", "nightly", "--output", "json"]);
  environment.signal();
  const { out, err } = await ended;
  assertEquals(JSON.parse(out), {
    locked: true,
    fencingToken: 21,
    key: "nightly/00000000001267",
    leaseId: 4_711,
  });
  assertEquals(JSON.parse(err), { released: true, reason: "interrupted" });
});

Deno.test("lock: it is refused where the commands come from standard input, before it waits", async () => {
  const store = new FakeStore();
  const { code, err } = await run([], { store, input: ["lock nightly\n"] });
  assertEquals([code, err], [
    2,
    "kvraft: line 1: lock goes on until standard input ends, which has the commands here. " +
    "Give the command as arguments.\n",
  ]);
  assertEquals(store.contenders, []);
});

Deno.test("elect: it says when this client leads, and resigns at Ctrl-C", async () => {
  const { contender, environment, ended } = await holding(["elect", "scheduler", "host-1"]);
  assertEquals(contender.request.value, new TextEncoder().encode("host-1"));
  environment.signal();
  assertEquals(await ended, {
    code: 0,
    out: "ok  leads, fencing token 21, key scheduler/00000000001267\n",
    err: "the election scheduler: resigned (interrupted)\n",
  });
  assertEquals(contender.releases, 1);
});

Deno.test("elect --observe: a line for each leader, and one where there is none, until Ctrl-C", async () => {
  const store = new FakeStore();
  const { readable, writable } = new TransformStream();
  store.leaders = readable;
  const { environment, ended } = start(["elect", "scheduler", "--observe"], { store });
  const writer = writable.getWriter();
  const numbers = { createRevision: 21, modRevision: 25, version: 2 };
  const [key, value] = [new TextEncoder().encode("scheduler/1"), new TextEncoder().encode("host\t1")];
  for (const leader of [{ key, value, ...numbers, leaseId: 7 }, null]) void writer.write(leader);
  await settle();
  assertEquals(environment.stdout.text, "21\thost\\t1\n(no leader)\n");
  environment.signal();
  void writer.abort(new Error("ended"));
  assertEquals((await ended).code, 0);
  const json = new FakeStore();
  json.leaders = ReadableStream.from([{ key, value, ...numbers }, null]);
  const { out } = await run(["elect", "scheduler", "--observe", "--output", "json"], { store: json });
  assertEquals(out.trimEnd().split("\n").map((line) => JSON.parse(line)), [
    { leader: { key: "scheduler/1", value: "host\t1", ...numbers, fencingToken: 21 } },
    { leader: null },
  ]);
});

Deno.test("elect: what does not fit together is refused", async () => {
  assert((await run(["elect", "scheduler"])).err.startsWith("kvraft: elect needs <value>."));
  assertEquals(
    (await run(["elect", "scheduler", "--observe", "--ttl", "5s"])).err,
    "kvraft: --ttl is for a client that is to lead, not with --observe.\n",
  );
  assertEquals((await run(["elect", "scheduler", "me", "--observe"])).code, 2);
});
