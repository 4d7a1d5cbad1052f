/** Runs a program on a server and returns a text for the outcome of each step, and one for each stream. */
import { assertNever } from "../../../lib/platform/assert.ts";
import type { Body, Driver, DriverStep, Outcome } from "../../support/etcd/driver.ts";
import { Normal } from "./normal.ts";
import { base64, type Program, type Step } from "./step.ts";
import { watchedText } from "./watched.ts";

const LEASES = 4;
/** A create_request that is refused at once: its answer shows that all before it were handled. */
const BARRIER: Body = { create_request: { key: base64("z"), range_end: base64("a"), start_revision: "1" } };
const CREATED = `"created":true`;

/** Options of a run. */
export interface RunnerOptions {
  readonly seed: number;
  /** So long nothing comes on a stream before a program takes it for complete. */
  readonly idleMs: number;
}

/** Returns the outcomes, in the order of the steps, then those of the streams; removes what the program wrote. */
export async function outcomesOf(
  driver: Driver,
  program: Program,
  { seed, idleMs }: RunnerOptions,
): Promise<readonly string[]> {
  const leases = Array.from({ length: LEASES }, (_, at) => `${seed * LEASES + at + 1}`);
  const { bodies } = await driver.call("etcdserverpb.KV/Range", { key: base64("none") });
  const { header }: { header?: { revision?: string } } = bodies[0] ?? {};
  const run = new ProgramRun(driver, { leases, idleMs, base: BigInt(header?.revision ?? 0) });
  const texts: string[] = [];
  for (const step of program) texts.push(await run.outcome(step));
  texts.push(...await run.end());
  for (const ID of run.leases) await driver.call("etcdserverpb.Lease/LeaseRevoke", { ID });
  const prefix = `p${seed}`;
  await driver.call("etcdserverpb.KV/DeleteRange", {
    key: base64(`${prefix}/`),
    range_end: base64(`${prefix}0`),
  });
  return texts;
}

class ProgramRun {
  readonly #driver: Driver;
  readonly #normal: Normal;
  readonly #leases: readonly string[];
  readonly #idleMs: number;
  readonly #streams = new Map<string, Outcome[]>();

  constructor(
    driver: Driver,
    { leases, idleMs, base }: {
      readonly leases: readonly string[];
      readonly idleMs: number;
      readonly base: bigint;
    },
  ) {
    this.#driver = driver;
    this.#leases = leases;
    this.#idleMs = idleMs;
    this.#normal = new Normal(base, leases);
  }

  get leases(): readonly string[] {
    return this.#normal.leases;
  }

  async outcome(step: Step): Promise<string> {
    switch (step.kind) {
      case "call": {
        const outcome = await this.#driver.perform({ ...step, body: this.#resolved(step.body) });
        return this.#normal.text(step.call, outcome);
      }
      case "raw":
        return this.#normal.text(step.call, await this.#driver.perform(step));
      case "open":
        this.#streams.set(step.stream, []);
        return statusText(await this.#driver.perform({ open: step.stream, call: step.call }));
      case "watch":
        await this.#send(step.stream, { create_request: step.create });
        // Events of the past come when they are read, before or after a cancellation.
        if ("start_revision" in step.create) await this.#await({ await: step.stream, idleMs: this.#idleMs });
        return "";
      case "request":
        await this.#send(step.stream, step.body);
        await this.#send(step.stream, BARRIER);
        return "";
      case "settle":
        await this.#settle();
        return "";
      case "keepAlive":
        return await this.#keepAlive(step.ids);
      default:
        return assertNever(step);
    }
  }

  /** Closes the streams and returns the text of each. */
  async end(): Promise<readonly string[]> {
    await this.#settle();
    for (const stream of this.#streams.keys()) await this.#driver.perform({ close: stream });
    return [...this.#streams.values()].map((outcomes) => watchedText(outcomes, this.#normal));
  }

  /** Sends a message; waits until a create_request is answered. */
  async #send(stream: string, body: Body): Promise<void> {
    // A shortened program may lack what opens it.
    if (!this.#streams.has(stream)) return;
    await this.#driver.perform({ send: stream, body: this.#resolved(body) });
    if ("create_request" in body) await this.#await({ await: stream, until: CREATED });
  }

  async #settle(): Promise<void> {
    for (const stream of this.#streams.keys()) await this.#await({ await: stream, idleMs: this.#idleMs });
  }

  async #await(step: DriverStep & { readonly await: string }): Promise<void> {
    const outcomes = this.#streams.get(step.await);
    // What has ended stays so, and its end is recorded once.
    if (outcomes === undefined || outcomes.some(({ hasEnded }) => hasEnded)) return;
    outcomes.push(await this.#driver.perform(step));
  }

  async #keepAlive(ids: readonly string[]): Promise<string> {
    const call = "etcdserverpb.Lease/LeaseKeepAlive";
    const stream = "keepAlive";
    await this.#driver.perform({ open: stream, call });
    const texts: string[] = [];
    for (const ID of ids) {
      await this.#driver.perform({ send: stream, body: this.#resolved({ ID }) });
      texts.push(this.#normal.text(call, await this.#driver.perform({ await: stream, until: `"header"` })));
    }
    await this.#driver.perform({ close: stream });
    return texts.join(" | ");
  }

  #resolved(body: Body): Body {
    return JSON.parse(JSON.stringify(body, (_, value) => this.#resolvedText(value)));
  }

  #resolvedText(value: unknown): unknown {
    if (typeof value !== "string") return value;
    const [, delta] = /^@([+-]\d+)$/.exec(value) ?? [];
    if (delta !== undefined) return `${this.#normal.current + BigInt(delta)}`;
    const [, lease] = /^&(\d+)$/.exec(value) ?? [];
    return lease === undefined ? value : this.#leases[Number(lease)];
  }
}

function statusText({ code, message }: Outcome): string {
  return code === 0 ? "" : `${code} ${message}`;
}
