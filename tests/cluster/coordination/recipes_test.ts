/**
 * The programs of docs/recipes.md against three real nodes, while the things that they depend on are killed or suspended:
 * the holder, worker or instance, and the leader's node.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { KeyVersion, KvClient } from "../../../lib/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { startExample } from "../../support/processes/example.ts";
import type { Process } from "../../support/processes/process.ts";
import { step } from "../../support/step.ts";

/** A cluster, and a client for what a test itself reads and writes. */
interface Setup {
  readonly cluster: TestCluster;
  readonly client: KvClient;
}

/** An entry that a holder of a lock or a leader writes. */
interface Signed {
  readonly by: string;
  readonly token: number;
}

Deno.test("recipes: each keeps its guarantee when holders are killed and suspended, and leaders are killed", async (t) => {
  await using cluster = await TestCluster.start();
  await cluster.waitForLeader();
  await using client = await cluster.connect();
  const setup = { cluster, client };
  await step(t, "lock: no step of a job is lost, repeated, or written by a former holder", () => lock(setup));
  await step(
    t,
    "election: a suspended leader's writes are refused once another leads",
    () => election(setup),
  );
  await step(t, "work queue: each task has one result", () => workQueue(setup));
  await step(t, "live configuration: no revision is missed", () => liveConfiguration(setup));
  await step(
    t,
    "rate limit: no window has more requests than its limit, or is short",
    () => rateLimit(setup),
  );
  await step(
    t,
    "service registry: instances that run are listed, killed ones are not",
    () => registry(setup),
  );
});

async function lock({ cluster, client }: Setup): Promise<void> {
  await using alice = startExample(cluster, "lock.ts", ["alice"]);
  await alice.waitForOutput(/alice has done step 2\n/);
  alice.signal("SIGSTOP");
  await using bob = startExample(cluster, "lock.ts", ["bob"]);
  await using carol = startExample(cluster, "lock.ts", ["carol"]);
  const second = await firstToPrint([bob, carol], /has done step/);
  alice.signal("SIGCONT");
  await alice.waitForOutput(/alice (has lost the lock|starts over)/);
  await killWithLeader(cluster, second);
  await firstToPrint([alice, bob, carol], /has done the job/);

  const written = await valuesOf<Signed & { readonly step: number }>(client, "example/job");
  assertAscendingTokens(written);
  const steps = written.map(({ step }) => step);
  assertEquals(steps, steps.map((_, position) => position % 50 + 1), "each step once, in order");
  assert(new Set(written.map(({ token }) => token)).size >= 3, "three held the lock");
}

async function election({ cluster, client }: Setup): Promise<void> {
  await using alice = startExample(cluster, "leader_election.ts", ["alice"]);
  await alice.waitForOutput(/alice leads with/);
  await using bob = startExample(cluster, "leader_election.ts", ["bob"]);
  await bob.waitForOutput(/bob waits[^]*bob sees the leader alice\n/);
  assertEquals(bob.printed.includes("bob leads"), false);
  alice.signal("SIGSTOP");
  const leader = await cluster.waitForLeader();
  cluster.pause(leader);
  await bob.waitForOutput(/bob leads with/);
  cluster.resume(leader);
  await eventually("the new leader has worked", async () => {
    const written = await valuesOf<Signed>(client, "example/leader-log");
    return written.at(-1)?.by === "bob" ? true : null;
  });
  alice.signal("SIGCONT");
  await alice.waitForOutput(/alice (leads no more|starts over)/);
  await alice.waitForOutput(/alice sees the leader bob\n/);

  bob.signal("SIGINT");
  const { code, stdout } = await bob.end();
  assertEquals(code, 0, stdout);
  const candidates = await client.list({ prefix: "example/leader/" });
  const names = candidates.entries.map(({ value }) => new TextDecoder().decode(value));
  assertEquals(names.includes("bob"), false, "a leader that ends resigns");
  await alice.waitForOutput(/alice leads with[^]*alice leads with/);
  assertAscendingTokens(await valuesOf<Signed>(client, "example/leader-log"));
}

