/**
 * Well-formed frames with hostile fields, of every kind, against nodes that serve another client.
 *
 * `deno task fuzz:hostile` does the same for a given time: see hostile/main.ts.
 */
import { assert, assertEquals } from "@std/assert";
import { MessagePackReader } from "../../lib/protocol/msgpack_reader.ts";
import { PEER_KEY_ID_BYTES } from "../../lib/protocol/hello.ts";
import { MAX_FRAME_BYTES } from "../../lib/protocol/limits.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { ALL_KINDS, hostilePayload, type Knowledge } from "./hostile/frames.ts";
import { attackEtcd } from "./etcd/processes.ts";
import { runAgainstProcesses } from "./hostile/processes.ts";
import { runSimulated, scenarioOf, SCENARIOS } from "./hostile/simulated.ts";

const PAYLOADS_OF_A_KIND = 40;
/** Duration of a short run against real nodes. */
const SHORT_SECONDS = 4;
/** Duration of a short run against simulated nodes. */
const SHORT = { hostileMs: 500 };
/** One run of each scenario. */
const SHORT_SEEDS = SCENARIOS.map((_, position) => position + 1);

function knowledgeOf(random: SeededRandom): Knowledge {
  return {
    random,
    claims: random.pick(["none", "term", "leadership"]),
    clusterId: "0011223344556677",
    peerKeyIds: random.pick([[], [new Uint8Array(PEER_KEY_ID_BYTES)]]),
    members: [1, 2, 3],
    self: 3,
    address: "n3:7003",
    to: 1,
    term: 7,
    lastIndex: 100,
  };
}

for (const kind of ALL_KINDS) {
  Deno.test(`hostile frames: kind ${kind} is well formed, and the same seed makes the same frames`, () => {
    for (let seed = 0; seed < PAYLOADS_OF_A_KIND; seed++) {
      const payload = hostilePayload(kind, knowledgeOf(new SeededRandom(seed)));
      if (seed < 10) assertEquals(hostilePayload(kind, knowledgeOf(new SeededRandom(seed))), payload);
      if (payload.length > MAX_FRAME_BYTES) continue;
      const input = new MessagePackReader(payload, { what: "a hostile frame", copies: false });
      input.skip("the frame");
      input.end();
    }
  });
}

Deno.test("hostile frames: the same seed gives the same simulated run", async () => {
  const [seed = 0] = SHORT_SEEDS;
  assertEquals(await runSimulated(seed, SHORT), await runSimulated(seed, SHORT));
});

for (const seed of SHORT_SEEDS) {
  const { nodes, hostileMember, claims } = scenarioOf(seed);
  const who = hostileMember === null ? "clients" : `a member (claims: ${claims})`;
  Deno.test(`hostile frames of ${who}: none ends one of ${nodes} simulated nodes or delays another client`, async () => {
    assertEquals(
      (await runSimulated(seed, SHORT)).problems,
      [],
      `replay: deno task fuzz:hostile --seeds ${seed}..${seed}`,
    );
  });
}

/** Runs against real nodes: what protects them, and how it reads. */
const REAL = [
  { nodes: 1, title: "1 real node" },
  { nodes: 3, title: "3 real nodes" },
  { nodes: 3, hasSecret: true, title: "3 real nodes with a peer secret" },
  { nodes: 3, hasUsers: true, title: "3 real nodes with users and a peer secret" },
  { nodes: 3, hasUsers: true, hasTls: true, title: "3 real nodes with users and TLS" },
] as const;

for (const { title, ...scene } of REAL) {
  Deno.test(`hostile frames: none ends one of ${title}, moves its term, or exceeds the rights of its user`, async () => {
    const protection = { hasSecret: false, hasUsers: false, hasTls: false, ...scene };
    const options = { ...protection, seconds: SHORT_SECONDS, seed: scene.nodes, tell: (): void => {} };
    const report = await runAgainstProcesses(options);
    assertEquals(report.problems, []);
    assert(report.frames.size > ALL_KINDS.length / 4, "frames of many kinds were sent");
  });
}

Deno.test("hostile requests of etcd's clients: none ends one of 3 real nodes or gives another client a wrong answer", async () => {
  assertEquals(await attackEtcd({ nodes: 3, seconds: SHORT_SECONDS, seed: 1, tell: () => {} }), []);
});
