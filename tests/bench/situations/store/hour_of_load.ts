/** An hour of mixed load on 200,000 keys: memory in use, and whether it grows. */
import { atMost, type Figure, reported } from "../figures.ts";
import type { Situation } from "../lab.ts";

const KEYS = 200_000;
const QUICK_KEYS = 20_000;
const VALUE_BYTES = 512;
const MINUTES = 60;
const QUICK_SECONDS_OF_MINUTE = 0.2;
/** Minutes at whose end the memory is read first; until then caches are filled and functions compiled. */
const SETTLED_MINUTES = 10;
const REQUESTS_PER_SECOND = 1_500;
const MIX = { put: 3, get: 2 };
const GOAL_MB = 260;
const GOAL_GROWTH_PERCENT = 3;

/** The situation. */
export const hourOfLoad: Situation = {
  name: "an hour of load",
  about:
    `${
      KEYS / 1_000
    },000 keys of 16 bytes with values of ${VALUE_BYTES} bytes, and the requests of an hour at 1,500 a second, ` +
    "60 % of them puts, to random keys from 64 clients. By default they are made faster (--speed-up 10: in six minutes); " +
    "--speed-up 1 takes the hour. Memory is the mean of three minutes of that hour, growth is from minutes 8 to 10 to minutes 58 to 60.",
  rounds: 1,
  async measure(lab): Promise<readonly Figure[]> {
    await using nodes = await lab.startNodes({ isWarm: false });
    const leader = await nodes.waitForLeader();
    const order = [leader, ...nodes.ids.filter((id) => id !== leader)];
    const work = { keyCount: lab.count(KEYS, QUICK_KEYS), valueBytes: VALUE_BYTES };
    await lab.load(nodes, { ...work, seconds: 1, loadsKeys: true });
    const secondsOfMinute = lab.isQuick ? QUICK_SECONDS_OF_MINUTE : 60 / lab.speedUp;
    const ratePerSecond = REQUESTS_PER_SECOND * lab.speedUp;
    const seconds = MINUTES * secondsOfMinute;
    const loading = lab.load(nodes, { ...work, seconds, mix: MIX, inFlight: 16, ratePerSecond, warmupMs: 0 });
    const minutes: number[][] = [];
    for (let minute = 0; minute < MINUTES; minute++) {
      await lab.rest(secondsOfMinute);
      minutes.push(order.map((id) => nodes.residentBytes(id) / 1e6));
      if (minute % 10 === 9) {
        lab.say(`  minute ${minute + 1}: ${minutes.at(-1)?.map((size) => size.toFixed(0)).join(", ")} MB`);
      }
    }
    const { operations, throughput } = await loading;
    const figures: Figure[] = [
      reported("requests answered, of those that fell due", operations / (ratePerSecond * seconds), "×"),
      reported("requests answered", throughput, "a second"),
    ];
    for (const [node] of order.entries()) {
      const role = node === 0 ? "leader" : "follower";
      const mean = (from: number, to: number): number => {
        const sizes = minutes.slice(from, to).map((one) => one[node] ?? NaN);
        return sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
      };
      const [early, late] = [mean(SETTLED_MINUTES - 3, SETTLED_MINUTES), mean(MINUTES - 3, MINUTES)];
      figures.push(
        atMost(GOAL_MB, `${role}, minute 60`, late, "MB"),
        atMost(GOAL_GROWTH_PERCENT, `${role}, growth from minute 10`, (late / early - 1) * 100, "%"),
      );
    }
    return figures;
  },
};
