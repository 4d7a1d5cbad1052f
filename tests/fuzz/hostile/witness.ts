/** A correct client that writes and reads during the attack, and must not be affected by it. */
import { type ConnectOptions, KvClient, KvraftError } from "../../../lib/mod.ts";
import { connectOn } from "../../../lib/testing.ts";
import type { Clock } from "../../../lib/platform/clock.ts";
import type { Network } from "../../../lib/platform/network.ts";

const CONNECT_TIMEOUT_MS = 30_000;
const THINK_MS = 15;
const KEY = "witness";
/** Keys that lists find. */
const FILL_TRANSACTIONS = 30;
const FILL_KEYS = 100;

/** Text in all values, which hostile users may not read; hostile programs do not send it. */
export const MARKER = "only others may read this";
const FILL_VALUE = MARKER.repeat(4);

/** Dependencies of a witness. */
export interface WitnessOptions {
  readonly cluster: readonly string[];
  /** Its certificates and its credential. Default none. */
  readonly access?: Pick<ConnectOptions, "tls" | "token">;
  readonly clock: Clock;
  /** Calls that take longer count as failed. */
  readonly callTimeoutMs: number;
  /** Null for the real network and clock. */
  readonly platform:
    | { readonly network: Network; readonly clock: Clock; readonly random: () => number }
    | null;
}

/** A client that measures how long it waits. */
export class Witness {
  readonly #options: WitnessOptions;
  #client: KvClient | null = null;
  #written = 0;
  /** The longest wait of a call so far, since the last {@link startMeasuring}. */
  longestMs = 0;
  calls = 0;
  /** Messages of calls that failed or returned a wrong result. */
  readonly failures: string[] = [];
  /** Start of the call in flight; null while there is none. */
  #calledAt: number | null = null;

  constructor(options: WitnessOptions) {
    this.#options = options;
  }

  /** Returns the longest wait, including that of the call in flight. */
  get longestWaitMs(): number {
    const { clock } = this.#options;
    return Math.max(this.longestMs, this.#calledAt === null ? 0 : clock.now() - this.#calledAt);
  }

  /** Connects and fills the store with keys that lists find. */
  async prepare(): Promise<void> {
    const { cluster, platform, access = {} } = this.#options;
    const common = { ...access, cluster, timeoutMs: CONNECT_TIMEOUT_MS };
    this.#client = await (platform === null ? KvClient.connect(common) : connectOn(platform, common));
    for (let transaction = 0; transaction < FILL_TRANSACTIONS; transaction++) {
      await this.#client.transaction({
        mutations: Array.from({ length: FILL_KEYS }, (_, key) => ({
          kind: "put",
          key: `fill/${transaction}/${key}`,
          value: FILL_VALUE,
        })),
        timeoutMs: CONNECT_TIMEOUT_MS,
      });
    }
  }

  /** Writes and reads back while `goesOn` returns true. */
  async run(goesOn: () => boolean): Promise<void> {
    const client = this.#client;
    const { callTimeoutMs: timeoutMs } = this.#options;
    if (client === null) throw new TypeError("a witness prepares first");
    while (goesOn()) {
      const value = `${MARKER} ${++this.#written}`;
      await this.#measured("put", () => client.put(KEY, value, { timeoutMs }));
      const entry = await this.#measured("get", () => client.get(KEY, { timeoutMs }));
      const found = entry === undefined || entry === null ? null : new TextDecoder().decode(entry.value);
      if (entry !== undefined && found !== value) this.failures.push(`put ${value} and got ${found}`);
      await new Promise<void>((resolve) => void this.#options.clock.after(THINK_MS, resolve));
    }
    await client.close();
  }

  async #measured<T>(name: string, call: () => Promise<T>): Promise<T | undefined> {
    const { clock } = this.#options;
    const calledAt = clock.now();
    this.#calledAt = calledAt;
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.failures.push(`${name}: ${error.code}, ${error.outcome}: ${error.message}`);
      return undefined;
    } finally {
      this.#calledAt = null;
      this.calls += 1;
      this.longestMs = Math.max(this.longestMs, clock.now() - calledAt);
    }
  }
}
