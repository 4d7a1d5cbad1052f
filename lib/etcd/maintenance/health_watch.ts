/**
 * `Watch` of gRPC's health service: tells clients when the node begins or ends to serve. All of them share one check, which is
 * made once a second while there are any.
 */
import type { Clock } from "../../platform/clock.ts";
import type { EtcdContext } from "../context.ts";
import {
  HEALTH_CHECK_REQUEST,
  HEALTH_CHECK_RESPONSE,
  SERVING_STATUS,
  type ServingStatus,
} from "../messages/maintenance.ts";
import { type Method, streaming } from "../rpc/method.ts";

/** Interval of the checks. */
export const HEALTH_INTERVAL_MS = 1_000;

/** Tells clients each change of the state. */
export class HealthWatch {
  readonly #options: Pick<EtcdContext, "isReadable" | "clock">;
  readonly #listeners = new Set<(status: ServingStatus) => void>();
  #status: ServingStatus | null = null;
  #isRunning = false;
  /** Ends the pause between two checks. */
  #wake = (): void => {};

  /** Checks nothing yet. */
  constructor(options: Pick<EtcdContext, "isReadable" | "clock">) {
    this.#options = options;
  }

  /** Calls `listener` with the present state, and then with each change of it, until the returned function is called. */
  add(listener: (status: ServingStatus) => void): () => void {
    this.#listeners.add(listener);
    if (this.#status !== null) listener(this.#status);
    if (!this.#isRunning) void this.#run(); // never rejects
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#wake();
    };
  }

  async #run(): Promise<void> {
    const { isReadable, clock } = this.#options;
    this.#isRunning = true;
    while (this.#listeners.size > 0) {
      const status = await isReadable() ? "SERVING" : "NOT_SERVING";
      if (status !== this.#status) { for (const listener of this.#listeners) listener(status); }
      this.#status = status;
      if (this.#listeners.size > 0) await this.#pause(clock);
    }
    this.#isRunning = false;
    this.#status = null;
  }

  #pause(clock: Clock): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.after(HEALTH_INTERVAL_MS, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

/** Returns the method. */
export function healthWatchMethod(context: EtcdContext): Method {
  const watch = new HealthWatch(context);
  return streaming(
    {
      service: "grpc.health.v1.Health",
      name: "Watch",
      request: HEALTH_CHECK_REQUEST,
      response: HEALTH_CHECK_RESPONSE,
    },
    async (messages, { signal }) => {
      const request = await messages.read();
      if (request === null) return;
      const send = (status: ServingStatus): void =>
        void messages.write({ status: SERVING_STATUS.indexOf(status) });
      // Another service may be served later, so the stream stays open.
      const remove = request.service === "" ? watch.add(send) : (send("SERVICE_UNKNOWN"), (): void => {});
      try {
        await untilOver(signal, context);
      } finally {
        remove();
      }
    },
  );
}

/** Resolves once the client has gone, or the front end begins to stop. */
function untilOver(signal: AbortSignal, { closing }: Pick<EtcdContext, "closing">): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted || closing.isClosed) return resolve();
    const over = (): void => {
      signal.removeEventListener("abort", over);
      closing.remove(over);
      resolve();
    };
    signal.addEventListener("abort", over);
    closing.add(over);
  });
}
