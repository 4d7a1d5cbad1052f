/** Listings of many keys by etcd's Go client: kvraft's etcd front end beside etcd, three nodes each. */
import { assert } from "@std/assert";
import { atLeast, type Figure, neverMore, reported } from "../figures.ts";
import type { Lab, Situation } from "../lab.ts";
import { client, type Sides, withSides } from "./sides.ts";

const LISTED_KEYS = 1_000_000;
const LISTED_KEYS_QUICK = 50_000;
const VALUE_BYTES = 256;
const PAGE_KEYS = 1_000;
/** etcd counts all keys of the range for each page, which takes a minute or more for a million. */
const PAGE_TURNS = 1;
const STREAM_TURNS = 3;
const GOAL = 1;
const GOAL_WAIT_MS = 25;

/** The situation. */
export const etcdList: Situation = {
  name: "etcd-list",
  about:
    `etcd's Go client lists ${LISTED_KEYS} keys with values of ${VALUE_BYTES} bytes, by pages of ${PAGE_KEYS} and by ` +
    "RangeStream, on kvraft's etcd front end and on etcd, while another client reads one key. The keys are written once, in " +
    "transactions. The client shares the cores with the nodes.",
  rounds: 1,
  measure: (lab) => withSides(lab, (sides) => listings(lab, sides)),
};

type Listed = Readonly<
  Record<
    "pagesPerSecond" | "streamPerSecond" | "pagesLongestWaitMs" | "streamLongestWaitMs",
    readonly number[]
  >
>;

async function listings(lab: Lab, sides: Sides): Promise<readonly Figure[]> {
  const keys = lab.count(LISTED_KEYS, LISTED_KEYS_QUICK);
  const answers = new Map<string, Listed>();
  for (const side of sides) {
    const list = {
      addresses: side.addresses,
      keys,
      valueBytes: VALUE_BYTES,
      pageKeys: PAGE_KEYS,
      pageTurns: PAGE_TURNS,
      streamTurns: lab.count(STREAM_TURNS, 1),
    };
    answers.set(side.name, await client(lab, { list }));
  }
  const [own, theirs] = [answers.get("kvraft"), answers.get("etcd")];
  assert(own !== undefined && theirs !== undefined, "both are measured");
  const figures: Figure[] = [];
  for (const [how, text] of [["pages", "by pages"], ["stream", "by RangeStream"]] as const) {
    const [ours, others] = [own[`${how}PerSecond`], theirs[`${how}PerSecond`]];
    for (const [turn, value] of ours.entries()) {
      const other = others[turn] ?? NaN;
      figures.push(
        reported(`${keys} keys ${text}, kvraft`, value, "keys/s"),
        reported(`${keys} keys ${text}, etcd`, other, "keys/s"),
        atLeast(GOAL, `${keys} keys ${text}, of etcd's`, value / other, "×"),
        neverMore(
          GOAL_WAIT_MS,
          `longest read meanwhile, ${text}, kvraft`,
          own[`${how}LongestWaitMs`][turn] ?? NaN,
          "ms",
        ),
        reported(`longest read meanwhile, ${text}, etcd`, theirs[`${how}LongestWaitMs`][turn] ?? NaN, "ms"),
      );
    }
  }
  return figures;
}
