/** The side-by-side run: medians, ratios and goals, the page and the plot, and the clients for the compared stores. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import fc from "fast-check";
import { LatencyHistogram } from "../../../lib/loadgen/mod.ts";
import { EchoTarget } from "../../bench/peers/echo_client.ts";
import { EtcdTarget } from "../../bench/peers/etcd_client.ts";
import { AntietcdTarget } from "../../bench/peers/antietcd_client.ts";
import { goalStates, type Measurement, measurementOf, ratioOf, spreadOf } from "../../bench/measurements.ts";
import { page, type Results, summary } from "../../bench/page.ts";
import { plot } from "../../bench/plot.ts";
import { type PeerName, type Workload, WORKLOADS } from "../../bench/workloads.ts";
import { eventually } from "../../support/eventually.ts";
import { settle } from "../../support/fakes/manual_clock.ts";

function measured(
  peer: PeerName,
  { round = 1, throughput, p50Ms = 2, p99Ms = 5, workload = "put, 64 clients" }: {
    round?: number;
    throughput: number;
    p50Ms?: number;
    p99Ms?: number;
    workload?: string;
  },
): Measurement {
  const generator = { cpuShare: 0.5, lagP99Ms: 1, lagMaxMs: 2 };
  const times = { p50Ms, p90Ms: p50Ms, p99Ms, p999Ms: p99Ms, maxMs: p99Ms };
  return {
    round,
    workload,
    peer,
    operations: 1_000,
    throughput,
    ...times,
    errors: {},
    generator,
    residentBytes: [1e8],
    cpuMicroseconds: [20, 10, 10],
  };
}

const ROUNDS: readonly Measurement[] = [
  measured("kvraft", { round: 1, throughput: 30_000 }),
  measured("etcd", { round: 1, throughput: 5_000, p50Ms: 6 }),
  measured("kvraft", { round: 2, throughput: 10_000 }),
  measured("etcd", { round: 2, throughput: 2_000, p50Ms: 4 }),
  measured("kvraft", { round: 3, throughput: 35_000 }),
  measured("etcd", { round: 3, throughput: 5_000, p50Ms: 10 }),
];

function workloadNamed(name: string): Workload {
  const workload = WORKLOADS.find((one) => one.name === name);
  assert(workload !== undefined);
  return workload;
}

const RESULTS: Results = {
  date: "2026-01-01",
  command: "deno task bench",
  rounds: 3,
  seconds: 5,
  machine: { system: "linux", cpu: "a cpu", cores: 2, memoryBytes: 8e9, loadAverage: 0.1, syncMs: 0.2 },
  peers: [
    { name: "kvraft", what: "ours", version: "1" },
    { name: "etcd", what: "theirs", version: "2" },
  ],
  measurements: ROUNDS,
};

Deno.test("spreadOf: the median lies between the least and the greatest, with as many on either side", () => {
  assertEquals([spreadOf([]), spreadOf([3, 1])], [null, { median: 2, least: 1, greatest: 3 }]);
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 }), (values) => {
      const { median, least, greatest } = spreadOf(values) ?? { median: NaN, least: NaN, greatest: NaN };
      assertEquals([least, greatest], [Math.min(...values), Math.max(...values)]);
      const [below, above] = [values.filter((one) => one < median), values.filter((one) => one > median)];
      assert(below.length <= values.length / 2 && above.length <= values.length / 2);
    }),
  );
});

Deno.test("ratioOf, goalStates: a ratio is computed in each round, and a goal is reached by its median", () => {
  const throughput = (one: Measurement): number => one.throughput;
  const of = { workload: "put, 64 clients", against: "etcd", own: throughput, other: throughput } as const;
  assertEquals(ratioOf(ROUNDS, of), { median: 6, least: 5, greatest: 7 });
  const states = goalStates(workloadNamed("put, 64 clients"), { measurements: ROUNDS, syncMs: 1 });
  assertEquals(states.map(({ isReached }) => isReached), [true, null, null, true]);
  const slower = ROUNDS.map((one) => one.peer === "etcd" ? { ...one, throughput: 10_000, p50Ms: 4 } : one);
  const slowerStates = goalStates(workloadNamed("put, 64 clients"), { measurements: slower, syncMs: 1 });
  assertEquals(slowerStates.map(({ isReached }) => isReached), [false, null, null, false]);
  const alone = [measured("kvraft", { workload: "put, 1 client", throughput: 2_000, p50Ms: 0.5 })];
  const reached = [0.2, 0.1].map((syncMs) =>
    goalStates(workloadNamed("put, 1 client"), { measurements: alone, syncMs }).map(({ isReached }) =>
      isReached
    )
  );
  assertEquals(reached, [[null, true], [null, false]]);
});

Deno.test("measurementOf: the measurements of several generators are added up", () => {
  const answer = (
    times: readonly number[],
    cpuShare: number,
  ): Parameters<typeof measurementOf>[0][number] => {
    const put = new LatencyHistogram();
    for (const time of times) put.record(time);
    return {
      elapsedMs: 1_000,
      sent: 2 * times.length,
      latency: { put: put.toJSON(), get: new LatencyHistogram().toJSON() },
      errors: { busy: 1 },
      generator: { cpuShare, lagP99Ms: 1, lagMaxMs: 1 },
    };
  };
  const one = measurementOf([answer([1, 1, 1], 0.2), answer([8], 0.4)], {
    round: 1,
    workload: "w",
    peer: "echo",
    residentBytes: [],
    cpuMs: [4, 1],
  });
  assertEquals(one.cpuMicroseconds, [500, 125]);
  assertEquals([one.operations, one.throughput, one.maxMs, one.errors, one.generator.cpuShare], [
    4,
    4,
    8,
    { busy: 2 },
    0.4,
  ]);
});

Deno.test("page: it has a row for each workload and says which goals are reached", () => {
  const rows = [workloadNamed("put, 64 clients")];
  assertMatch(
    summary(RESULTS, rows),
    /\| put, 64 clients \| 30 000 +\| 2\.00 +\| 5\.00 +\| 6\.00 \(5\.00–7\.00\) \|/,
  );
  const text = page(RESULTS, rows);
  assertMatch(text, /\| put, 64 clients \| ≥ 5 × etcd +\| 6\.00 \(5\.00–7\.00\) +\| reached/);
  assertMatch(text, /\| ≥ 1\.5 × antietcd +\| – +\| not measured/);
  assertMatch(text, /a cpu, 2 cores, 8 GB memory, linux; one fdatasync takes 0\.200 ms/);
});

Deno.test("plot: it has a point for each store and number of clients, within its frame", () => {
  const points = ([1, 64, 1_000] as const).flatMap((count) => {
    const workload = `put, ${count} ${count === 1 ? "client" : "clients"}`;
    return [
      measured("kvraft", { workload, throughput: 900 * count, p50Ms: 0.3 }),
      measured("etcd", { workload, throughput: 90 * count, p50Ms: 20, p99Ms: 400 }),
    ];
  });
  const svg = plot(points, WORKLOADS);
  const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)];
  assertEquals(circles.length, 6);
  for (const [, x, y] of circles) {
    assert(Number(x) >= 70 && Number(x) <= 690 && Number(y) >= 50 && Number(y) <= 460);
  }
  assertMatch(plot([], WORKLOADS), /<\/svg>\n$/);
});

/** A server for one connection at a time, that answers each input with the result of `answer`. */
function listen(answer: (bytes: Uint8Array) => readonly Uint8Array[]): { address: string } & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async (): Promise<void> => {
    for await (const connection of listener) {
      const buffer = new Uint8Array(65_536);
      while (true) {
        const count = await connection.read(buffer).catch(() => null);
        if (count === null) break;
        for (const part of answer(buffer.slice(0, count))) await connection.write(part);
      }
      connection.close();
    }
  };
  const served = serve();
  return {
    address: `127.0.0.1:${listener.addr.port}`,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await served;
    },
  };
}