async function workQueue({ cluster, client }: Setup): Promise<void> {
  const queue = client.prefix("example/queue/");
  await using adder = startExample(cluster, "work_queue.ts", ["add", "8"]);
  assertEquals((await adder.end()).code, 0, adder.printed);
  await using alice = startExample(cluster, "work_queue.ts", ["work", "alice"]);
  await alice.waitForOutput(/alice works on/);
  // Until it is suspended in the middle of a task.
  await eventually("alice is suspended with a claim", async () => {
    alice.signal("SIGSTOP");
    if ((await queue.list({ prefix: "claim/" })).entries.length > 0) return true;
    alice.signal("SIGCONT");
    return null;
  });
  await using bob = startExample(cluster, "work_queue.ts", ["work", "bob"]);
  await bob.waitForOutput(/bob works on/);
  await killWithLeader(cluster, bob);
  await using carol = startExample(cluster, "work_queue.ts", ["work", "carol"]);
  await eventually("all tasks are done", async () => {
    return (await queue.list({ prefix: "task/" })).entries.length === 0 ? true : null;
  }, { explain: () => alice.printed + bob.printed + carol.printed });
  alice.signal("SIGCONT");
  await alice.waitForOutput(/alice (was too late with|starts over)/);

  const { entries } = await queue.list({ prefix: "done/" });
  const done = entries.map(({ value, version }) => ({ ...JSON.parse(textOf(value)), version }));
  const tasks = Array.from({ length: 8 }, (_, position) => `TASK ${position + 1}`);
  assertEquals(done.map(({ result }) => result).toSorted(), tasks);
  assertEquals(done.filter(({ version }) => version !== 1), [], "one result each");
  const workers = done.filter(({ result }) => result === lastTaskOf(alice) || result === lastTaskOf(bob));
  assertEquals(new Set(workers.map(({ by }) => by)), new Set(["carol"]), "carol has taken their tasks over");
}

/** Returns the task that a worker began last, as its result has it. */
function lastTaskOf(worker: Process): string {
  const [, task = ""] = [...worker.printed.matchAll(/works on (task \d+)/g)].at(-1) ?? [];
  return task.toUpperCase();
}

async function liveConfiguration({ cluster, client }: Setup): Promise<void> {
  const settings = client.prefix("example/settings/");
  const set = (number: number): Promise<unknown> =>
    settings.transaction({
      then: [{ kind: "put", key: "max-users", value: `${number}` }, {
        kind: "put",
        key: "greeting",
        value: `hello ${number}`,
      }],
    });
  let written = 0;
  let isWriting = true;
  const writing = (async (): Promise<void> => {
    while (isWriting) await set(++written);
  })();
  await using program = startExample(cluster, "live_configuration.ts");
  for (let kills = 0; kills < 2; kills++) {
    await program.waitForOutput(/revision/);
    await killWithLeader(cluster, null);
    const last = written + 1;
    await eventually("the program has a change that was made after that", () => {
      return program.printed.includes(`{"maxUsers":${last},`) ? true : null;
    }, { explain: () => program.printed.slice(-1_000) });
  }
  isWriting = false;
  await writing;
  await settings.put("max-users", "many");
  await program.waitForOutput(/not valid\n$/);

  const lines = program.printed.trimEnd().split("\n").slice(0, -1);
  const seen = lines.map((line) => JSON.parse(line.replace(/^revision \d+: /, "")));
  const first = seen[0]?.greeting === "hello" ? 0 : seen[0]?.maxUsers;
  const expected = Array.from({ length: written - first + 1 }, (_, position) => first + position)
    .map((number) =>
      number === 0 ? { maxUsers: 100, greeting: "hello" } : { maxUsers: number, greeting: `hello ${number}` }
    );
  assertEquals(seen, expected, "each change once, in order, both keys of a transaction together");
}

async function rateLimit({ cluster, client }: Setup): Promise<void> {
  const startedAt = performance.now();
  const names = ["alice", "bob", "carol"];
  await using programs = new AsyncDisposableStack();
  const all = names.map((name) => programs.use(startExample(cluster, "rate_limit.ts", [name])));
  const opener = await firstToPrint(all, /with permit 1 of 5/);
  await killWithLeader(cluster, opener);
  for (const program of all.filter((one) => one !== opener)) {
    const { code, stdout } = await program.end();
    assertEquals(code, 0, stdout);
    assertMatch(stdout, /sends request 10 with permit/);
  }
  const elapsedMs = performance.now() - startedAt;

  const versions = await versionsOf(client, "example/limit/window");
  const windows = versions.filter(({ version, value }) => version === 1 && value !== null).length;
  const counted = versions.filter(({ value }) => value !== null);
  assertEquals(counted.filter(({ version }) => version > 5), [], "five requests a window");
  const permits = all.flatMap(({ printed }) => [...printed.matchAll(/with permit/g)]).length;
  assert(permits >= 20 && permits <= counted.length, `${permits} permits of ${counted.length}`);
  // The last window need not have ended.
  assert(elapsedMs >= (windows - 1) * 2_000, `${windows} windows in ${elapsedMs} ms`);
}

