/**
 * An open-loop load generator in a process of its own: puts at a fixed rate, independent of the store's answers, each
 * sent when it is due over the next connection below its limit. A put that is due while all connections are at their
 * limit is not sent, as a client library would hold it back. Usage: open_loop_main.ts <assignment as JSON>; prints an
 * {@link OpenLoopAnswer} as JSON.
 */
import process from "node:process";
import { type HistogramDocument, keyOfNumber, LatencyHistogram } from "../../../lib/loadgen/mod.ts";
import { pause } from "../../../lib/platform/promise.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { DirectTarget } from "../peers/direct_client.ts";

/** Most requests in flight on one connection, as in the client library. */
const MAX_IN_FLIGHT = 1_024;
/** Interval of the check for due requests. */
const TICK_MS = 1;
/** Share of the time, at the beginning, that is not counted: accepted requests are no measure of the rate then. */
const WARMUP_SHARE = 0.2;

/** The load. */
export interface OpenLoop {
  readonly address: string;
  readonly connections: number;
  readonly ratePerSecond: number;
  readonly seconds: number;
  readonly valueBytes: number;
  readonly keyCount: number;
}

/** The results. */
export interface OpenLoopAnswer {
  readonly due: number;
  readonly accepted: number;
  /** Measured from the time at which they were due. */
  readonly latency: HistogramDocument;
  /** Requests that failed, by error code. */
  readonly refused: Readonly<Record<string, number>>;
  /** Requests that were due and not sent. */
  readonly keptBack: number;
  /** Accepted requests a second, from the end of the warm-up until the last request is due. */
  readonly acceptedPerSecond: number;
  readonly elapsedMs: number;
  /** Of a core. */
  readonly cpuShare: number;
}

interface Slot {
  readonly target: DirectTarget;
  inFlight: number;
}

async function run(loop: OpenLoop): Promise<OpenLoopAnswer> {
  const { address, connections, ratePerSecond, seconds, valueBytes, keyCount } = loop;
  const slots: Slot[] = [];
  while (slots.length < connections) {
    slots.push({ target: await DirectTarget.connect(address, "linearizable"), inFlight: 0 });
  }
  const value = new Uint8Array(valueBytes).map((_, position) => position * 167);
  const latency = new LatencyHistogram();
  const refused: Record<string, number> = {};
  const underWay = new Set<Promise<void>>();
  const clock = new SystemClock();
  const { signal } = new AbortController();
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const endAt = startedAt + seconds * 1_000;
  const countFrom = startedAt + seconds * 1_000 * WARMUP_SHARE;
  let [due, keptBack, acceptedInTime, turn] = [0, 0, 0, 0];
  const send = async (slot: Slot, dueAt: number): Promise<void> => {
    slot.inFlight += 1;
    try {
      await slot.target.put(keyOfNumber("bench/", Math.floor(Math.random() * keyCount)), value);
      const now = performance.now();
      latency.record(now - dueAt);
      if (now >= countFrom && now < endAt) acceptedInTime += 1;
    } catch (error) {
      const code = error instanceof Error ? error.message : String(error);
      refused[code] = (refused[code] ?? 0) + 1;
    }
    slot.inFlight -= 1;
  };
  for (let now = startedAt; now < endAt; now = performance.now()) {
    const until = dueBy(now - startedAt, ratePerSecond);
    for (; due < until; due++) {
      const free = slots.findIndex((_, offset) =>
        (slots[(turn + offset) % slots.length]?.inFlight ?? 0) < MAX_IN_FLIGHT
      );
      const slot = slots[(turn + free) % slots.length];
      if (free === -1 || slot === undefined) {
        keptBack += 1;
        continue;
      }
      turn = (turn + free + 1) % slots.length;
      const sending: Promise<void> = send(slot, startedAt + due / ratePerSecond * 1_000)
        .finally(() => underWay.delete(sending));
      underWay.add(sending);
    }
    await pause(TICK_MS, { clock, signal });
  }
  const elapsedMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpuBefore);
  await Promise.all(underWay);
  for (const { target } of slots) target.close();
  return {
    due,
    accepted: latency.count,
    latency: latency.toJSON(),
    refused,
    keptBack,
    acceptedPerSecond: acceptedInTime / (endAt - countFrom) * 1_000,
    elapsedMs,
    cpuShare: (user + system) / 1_000 / elapsedMs,
  };
}

if (import.meta.main) {
  const answer = await run(JSON.parse(Deno.args[0] ?? ""));
  await new Blob([JSON.stringify(answer)]).stream().pipeTo(Deno.stdout.writable);
  Deno.exit(0);
}

/** Returns how many requests are due so long after the beginning; the first is due at once. */
export function dueBy(elapsedMs: number, ratePerSecond: number): number {
  return Math.floor(elapsedMs / 1_000 * ratePerSecond) + 1;
}
