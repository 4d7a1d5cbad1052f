/** Memory of a million keys, beside etcd and Redis. */
import { join } from "@std/path";
import { CHECKOUT } from "../../../support/checkout.ts";
import { type Peer, PEERS } from "../../peers/peers.ts";
import { atMost, type Figure, reported } from "../figures.ts";
import { Redis } from "./redis.ts";
import type { Lab, LoadedNodes, Situation } from "../lab.ts";

const KEYS = 1_000_000;
const QUICK_KEYS = 50_000;
const VALUE_BYTES = 256;
/** The puts of an hour at 1,500 requests a second of which 60 % are puts, and the parts in which they are made. */
const PUTS_PER_SECOND = 900;
const PUTS_OF_AN_HOUR = PUTS_PER_SECOND * 3_600;
const PARTS = 12;
const PART_SECONDS = 3_600 / PARTS;
const QUICK_PART_SECONDS = 1;
/** A part ends when this share of its puts is done. */
const DONE_SHARE = 0.98;
/** Puts of each of 64 clients that may be in flight. */
const IN_FLIGHT = 16;
/** Garbage is collected and pages are given back when a store is idle. */
const SETTLE_SECONDS = 30;
const GOAL_OF_ETCD = 0.65;
const GOAL_OF_REDIS = 1.2;
const GOAL_HEAP_MB = 20;
const MB = 1e6;

/** The resident memory of each node in MB, the leader's first. */
interface Resident {
  readonly loaded: readonly number[];
  readonly overwritten: readonly number[];
}

/** The situation. */
export const memory: Situation = {
  name: "memory",
  about:
    `${
      KEYS / 1e6
    } million keys of 16 bytes with values of ${VALUE_BYTES} bytes are put to each store, and then ` +
    `${
      PUTS_OF_AN_HOUR / 1e6
    } million random ones are overwritten: the puts of an hour at ${PUTS_PER_SECOND} a second, by default ten times as fast ` +
    `(--speed-up). Resident memory is read ${SETTLE_SECONDS} s after each. etcd is compacted ${PARTS} times meanwhile, as Kubernetes does every five minutes; ` +
    "kvraft keeps its default history of 64 MiB; Redis is one process without a log. The heap of JavaScript is measured " +
    "after a garbage collection at the end, less that of the same node before the first key.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    const figures: Figure[] = [];
    const own = await measureKvraft(lab, figures);
    const etcd = await measureEtcd(lab);
    const redis = await measureRedis(lab);
    for (const moment of ["loaded", "overwritten"] as const) {
      const when = moment === "loaded" ? "after the load" : "after the overwrites";
      const rolesOf = (one: Resident): readonly (readonly [string, number])[] =>
        one[moment].map((size, node) => [node === 0 ? "leader" : "follower", size]);
      for (const [role, size] of rolesOf(own)) figures.push(reported(`${role}, ${when}`, size, "MB"));
      const peers = [
        ...(etcd === null ? [] : rolesOf(etcd).map(([role, size]) => [`etcd: ${role}`, size] as const)),
        ...(redis === null ? [] : [["Redis", redis[moment][0] ?? NaN] as const]),
      ];
      for (const [what, size] of peers) figures.push(reported(`${what}, ${when}`, size, "MB"));
      for (const [node, [role, size]] of rolesOf(own).entries()) {
        const what = `${role} ${when}, against`;
        if (etcd !== null) {
          const other = etcd[moment][node] ?? NaN;
          figures.push(atMost(GOAL_OF_ETCD, `${what} etcd's ${role}`, size / other, "×"));
        }
        if (redis !== null) {
          figures.push(atMost(GOAL_OF_REDIS, `${what} Redis`, size / (redis[moment][0] ?? NaN), "×"));
        }
      }
    }
    return figures;
  },
};

async function measureKvraft(lab: Lab, figures: Figure[]): Promise<Resident> {
  await using nodes = await lab.startNodes({ inspects: true, isWarm: false });
  const leader = await nodes.waitForLeader();
  const order = [leader, ...nodes.ids.filter((id) => id !== leader)];
  const heapMb = async (): Promise<readonly number[]> =>
    await Promise.all(order.map(async (id) => (await nodes.memory(id)).usedBytes / MB));
  const empty = await heapMb();
  const resident = await loadAndOverwrite(lab, nodes, {
    name: "kvraft",
    read: () => order.map((id) => nodes.residentBytes(id)),
  });
  for (const [node, size] of (await heapMb()).entries()) {
    const added = size - (empty[node] ?? 0);
    figures.push(atMost(GOAL_HEAP_MB, "JavaScript heap in use beyond an empty node's", added, "MB"));
  }
  return resident;
}

