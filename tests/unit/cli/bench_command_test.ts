/** `kvraft client bench`: its requests to a store, and its report. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { FakeStore } from "./support/fake_store.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "./support/fake_environment.ts";
import { clientCommand } from "../../../lib/cli/client.ts";
import { ConnectionError, TimeoutError } from "../../../lib/client/errors.ts";
import { eventually } from "../../support/eventually.ts";
import { settle } from "../../support/fakes/manual_clock.ts";

const SHORT = ["--duration", "200ms", "--warmup", "50ms", "--clients", "4", "--key-count", "20"];

interface Scene {
  readonly environment: FakeEnvironment;
  readonly store: FakeStore;
  readonly code: Promise<number>;
}

/** Starts the command against a store that takes 10 ms for each put and get. */
function begin(args: readonly string[], options: FakeEnvironmentOptions = {}): Scene {
  const environment = new FakeEnvironment(options);
  const store = new FakeStore();
  store.before = () => new Promise((resolve) => void environment.clock.after(10, resolve));
  const connect = (): Promise<FakeStore> => Promise.resolve(store);
  const code = clientCommand(["--cluster", "127.0.0.1:7001", "bench", ...args], { environment, connect });
  return { environment, store, code };
}

/** Moves the clock on until the command has ended. */
async function end({ environment, code }: Scene): Promise<number> {
  return await eventually("the command ends", async () => {
    environment.clock.advance(5);
    return await Promise.race([code, settle().then(() => null)]);
  });
}

function callsOf({ store }: Scene, name: string): readonly unknown[] {
  return store.calls.filter((call) => JSON.stringify(call).includes(`"name":"${name}"`));
}

Deno.test("bench: the JSON document has the documented fields, and their sums agree", async () => {
  const scene = begin([...SHORT, "--output", "json"]);
  assertEquals(await end(scene), 0);
  const { operations, throughput, latencyMs, byKind, generator, prefix, ...rest } = JSON.parse(
    scene.environment.stdout.text,
  );
  assertEquals(rest, {
    errors: {},
    unsent: 0,
    elapsedMs: 200,
    end: "duration",
    clients: 4,
    connections: 4,
    inFlight: 1,
    valueSize: 256,
    keyCount: 20,
    distribution: "uniform",
    mix: { put: 50, get: 50 },
    rate: null,
    warmupMs: 50,
    consistency: "linearizable",
    keys: "removed",
  });
  assertEquals([operations, throughput, latencyMs], [80, 400, {
    p50: 10,
    p90: 10,
    p99: 10,
    p999: 10,
    max: 10,
  }]);
  assertEquals(byKind.put.operations + byKind.get.operations, operations);
  assert(byKind.put.operations > 0 && byKind.get.operations > 0);
  assertEquals([generator.cpuShare, generator.isBound], [0, false]);
  assertMatch(prefix, /^bench\/[a-z0-9]{8}\/$/);
  assertEquals([scene.store.entries.size, scene.store.closed, scene.environment.clock.timerCount], [0, 5, 0]);
});

Deno.test("bench: the text has throughput, a table, a histogram, errors, and the state of the keys", async () => {
  const scene = begin(SHORT);
  assertEquals(await end(scene), 0);
  assertMatch(
    scene.environment.stdout.text,
    /^400\/s: 80 operations in 0\.2 s; 4 clients over 4 connections, put=50,get=50 \(linearizable\), values of 256 B/,
  );
  assertMatch(
    scene.environment.stdout.text,
    /\n {2}ms {3}op\/s {2}p50 {3}p90 {3}p99 {3}p99\.9 {2}max\n {2}put /,
  );
  assertMatch(scene.environment.stdout.text, /\n {2}8\.19 – 16\.4 ms {2}100\.0 % {2}█{40}\n/);
  assertMatch(scene.environment.stdout.text, /\nerrors: none\nIts keys were removed\.\n$/);
});

