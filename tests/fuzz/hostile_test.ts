/**
 * Well-formed frames with hostile fields, of every kind, against nodes that serve another client.
 *
 * `deno task fuzz -- --target=hostile_frames --seconds=600` goes on with simulated nodes for so long, from a seed of
 * its own (`--seed=S` to take another's).
 */
import { assert, assertEquals } from "@std/assert";
import { MessagePackReader } from "../../lib/net/message_pack_reader.ts";
import { MAX_FRAME_BYTES } from "../../lib/net/limits.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { ALL_KINDS, hostilePayload, type Knowledge } from "./hostile/frames.ts";
import { runSimulated, SCENARIOS } from "./hostile/simulated.ts";

const PAYLOADS_OF_A_KIND = 40;
/** One run of each scenario: a few seconds. */
const SHORT_SEEDS = SCENARIOS.map((_, position) => position + 1);

function knowledgeOf(random: SeededRandom): Knowledge {
  return {
    random,
    claims: random.pick(["none", "term", "leadership"]),
    clusterId: "0011223344556677",
    members: [1, 2, 3],
    self: 3,
    address: "n3:7003",
    to: 1,
    term: 7,
    lastIndex: 100,
  };
}

function option(name: string): string | null {
  return Deno.args.find((argument) => argument.startsWith(`--${name}=`))?.split("=")[1] ?? null;
}

const seconds = option("seconds");
const target = option("target");

for (const kind of ALL_KINDS) {
  Deno.test(`hostile frames of kind ${kind} are well formed, and the same seed makes the same`, () => {
    for (let seed = 0; seed < PAYLOADS_OF_A_KIND; seed++) {
      const payload = hostilePayload(kind, knowledgeOf(new SeededRandom(seed)));
      if (seed < 10) assertEquals(hostilePayload(kind, knowledgeOf(new SeededRandom(seed))), payload);
      if (payload.length > MAX_FRAME_BYTES) continue;
      new MessagePackReader(payload, { what: "a hostile frame", copies: false }).checkShape();
    }
  });
}

Deno.test("the same seed sends the same hostile frames and ends the same", async () => {
  const [seed = 0] = SHORT_SEEDS;
  assertEquals(await runSimulated(seed), await runSimulated(seed));
});

Deno.test("hostile_frames: no frame ends a simulated node, moves a term or makes another client wait", async () => {
  if (target !== null && target !== "hostile_frames") return;
  if (seconds === null) {
    for (const seed of SHORT_SEEDS) assertEquals((await runSimulated(seed)).problems, [], `seed ${seed}`);
    return;
  }
  const begin = performance.now();
  const share = target === null ? 0.1 : 1;
  const first = Number(option("seed") ?? Math.floor(Math.random() * 2 ** 31));
  const sums = { runs: 0, frames: 0, longestWaitMs: 0 };
  for (let seed = first; performance.now() - begin < Number(seconds) * 1_000 * share; seed++) {
    const { problems, frames, longestWaitMs } = await runSimulated(seed);
    assertEquals(problems, [], `replay: deno run -A … tests/fuzz/hostile/main.ts ${seed} --trace`);
    sums.runs += 1;
    sums.frames += [...frames.values()].reduce((sum, count) => sum + count, 0);
    if (SCENARIOS[seed % SCENARIOS.length]?.claims === "none") {
      sums.longestWaitMs = Math.max(sums.longestWaitMs, longestWaitMs);
    }
  }
  assert(sums.frames > 0, "something was tried");
  // deno-lint-ignore no-console -- a long run says what it did and how to do it again
  console.log(`hostile_frames: ${JSON.stringify(sums)} with --seed=${first}`);
});