/** Returns null when etcd is not installed. */
async function measureEtcd(lab: Lab): Promise<Resident | null> {
  const peer: Peer | undefined = PEERS.find(({ name }) => name === "etcd");
  if (peer === undefined || (await peer.availability()).kind === "missing") return null;
  const parent = join(CHECKOUT, ".cache", "bench");
  await using owner = new AsyncDisposableStack();
  const folder = Deno.makeTempDirSync({ dir: parent, prefix: "etcd-" });
  owner.defer(() => Deno.remove(folder, { recursive: true }));
  const running = owner.use(await lab.own(peer.start(folder)));
  const [leader = ""] = running.addresses;
  const call = async (path: string, body: unknown): Promise<{ header: { revision: string } }> => {
    const response = await fetch(`http://${leader}/v3/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
    });
    return await response.json();
  };
  let compactTo = "0";
  return await loadAndOverwrite(lab, { peer: "etcd", addresses: () => Promise.resolve(running.addresses) }, {
    name: "etcd",
    read: () => running.residentBytes(),
    afterPart: async () => {
      // Everything that was superseded before this part, as a program that compacts at intervals does.
      if (compactTo !== "0") await call("kv/compaction", { revision: compactTo });
      compactTo = (await call("maintenance/status", {})).header.revision;
    },
  });
}

/** Returns null when Redis is not installed. */
async function measureRedis(lab: Lab): Promise<Resident | null> {
  const redis = await Redis.start();
  if (redis === null) return null;
  await using server = await lab.own(redis);
  const keys = lab.count(KEYS, QUICK_KEYS);
  await server.putAll(keys, VALUE_BYTES);
  await lab.rest(lab.seconds(SETTLE_SECONDS));
  const loaded = [server.residentBytes() / MB];
  await server.overwrite({ count: lab.count(PUTS_OF_AN_HOUR, QUICK_KEYS), keys, valueBytes: VALUE_BYTES });
  await lab.rest(lab.seconds(SETTLE_SECONDS));
  return { loaded, overwritten: [server.residentBytes() / MB] };
}

async function loadAndOverwrite(
  lab: Lab,
  nodes: LoadedNodes,
  { name, read, afterPart = () => Promise.resolve() }: {
    readonly name: string;
    /** Returns the resident bytes of each node, the leader's first. */
    readonly read: () => readonly number[];
    readonly afterPart?: () => Promise<void>;
  },
): Promise<Resident> {
  const work = { keyCount: lab.count(KEYS, QUICK_KEYS), valueBytes: VALUE_BYTES };
  const residentMb = (): readonly number[] => read().map((bytes) => bytes / MB);
  const tell = (what: string): void =>
    lab.say(`  ${name} ${what}: ${residentMb().map((size) => size.toFixed(0)).join(", ")} MB`);
  tell("empty");
  await lab.load(nodes, { ...work, seconds: 1, loadsKeys: true });
  await lab.rest(lab.seconds(SETTLE_SECONDS));
  tell("loaded");
  const loaded = residentMb();
  for (let part = 0; part < PARTS; part++) {
    const { operations } = await overwrite(lab, nodes, work);
    await afterPart();
    tell(`overwrote ${operations}`);
  }
  await lab.rest(lab.seconds(SETTLE_SECONDS));
  tell("overwritten");
  return { loaded, overwritten: residentMb() };
}

/** Makes one part of the puts of an hour. */
async function overwrite(
  lab: Lab,
  nodes: LoadedNodes,
  work: { readonly keyCount: number; readonly valueBytes: number },
): Promise<{ readonly operations: number }> {
  const ratePerSecond = PUTS_PER_SECOND * lab.speedUp;
  const seconds = lab.isQuick ? QUICK_PART_SECONDS : PART_SECONDS / lab.speedUp;
  let operations = 0;
  // More than once if the store does not reach the rate.
  while (operations < ratePerSecond * seconds * DONE_SHARE) {
    const left = seconds - operations / ratePerSecond;
    const load = { ...work, ratePerSecond, inFlight: IN_FLIGHT, warmupMs: 0, seconds: left };
    operations += (await lab.load(nodes, load)).operations;
  }
  return { operations };
}