Deno.test("echo client: it reads answers in order, for any sizes of reads", async () => {
  await using server = listen((bytes) => [bytes.subarray(0, 3), bytes.subarray(3)]);
  const target = await EchoTarget.connect(server.address, 8);
  await Promise.all([target.put("a", new Uint8Array(5)), target.get("b"), target.put("c", new Uint8Array())]);
  target.close();
});

Deno.test("antietcd client: it reads answers of known length and in chunks, and distinguishes refusals", async () => {
  const answers = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{",
    "}\r\n0\r\n\r\nHTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\ntimeout",
  ];
  let requests = "";
  await using server = listen((bytes) => {
    requests += new TextDecoder().decode(bytes);
    return answers.splice(0).map((text) => new TextEncoder().encode(text));
  });
  const target = await AntietcdTarget.connect(server.address);
  const third = [target.put("k", new TextEncoder().encode("v")), target.get("k"), target.get("l")] as const;
  await Promise.all([third[0], third[1]]);
  await assertRejects(() => third[2], Error, "503 Service Unavailable: timeout");
  target.close();
  assertMatch(
    requests,
    /^POST \/v3\/kv\/put HTTP\/1\.1\r\n[^]*\r\n\r\n\{"key":"aw==","value":"dg=="\}POST \/v3\/kv\/range/,
  );
});