async function registry({ cluster, client }: Setup): Promise<void> {
  await using watcher = startExample(cluster, "service_registry.ts", ["watch"]);
  await using first = startExample(cluster, "service_registry.ts", ["serve", "web-1", "10.0.0.1:80"]);
  await using second = startExample(cluster, "service_registry.ts", ["serve", "web-2", "10.0.0.2:80"]);
  await watcher.waitForOutput(/: web-1=10.0.0.1:80 web-2=10.0.0.2:80\n$/);
  const { leases: before } = await client.leases.list();
  // Before the first one is killed, since it may take long to start: the key moves to the new lease.
  await using restarted = startExample(cluster, "service_registry.ts", ["serve", "web-1", "10.0.0.3:80"]);
  await watcher.waitForOutput(/: web-1=10.0.0.3:80 web-2=10.0.0.2:80\n$/);
  await killWithLeader(cluster, first);
  await eventually("the lease of the killed instance has ended", async () => {
    const { leases } = await client.leases.list();
    const left = before.filter(({ leaseId }) => leases.some((lease) => lease.leaseId === leaseId));
    return left.length < before.length ? true : null;
  });
  await killWithLeader(cluster, second);
  await watcher.waitForOutput(/: web-1=10.0.0.3:80\n$/);
  restarted.signal("SIGINT");
  const { code, stdout } = await restarted.end();
  assertEquals(code, 0, stdout);
  await watcher.waitForOutput(/: no service\n$/);

  const lists = watcher.printed.trimEnd().split("\n").map((line) => line.replace(/^revision \d+: /, ""));
  assertEquals(lists.slice(lists.findIndex((list) => /web-1.*web-2/.test(list))), [
    "web-1=10.0.0.1:80 web-2=10.0.0.2:80",
    "web-1=10.0.0.3:80 web-2=10.0.0.2:80",
    "web-1=10.0.0.3:80",
    "no service",
  ]);
}

/** Kills a program and the leader's node at the same time; the node returns once the others have elected a leader. */
async function killWithLeader(cluster: TestCluster, program: Process | null): Promise<void> {
  const leader = await cluster.waitForLeader();
  await Promise.all([cluster.kill(leader), program?.kill()]);
  await cluster.waitForLeader(cluster.ids.filter((id) => id !== leader));
  await cluster.startNode(leader);
}

/** Waits until one of the programs prints something; returns it. */
async function firstToPrint(programs: readonly Process[], pattern: RegExp): Promise<Process> {
  return await eventually(`a program prints ${pattern}`, () => {
    return programs.find(({ printed }) => pattern.test(printed)) ?? null;
  }, { explain: () => programs.map(({ printed }) => printed).join("\n") });
}

/** Returns the versions of a key, the oldest first. */
async function versionsOf(client: KvClient, key: string): Promise<readonly KeyVersion[]> {
  const { versions } = await client.history(key, { limit: 1_000 });
  return versions.toReversed();
}

/** Returns the values that a key had, in order. */
async function valuesOf<T>(client: KvClient, key: string): Promise<readonly T[]> {
  return (await versionsOf(client, key)).map(({ value }) =>
    value === null ? null : JSON.parse(textOf(value))
  );
}

/** Asserts that no holder wrote after a later one, and that a token is of one holder. */
function assertAscendingTokens(written: readonly Signed[]): void {
  const tokens = written.map(({ token }) => token);
  assertEquals(
    tokens,
    tokens.toSorted((a, b) => a - b),
    "no former holder's write comes after a later one's",
  );
  const holders = new Set(written.map(({ by, token }) => `${token} ${by}`));
  assertEquals(holders.size, new Set(tokens).size);
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
