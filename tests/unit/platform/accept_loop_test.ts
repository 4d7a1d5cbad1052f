/** The accept loop: the effect of an error of one connection, and of one of the listener, on other connections. */
import { assertEquals } from "@std/assert";
import { ACCEPT_RETRY_MS, acceptConnections, MAX_ACCEPTS_A_TURN } from "../../../lib/platform/accept_loop.ts";
import { NetworkError, type NetworkErrorCode } from "../../../lib/platform/errors.ts";
import type { Connection, Listener } from "../../../lib/platform/network.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { connectionPair } from "../../support/fakes/memory_network.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

/** A listener whose accepts end at once with `outcomes`, one after the other, and then never again. */
class ScriptedListener implements Listener {
  readonly address = { host: "n1", port: 7001 };
  readonly #outcomes: (NetworkErrorCode | "connection" | Error)[];
  readonly #closed = Promise.withResolvers<null>();

  constructor(outcomes: readonly (NetworkErrorCode | "connection" | Error)[]) {
    this.#outcomes = [...outcomes];
  }

  accept(): Promise<Connection | null> {
    const outcome = this.#outcomes.shift();
    if (outcome === undefined) return this.#closed.promise;
    if (outcome === "connection") return Promise.resolve(connectionPair()[0]);
    const error = outcome instanceof Error ? outcome : new NetworkError(outcome, { message: outcome });
    return Promise.reject(error);
  }

  close(): void {
    this.#closed.resolve(null);
  }
}

interface Scene {
  readonly clock: ManualClock;
  readonly logger: RecordingLogger;
  /** Number of connections passed on. */
  taken(): number;
  /** Number of requests to close idle connections. */
  closures(): number;
}

/** Accepts from a listener with these outcomes while `test` runs. */
async function accepting(
  outcomes: readonly (NetworkErrorCode | "connection" | Error)[],
  test: (scene: Scene) => Promise<void>,
): Promise<void> {
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const stop = new AbortController();
  const listener = new ScriptedListener(outcomes);
  let taken = 0;
  const take = (connection: Connection): Promise<void> => {
    taken += 1;
    connection.close();
    return Promise.resolve();
  };
  let closures = 0;
  const closeIdle = (): void => void (closures += 1);
  const done = acceptConnections(listener, { clock, logger, signal: stop.signal, take, closeIdle });
  await test({ clock, logger, taken: () => taken, closures: () => closures });
  stop.abort();
  listener.close();
  await done;
  assertEquals(clock.timerCount, 0);
}

Deno.test("acceptConnections: connections that are lost before they are accepted delay no others", () =>
  accepting(
    [...Array<"connectionLost">(100).fill("connectionLost"), "connection"],
    async ({ logger, taken, closures }) => {
      await settle();
      assertEquals([taken(), closures(), logger.messages], [1, 0, []]);
      assertEquals(logger.lines.length, 100);
    },
  ));

Deno.test("acceptConnections: an error of the listener is logged, idle connections are closed, and accepting continues", () =>
  accepting(["failed", "connection", new Error("not foreseen"), "connection"], async (scene) => {
    const { clock, logger, taken, closures } = scene;
    await settle();
    assertEquals([taken(), logger.messages], [0, ["Cannot accept connections; trying again"]]);
    clock.advance(ACCEPT_RETRY_MS);
    await settle();
    assertEquals(taken(), 1);
    clock.advance(ACCEPT_RETRY_MS);
    await settle();
    assertEquals([taken(), closures()], [2, 2]);
    assertEquals(logger.lines.map(({ fields }) => fields["reason"]), ["failed", "not foreseen"]);
  }));

Deno.test("acceptConnections: other work runs while connections are accepted without a pause", () => {
  const count = 3 * MAX_ACCEPTS_A_TURN;
  return accepting(Array<"connection">(count).fill("connection"), async ({ clock, taken }) => {
    await new Promise<void>((resolve) => clock.endOfTurn(resolve));
    assertEquals(taken() < count, true, "not all were accepted within one turn");
    await settle();
    assertEquals(taken(), count);
  });
});