Deno.test("bench: keys are written before the first get; a mix of puts alone writes none before", async () => {
  const reads = begin([...SHORT, "--mix", "get=1", "--keep", "--consistency", "stale"]);
  assertEquals([await end(reads), callsOf(reads, "put").length, reads.store.entries.size], [0, 20, 20]);
  assertEquals(callsOf(reads, "get")[0], { name: "get", timeoutMs: 5_000, consistency: "stale" });
  assertMatch(reads.environment.stdout.text, /\nIts keys were kept; they begin with bench\//);
  const writes = begin([...SHORT, "--mix", "put=1", "--timeout-ms", "70"]);
  assertEquals([await end(writes), callsOf(writes, "get").length], [0, 0]);
  assertEquals(callsOf(writes, "put")[0], { name: "put", timeoutMs: 70 });
});

Deno.test("bench: failures are counted by code, and a run without any answer ends with 3", async () => {
  const scene = begin([...SHORT, "--mix", "put=1", "--output=json"]);
  let calls = 0;
  scene.store.before = async () => {
    await new Promise<void>((resolve) => void scene.environment.clock.after(10, resolve));
    if (calls++ > 1) throw new TimeoutError("too late", { outcome: "unknown" });
  };
  assertEquals(await end(scene), 3);
  const { operations, errors, latencyMs } = JSON.parse(scene.environment.stdout.text);
  assertEquals([operations, Object.keys(errors), latencyMs.max], [0, ["timeout"], 0]);
  assert(errors.timeout > 10);
});

Deno.test("bench: a busy generator is reported as the limit", async () => {
  const scene = begin(SHORT);
  const { clock } = scene.environment;
  const busy = (): void => {
    scene.environment.cpuTimeMs = clock.now();
    if (clock.now() < 400) clock.after(1, busy);
  };
  busy();
  await end(scene);
  assertMatch(scene.environment.stdout.text, /\nThis generator used \d\d+ % of a core: it may be the bound/);
});

Deno.test("bench: a progress line is shown on a terminal; Ctrl-C ends the run early with a report", async () => {
  const scene = begin(["--duration", "1h", "--warmup", "0ms", "--key-count", "20"], { terminal: true });
  await eventually("figures are shown", async () => {
    scene.environment.clock.advance(10);
    await settle();
    return /[1-9][ \d]*\/s, p50 10 ms, p99 10 ms, 0 errors; \d+ s to go, Ctrl-C/.test(
        scene.environment.stderr.text,
      )
      ? true
      : null;
  });
  scene.environment.signal();
  assertEquals([await end(scene), scene.environment.listensForSignals, scene.store.entries.size], [
    0,
    false,
    0,
  ]);
  assertMatch(
    scene.environment.stdout.text,
    / operations in \d\.\d s, ended by Ctrl-C; 64 clients over 8 connections/,
  );
});

Deno.test("bench: an unreachable cluster ends with 3 before anything is written", async () => {
  const environment = new FakeEnvironment();
  const connect = (): Promise<FakeStore> => Promise.reject(new ConnectionError("nothing listens there"));
  assertEquals(await clientCommand(["--cluster", "127.0.0.1:7001", "bench"], { environment, connect }), 3);
});

Deno.test("bench: wrong options are refused with 2 before anything is written", async () => {
  const table: readonly (readonly [readonly string[], RegExp])[] = [
    [["--duration", "10"], /--duration must be a time from 1ms to 1h/],
    [["--warmup", "2h"], /--warmup must be a time from 0ms to 1h/],
    [["--clients", "0"], /--clients must be an integer from 1 to 10000/],
    [["--in-flight", "1025"], /--in-flight must be an integer from 1 to 1024/],
    [["--clients", "4", "--connections", "5"], /--connections must be at most --clients, which is 4/],
    [
      ["--clients", "64", "--in-flight", "64", "--connections", "3"],
      /--connections must be at least 4 for 64 clients/,
    ],
    [["--mix", "put=1,list=2"], /"list" is not one of put, get/],
    [["--mix", "put=0"], /all weights in "put=0" are 0/],
    [["--value-size", "1048577"], /--value-size must be an integer from 0 to 1048576/],
    [["--distribution", "normal"], /--distribution must be uniform or zipf/],
    [["--rate", "0"], /--rate must be an integer from 1/],
    [["--consistency", "weak"], /--consistency must be linearizable or stale/],
    [["--prefix", "used/"], /there are keys already, used\/key for one/],
    [["--prefix", "\udcff"], /--prefix must be UTF-8/],
  ];
  for (const [args, says] of table) {
    const [environment, store] = [new FakeEnvironment(), new FakeStore()];
    await store.put("used/key", "value");
    store.calls.length = 0;
    const connect = (): Promise<FakeStore> => Promise.resolve(store);
    const code = await clientCommand(["--cluster", "127.0.0.1:7001", "bench", ...args], {
      environment,
      connect,
    });
    assertEquals(code, 2, args.join(" "));
    assertMatch(environment.stderr.text, says);
    assert(!store.calls.some((call) => JSON.stringify(call).includes("put")), args.join(" "));
  }
});
