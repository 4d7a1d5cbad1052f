/** The generator with a store that answers when the test's clock reaches the time of each answer. */
import { assert, assertEquals } from "@std/assert";
import {
  Generator,
  GeneratorCostRecorder,
  isGeneratorBound,
  type Load,
  loadKeys,
  type Target,
} from "../../../lib/loadgen/mod.ts";
import { seededRandom } from "../../../lib/loadgen/mod.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";

const LOAD: Load = {
  clients: 2,
  inFlight: 1,
  mix: { put: 1, get: 1 },
  valueBytes: 8,
  keyCount: 10,
  distribution: "uniform",
  ratePerSecond: null,
  warmupMs: 0,
  durationMs: 100,
};

/** Answers after `tookMs`, and counts the requests. */
class SlowTarget implements Target {
  calls = 0;
  underWay = 0;
  mostUnderWay = 0;
  readonly keys = new Set<string>();
  tookMs = 10;
  fails: (call: number) => boolean = () => false;

  constructor(readonly clock: ManualClock) {}

  put(key: string): Promise<void> {
    this.keys.add(key);
    return this.#answer();
  }

  get(_key: string): Promise<void> {
    return this.#answer();
  }

  async #answer(): Promise<void> {
    const call = this.calls++;
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    await new Promise<void>((resolve) => void this.clock.after(this.tookMs, resolve));
    this.underWay -= 1;
    if (this.fails(call)) throw new Error("refused");
  }
}

interface Scene {
  readonly clock: ManualClock;
  readonly target: SlowTarget;
  readonly generator: Generator;
}

function begin(load: Partial<Load>, prepare: (target: SlowTarget) => void = () => {}): Scene {
  const clock = new ManualClock();
  const target = new SlowTarget(clock);
  prepare(target);
  const generator = Generator.start({
    load: { ...LOAD, ...load },
    targets: [target],
    prefix: "p/",
    clock,
    random: seededRandom(1),
    codeOf: (error) => error instanceof Error ? error.message : "?",
  });
  return { clock, target, generator };
}

/** Advances the clock millisecond by millisecond. */
async function pass(clock: ManualClock, durationMs: number): Promise<void> {
  for (let ms = 0; ms < durationMs; ms++) {
    clock.advance(1);
    await settle();
  }
}

Deno.test("Generator: a closed loop keeps every slot busy and no more, and counts every answer once", async () => {
  const { clock, target, generator } = begin({ clients: 3, inFlight: 2 });
  await pass(clock, 110);
  const { latency, errors, elapsedMs, unsent } = await generator.finished;
  assertEquals([target.mostUnderWay, target.underWay, clock.timerCount], [6, 0, 0]);
  assertEquals([latency.put.count + latency.get.count, target.calls], [60, 60]);
  assertEquals([latency.put.maxMs, latency.get.minMs, elapsedMs], [10, 10, 100]);
  assertEquals([errors.size, unsent], [0, 0]);
});

Deno.test("Generator: requests due in the warm-up are not counted, those sent before the end are, however late they end", async () => {
  const { clock, target, generator } = begin({ clients: 1, warmupMs: 35 }, (slow) => slow.tookMs = 30);
  await pass(clock, 200);
  const { latency, elapsedMs } = await generator.finished;
  // Sent at 0, 30, 60, 90, 120: the warm-up has two of them, and the last ends at 150, 15 after the end.
  assertEquals([target.calls, latency.put.count + latency.get.count, elapsedMs], [5, 3, 115]);
});

Deno.test("Generator: in an open loop a latency counts from when the request was due, so a stall shows in the figures", async () => {
  const { clock, target, generator } = begin(
    { clients: 1, ratePerSecond: 100, mix: { put: 1, get: 0 } },
    (slow) => {
      slow.tookMs = 1;
    },
  );
  await pass(clock, 35);
  target.tookMs = 40;
  await pass(clock, 6);
  target.tookMs = 1;
  await pass(clock, 100);
  const { latency: { put }, unsent } = await generator.finished;
  // Due at 0, 10, … 90. That of 40 is in flight until 80; those of 50, 60, 70 waited behind it.
  assertEquals([put.count, unsent, put.maxMs], [10, 0, 40]);
  const percentiles = [0.5, 0.6, 0.7, 0.8, 0.9].map((share) => Math.round(put.percentileMs(share)));
  assertEquals(percentiles, [1, 4, 13, 22, 31]);
});

Deno.test("Generator: a rate beyond the capacity of the slots shows as requests that were never sent", async () => {
  const { clock, target, generator } = begin({ clients: 1, ratePerSecond: 1_000 });
  await pass(clock, 120);
  const { latency, unsent } = await generator.finished;
  assertEquals([target.calls, latency.put.count + latency.get.count, unsent], [10, 10, 90]);
});

Deno.test("Generator: failures are counted by code, not as latencies, and are followed by a pause", async () => {
  const { clock, target, generator } = begin({ clients: 1 }, (slow) => slow.fails = (call) => call % 2 === 0);
  await pass(clock, 130);
  const { latency, errors } = await generator.finished;
  const answered = latency.put.count + latency.get.count;
  // A failure takes 10 ms and pauses for 10, an answer takes 10: sent at 0, 20, 30, 50, 60, 80, 90.
  assertEquals([target.calls, [...errors], answered, generator.failures], [7, [["refused", 4]], 3, 4]);
  assertEquals(clock.timerCount, 0);
});

Deno.test("Generator: a stopped generator sends nothing more and waits for requests in flight", async () => {
  for (const ratePerSecond of [null, 10]) {
    const { clock, target, generator } = begin({ durationMs: 3_600_000, ratePerSecond });
    await pass(clock, 5);
    generator.stop();
    await pass(clock, 10);
    const { elapsedMs, latency } = await generator.finished;
    assertEquals([target.calls, target.underWay, clock.timerCount], [ratePerSecond === null ? 2 : 1, 0, 0]);
    assertEquals([latency.put.count + latency.get.count, elapsedMs], [target.calls, 10]);
  }
});

Deno.test("Generator: loading writes every key, once", async () => {
  const clock = new ManualClock();
  const targets = [new SlowTarget(clock), new SlowTarget(clock)];
  const loaded = loadKeys({ targets, prefix: "p/", load: { ...LOAD, keyCount: 1_000 } });
  await pass(clock, 60);
  await loaded;
  const [one, other] = targets;
  assertEquals((one?.calls ?? 0) + (other?.calls ?? 0), 1_000);
  assertEquals(new Set([...one?.keys ?? [], ...other?.keys ?? []]).size, 1_000);
});

Deno.test("GeneratorCostRecorder: distinguishes a busy generator from an idle one, and measures late timers", () => {
  const clock = new ManualClock();
  let cpuMs = 500;
  const recorder = new GeneratorCostRecorder({ clock, cpuMs: () => cpuMs });
  clock.advance(100);
  clock.sleep(50);
  cpuMs += 147;
  const cost = recorder.stop();
  assertEquals([cost.cpuShare, cost.lagMaxMs, clock.timerCount], [0.98, 30, 0]);
  assert(isGeneratorBound(cost) && !isGeneratorBound({ ...cost, cpuShare: 0.7 }));
});
