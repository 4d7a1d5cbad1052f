/**
 * Exactly-once writes under any faults: the client against the real state machine, with answers lost, writes
 * delayed beyond their callers' deadlines, leaders changing and sessions forgotten, at random.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { KvraftError } from "../../../lib/mod.ts";
import { StateMachine } from "../../../lib/kv/mod.ts";
import type { ClientRequest } from "../../../lib/protocol/client_frames.ts";
import { decodeCommand } from "../../../lib/protocol/command.ts";
import { FakeCluster, type Reply, writeResult } from "../../support/fakes/scripted_node.ts";

const WRITES = 24;
/** Half the sessions that a cluster may remember: a few faults make it forget the client's. */
const MAX_SESSIONS = 2;

/** The faults that a write may meet. */
const MISHAPS = [
  "none",
  "none",
  "none",
  "answerLost",
  "answerNeverSent",
  "lostBeforeTheLog",
  "leadershipLostAfterwards",
  "leadershipLostAndAppliedLater",
  "refused",
  "sessionForgottenBefore",
] as const;
type Mishap = typeof MISHAPS[number];

/** The log and the state machine that the nodes of a fake cluster share. */
class Log {
  readonly machine = new StateMachine({ maxSessions: MAX_SESSIONS });
  readonly #delayed: Uint8Array[] = [];
  #faults = 0;

  apply(command: Uint8Array): ReturnType<StateMachine["apply"]> {
    return this.machine.apply(this.machine.appliedIndex + 1, decodeCommand(command));
  }

  delay(command: Uint8Array): void {
    this.#delayed.push(command);
  }

  /** Appends the delayed writes to the log. */
  applyDelayed(): void {
    for (const command of this.#delayed.splice(0)) this.apply(command);
  }

  /** Others open so many sessions that all before are forgotten. */
  forgetSessions(): void {
    for (let i = 0; i < MAX_SESSIONS; i++) {
      const { appliedIndex } = this.machine;
      this.#faults += 1;
      this.machine.apply(appliedIndex + 1, {
        kind: "registerSession",
        sessionId: this.#faults,
        openedAt: appliedIndex,
      });
    }
  }
}

function inject(mishap: Mishap, request: ClientRequest & { readonly kind: "write" }, log: Log): Reply {
  const { requestId, command } = request;
  const leadershipLost: Reply = {
    kind: "error",
    requestId,
    code: "leadershipLost",
    message: "Leadership was lost.",
    outcome: "unknown",
    leader: null,
  };
  switch (mishap) {
    case "none":
      return writeResult(request, log.apply(command));
    case "answerLost":
      log.apply(command);
      return "disconnect";
    case "answerNeverSent":
      log.apply(command);
      return "silence";
    case "lostBeforeTheLog":
      return "disconnect";
    case "leadershipLostAfterwards":
      log.apply(command);
      return leadershipLost;
    case "leadershipLostAndAppliedLater":
      log.delay(command);
      return leadershipLost;
    case "refused":
      return { ...leadershipLost, code: "noLeader", outcome: "not-applied" };
    case "sessionForgottenBefore":
      log.forgetSessions();
      return writeResult(request, log.apply(command));
  }
}

async function tryWrites(mishaps: readonly Mishap[]): Promise<void> {
  const cluster = new FakeCluster(2);
  const log = new Log();
  let next = 0;
  for (const node of cluster.nodes) {
    node.appliedIndex = 0;
    const obey = node.answer;
    node.answer = (request) => {
      node.appliedIndex = log.machine.appliedIndex;
      if (request.kind !== "write") return obey(request);
      const mishap = mishaps[next++] ?? "none";
      if (mishap === "none") log.applyDelayed();
      return inject(mishap, request, log);
    };
  }
  await using client = await cluster.connect();
  const keys = Array.from({ length: WRITES }, (_, position) => `k${position}`);
  const outcomes = await cluster.finish(Promise.all(keys.map(async (key) => {
    try {
      await client.put(key, "v", { timeoutMs: 2_000 });
      return "applied";
    } catch (error) {
      assert(error instanceof KvraftError, `${error} is one of the client's errors`);
      return error.outcome;
    }
  })));
  log.applyDelayed();
  for (const [position, key] of keys.entries()) {
    const entry = log.machine.get(new TextEncoder().encode(key));
    const outcome = outcomes[position];
    if (outcome === "applied") assertEquals(entry?.version, 1, `${key} was acknowledged, and is there once`);
    if (outcome === "not-applied") assertEquals(entry, null, `${key} was said not to be applied`);
    if (outcome === "unknown" && entry !== null) {
      assertEquals(entry.version, 1, `${key} is there once if at all`);
    }
  }
}

Deno.test("writes: under any faults one is applied once if acknowledged, at most once if unknown, else never", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...MISHAPS), { maxLength: 80 }), tryWrites),
    { numRuns: 60 },
  );
});
