/** The list of databases that a front end serves: how often it asks a cluster that refuses it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { NoLeaderError, PermissionDeniedError } from "../../../lib/client/errors.ts";
import { Directory, MAX_REFUSED_PAUSE_MS, REFUSED_PAUSE_MS } from "../../../lib/denokv/directory.ts";
import type { ServedDatabases } from "../../../lib/denokv/store.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";
import { DEFAULT } from "./service_scene.ts";

const STEP_MS = 250;

/** A directory of a cluster that fails as the test says, and the times at which it was asked. */
class Scene implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly asked: number[] = [];
  readonly directory: Directory;
  failure: Error | null = null;

  constructor() {
    const ask = (): void => {
      this.asked.push(this.clock.now());
      if (this.failure !== null) throw this.failure;
    };
    const source = {
      databases: async (): Promise<ServedDatabases> => {
        await Promise.resolve();
        ask();
        return { revision: 1, authenticationEnabled: true, databases: [DEFAULT] };
      },
      watchDatabases: async function* ({ signal }: { readonly signal: AbortSignal }): AsyncGenerator<void> {
        ask();
        yield;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    };
    const { clock, logger } = this;
    this.directory = new Directory({ source, clock, logger, needsTokens: false, onChange: () => {} });
  }

  /** Lets time pass, with requests of clients all the while. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.directory.named(DEFAULT.name);
      this.directory.refresh().catch(() => {}); // each request has the error
      await settle();
      this.clock.advance(STEP_MS);
      await settle();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.directory.stop();
  }
}

Deno.test("Directory: after refusals the cluster is asked less and less often, and serves again once it permits", async () => {
  await using scene = new Scene();
  const refusal = new PermissionDeniedError("Cannot read the databases: the user has no role root.", {
    outcome: "not-applied",
  });
  scene.failure = refusal;
  scene.directory.start();
  await scene.pass(10 * MAX_REFUSED_PAUSE_MS);
  // Reads and the watch may ask in the same moment; there are 240 steps of 30 seconds.
  const moments = [...new Set(scene.asked)];
  const pauses = moments.slice(1).map((at, index) => at - (moments[index] ?? 0));
  assert(pauses.every((pauseMs) => pauseMs >= REFUSED_PAUSE_MS), pauses.join());
  assert(moments.length <= 5 + 10, moments.join());
  assertEquals(await assertRejects(() => scene.directory.refresh(), PermissionDeniedError), refusal);
  assertEquals(scene.logger.lines.filter(({ level }) => level === "warn").length, 1);

  scene.failure = null;
  await scene.pass(MAX_REFUSED_PAUSE_MS + 4 * STEP_MS);
  assertEquals(scene.directory.named(DEFAULT.name), DEFAULT);
});

Deno.test("Directory: a cluster without a leader is asked again as before", async () => {
  await using scene = new Scene();
  scene.failure = new NoLeaderError("Cannot read the databases: no node knows a leader.");
  scene.directory.start();
  await scene.pass(MAX_REFUSED_PAUSE_MS);
  const { length } = scene.asked;
  assert(length >= MAX_REFUSED_PAUSE_MS / STEP_MS, `it was asked ${length} times`);
  scene.failure = null;
  await scene.directory.refresh();
  assertEquals(scene.directory.named(DEFAULT.name), DEFAULT);
});