/** A frame of HTTP/2. */
function frame(type: number, flags: number, streamId: number, payload: readonly number[] = []): Uint8Array {
  return Uint8Array.of(0, 0, payload.length, type, flags, 0, 0, 0, streamId, ...payload);
}

Deno.test("etcd client: it reads answers in any order, and distinguishes success from refusal", async () => {
  let sent = "";
  await using server = listen((bytes) => {
    sent += new TextDecoder().decode(bytes);
    return [
      frame(4, 0, 0),
      frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]),
      frame(1, 4, 3),
      frame(0, 0, 3, [0, 0, 0, 0, 0]),
      frame(1, 5, 3),
      frame(1, 5, 1),
      frame(3, 0, 5, [0, 0, 0, 7]),
    ];
  });
  const target = await EtcdTarget.connect(server.address);
  const calls = [target.get("a"), target.put("b", new Uint8Array(10)), target.get("c")];
  const outcomes = (await Promise.allSettled(calls)).map((one) =>
    one.status === "fulfilled" ? "done" : String(one.reason)
  );
  target.close();
  assertEquals(outcomes, [
    "Error: etcd refused the request",
    "done",
    "Error: etcd gave the request up (error 7)",
  ]);
  assertMatch(sent, /^PRI \* HTTP\/2\.0\r\n\r\nSM\r\n\r\n[^]*etcdserverpb\.KV\/Put/);
});

Deno.test("etcd client: it sends no more than the windows allow, and the rest when they are widened", async () => {
  const [windowBytes, valueBytes, widening] = [65_535, 100_000, [0, 1, 0, 0]];
  let [received, isWidened] = [0, false];
  await using server = listen((bytes) => {
    received += bytes.length;
    if (isWidened) return received < valueBytes ? [] : [frame(0, 0, 1, [0, 0, 0, 0, 0]), frame(1, 5, 1)];
    // The second request, small, is only there to be answered with wider windows.
    if (!new TextDecoder().decode(bytes).includes("KV/Range")) return [];
    isWidened = true;
    return [frame(8, 0, 0, widening), frame(8, 0, 1, widening)];
  });
  const target = await EtcdTarget.connect(server.address);
  const large = target.put("a", new Uint8Array(valueBytes));
  await eventually("the window is full", () => received >= windowBytes ? true : null);
  await settle();
  assert(received < windowBytes + 1_000, `${received} bytes came`);
  const small = target.get("b").catch(() => {});
  await large;
  target.close();
  await small;
});
