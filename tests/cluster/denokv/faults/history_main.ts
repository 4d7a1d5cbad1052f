/**
 * Clients of a Deno KV database whose operations are recorded, until standard input ends; then it prints the history and
 * the sums as a line of JSON. The arguments are the URL of a node that never stops meanwhile, and those of the others.
 *
 * Through a node that dies a set may be made twice, since its client sends it again; through such nodes only commits are
 * made that a check keeps from this.
 */
// deno-lint-ignore-file no-console -- the output of this program
import type { Entry, Operation, Recorded } from "../../../../lib/lincheck/mod.ts";
import { pause } from "../../../../lib/platform/promise.ts";
import { SystemClock } from "../../../../lib/platform/system.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { answered } from "../../../unit/lincheck/support.ts";

/** The output of this program. */
export interface Recording {
  readonly history: readonly Operation[];
  /** Sums without a check that were acknowledged, and the value of their counter at the end. */
  readonly sums: number;
  readonly counter: number;
}

const PREFIX = "history";
const KEYS = ["a", "b", "c"];
const COUNTER = ["sums"];
const STEADY_CLIENTS = 2;
const SUMMERS = 2;
/** Deno's client waits longer before it sends a commit again: a check that fails earlier has failed the first time. */
const RESEND_MS = 200;
/** Keeps the number of operations within the time of a test in bounds. */
const PAUSE_MS = 15;
const MAX_OPERATIONS = 8_000;
const OPERATIONS_PER_LINE = 50;

/** A client of the history. */
interface Client {
  readonly kv: Deno.Kv;
  readonly number: number;
  /** Whether its node never stops. */
  readonly isSteady: boolean;
  readonly random: SeededRandom;
}

const history: Operation[] = [];
/** Aborted when standard input ends. */
const end = new AbortController();
const clock = new SystemClock();
let written = 0;

/** Returns the revision of a versionstamp: its first eight bytes. */
function revisionOf(versionstamp: string): number {
  return Number(BigInt(`0x${versionstamp.slice(0, 16)}`));
}

function entryOf({ value, versionstamp }: Deno.KvEntryMaybe<string>): Entry | null {
  if (value === null || versionstamp === null) return null;
  return { value, createRevision: null, modRevision: revisionOf(versionstamp), version: null };
}

/** Returns the result of a call of a client with its times. */
async function timed<T>(client: number, call: () => Promise<T>): Promise<[result: T, times: Recorded]> {
  const calledAt = performance.now();
  const result = await call();
  return [result, { client, calledAt, returnedAt: performance.now() }];
}

/** Performs and records one operation, or a read and the commit that depends on it. */
async function operate(client: Client): Promise<void> {
  const { kv, number, random } = client;
  const key = random.pick(KEYS);
  const dice = random.below(10);
  if (dice < 2) {
    const [all, times] = await timed(number, () => Array.fromAsync(kv.list<string>({ prefix: [PREFIX] })));
    const entries = all.flatMap((entry) => {
      const seen = entryOf(entry);
      return seen === null ? [] : [{ key: String(entry.key.at(-1)), ...seen }];
    });
    const range = { prefix: "", start: null, end: null, after: null, reverse: false };
    const outcome = answered({ entries, more: false, revision: null });
    history.push({ kind: "list", range, limit: KEYS.length + 1, outcome, ...times });
  } else if (dice < 4 && client.isSteady) {
    const value = `${number}.${written++}`;
    const [{ versionstamp }, times] = await timed(number, () => kv.set([PREFIX, key], value));
    history.push({
      kind: "put",
      key,
      value,
      outcome: answered({ revision: revisionOf(versionstamp) }),
      ...times,
    });
  } else {
    const [entry, times] = await timed(number, () => kv.get<string>([PREFIX, key]));
    history.push({ kind: "get", key, outcome: answered(entryOf(entry)), ...times });
    if (dice < 7) await commit(client, key, entry.versionstamp);
  }
}

/** Sets or deletes a key if it has not changed since it was read, and records this. */
async function commit(client: Client, key: string, versionstamp: string | null): Promise<void> {
  const { kv, number, random, isSteady } = client;
  const value = `${number}.${written++}`;
  const operation = kv.atomic().check({ key: [PREFIX, key], versionstamp });
  const isDelete = random.chance(0.2);
  if (isDelete) operation.delete([PREFIX, key]);
  else operation.set([PREFIX, key], value);
  const [result, times] = await timed(number, () => operation.commit());
  const isCertain = result.ok || isSteady || (times.returnedAt ?? 0) - times.calledAt < RESEND_MS;
  const revision = result.ok ? revisionOf(result.versionstamp) : null;
  history.push({
    kind: "transaction",
    checks: [
      versionstamp === null
        ? { kind: "exists", key, exists: false }
        : { kind: "modRevision", key, modRevision: revisionOf(versionstamp) },
    ],
    mutations: [isDelete ? { kind: "delete", key } : { kind: "put", key, value }],
    outcome: isCertain
      ? answered({ succeeded: result.ok, failedChecks: result.ok ? [] : [0], revision })
      : { kind: "unknown" },
    ...times,
  });
}

/** Pauses between two operations of a client. */
async function rest(): Promise<void> {
  await pause(PAUSE_MS, { clock, signal: end.signal });
}

/** Runs a client until standard input ends. */
async function run(client: Client): Promise<void> {
  while (!end.signal.aborted && history.length < MAX_OPERATIONS) {
    await operate(client);
    if (history.length % OPERATIONS_PER_LINE === 0) console.log(`recorded ${history.length}`);
    await rest();
  }
}

/** Adds to a counter without a check until standard input ends; returns how often that was acknowledged. */
async function sum(kv: Deno.Kv): Promise<number> {
  let sums = 0;
  for (; !end.signal.aborted; sums++) {
    await kv.atomic().sum(COUNTER, 1n).commit();
    await rest();
  }
  return sums;
}

async function untilInputEnds(): Promise<void> {
  for await (const _ of Deno.stdin.readable);
  end.abort();
}

if (import.meta.main) {
  const [steady = "", ...others] = Deno.args;
  const urls = [...Array.from({ length: STEADY_CLIENTS }, () => steady), ...others];
  const clients = await Promise.all(urls.map(async (url, number): Promise<Client> => (
    { kv: await Deno.openKv(url), number, isSteady: url === steady, random: new SeededRandom(number + 1) }
  )));
  const summers = await Promise.all(Array.from({ length: SUMMERS }, () => Deno.openKv(steady)));
  const [counts] = await Promise.all([
    Promise.all(summers.map(sum)),
    ...clients.map(run),
    untilInputEnds(),
  ]);
  const sums = counts.reduce((all, one) => all + one, 0);
  const kv = await Deno.openKv(steady);
  const counter = Number((await kv.get<Deno.KvU64>(COUNTER)).value?.value ?? 0n);
  const recording: Recording = { history, sums, counter };
  console.log(JSON.stringify(recording));
  Deno.exit(0);
}
