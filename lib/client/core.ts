/** The parts that all calls of one client share: connections, runner, session, defaults. */
import type { Clock, Random } from "../platform/clock.ts";
import type { Dialer } from "../platform/network.ts";
import { pause } from "../platform/promise.ts";
import { SystemClock, systemDialer } from "../platform/system.ts";
import { toCredentials } from "./auth/credentials.ts";
import { SignIns } from "./auth/sign_ins.ts";
import { CallContext, type CallContextOptions } from "./call_context.ts";
import { checkObject, checkSignal } from "./argument_checks.ts";
import { type Answered, type CallNotes, CallRunner, stopError } from "./calls.ts";
import type { RequestKind } from "../protocol/client_frames.ts";
import type { RequestOf } from "./connection.ts";
import { HEAD_START_MS } from "./dials.ts";
import { openTls } from "./auth/tls.ts";
import { toAddresses, toTimeoutMs, type WriteRequest } from "./input.ts";
import { LeaseKeeper } from "./leases/keeper.ts";
import { ConnectionPool } from "./pool.ts";
import { backoffMs, type CallKind, isTransient, pauseAfterMs, type Unreachable } from "./retry.ts";
import type { CallOptions, ConnectOptions } from "./types.ts";
import { SessionWriter, type WriteResult } from "./writer.ts";

/** Deadline of a call that names none. */
export const DEFAULT_TIMEOUT_MS = 5_000;
/** Watches of one client: a node takes as many over a connection. */
export const MAX_WATCHES = 1_000;

/** The network, the clock and the source of random numbers that a client uses. */
export interface ClientPlatform {
  /** Opens connections. */
  readonly network: Dialer;
  /** Measures deadlines and pauses. */
  readonly clock: Clock;
  /** Chooses the session's id, the order of dialing, and the jitter of pauses. */
  readonly random: Random;
  /** Watches of the client. Default {@link MAX_WATCHES}; a node takes more from a front end of its own alone. */
  readonly maxWatches?: number;
  /** Whether the client has no user, also where it shows a certificate: that of a gateway is not its clients'. Default false. */
  readonly isWithoutUser?: boolean;
}

/** The options of a write, and its action for messages. */
export interface WriteNotes {
  readonly action: string;
  readonly options: CallOptions;
  /** The limits of the call that the write is a part of, if it is a part of one. */
  readonly context?: CallContext;
}

/** One client, behind its public interface. */
export class ClientCore {
  readonly pool: ConnectionPool;
  readonly runner: CallRunner;
  /** Signs in on every connection; null for a client without credentials. */
  readonly signIns: SignIns | null;
  readonly clock: ClientPlatform["clock"];
  readonly random: ClientPlatform["random"];
  /** Deadline of a call that names none. */
  readonly timeoutMs: number;
  /** The watches that have not ended, and how many they may be. */
  readonly watches = new Set<object>();
  readonly maxWatches: number;
  /** The leases that are kept alive. */
  readonly leaseKeeper = new LeaseKeeper(this);
  readonly #writer: SessionWriter;

  private constructor(
    pool: ConnectionPool,
    { platform, timeoutMs, signIns }: {
      readonly platform: ClientPlatform;
      readonly timeoutMs: number;
      readonly signIns: SignIns | null;
    },
  ) {
    this.pool = pool;
    this.signIns = signIns;
    this.clock = platform.clock;
    this.random = platform.random;
    this.maxWatches = platform.maxWatches ?? MAX_WATCHES;
    this.timeoutMs = timeoutMs;
    this.runner = new CallRunner(pool, platform.random);
    this.#writer = new SessionWriter({
      runner: this.runner,
      random: platform.random,
      appliedIndex: () => pool.newestAppliedIndex,
    });
  }

  /** Connects to the cluster; see KvClient.connect. */
  static async connect(
    options: ConnectOptions,
    given: ClientPlatform = { network: systemDialer(), clock: new SystemClock(), random: Math.random },
  ): Promise<ClientCore> {
    const { cluster, timeoutMs: givenMs = DEFAULT_TIMEOUT_MS } = checkObject(
      options,
      "the options of connect",
    );
    const timeoutMs = toTimeoutMs(givenMs);
    const signal = checkSignal(options.signal ?? null);
    const tls = options.tls === undefined ? null : openTls(options.tls);
    const network = tls?.dialer ?? given.network;
    const platform = { ...given, network };
    const credentials = given.isWithoutUser === true
      ? { kind: "none", secret: "" } as const
      : toCredentials(options);
    const signIns = credentials === null ? null : new SignIns({ credentials, clock: platform.clock });
    const { showsCertificate = false } = tls ?? {};
    const pool = new ConnectionPool({ platform, addresses: toAddresses(cluster), signIns, showsCertificate });
    const context = new CallContext({ clock: platform.clock, timeoutMs, signal, closing: pool.closing });
    try {
      await reachCluster(pool, { context, random: platform.random, cluster });
      // Any node forwards requests: this does not wait for a leader that does not answer its dial at once.
      await context.within(HEAD_START_MS).waitFor(pool.reachLeader());
    } catch (error) {
      await pool.close();
      throw error;
    }
    return new ClientCore(pool, { platform, timeoutMs, signIns });
  }

  /** Applies a transaction once; resolves to what `read` returns for its result. Rejects with a KvraftError. */
  write<T>(request: WriteRequest, notes: WriteNotes, read: (result: WriteResult) => T): Promise<T> {
    let context: CallContext;
    try {
      context = notes.context ?? this.context(notes.options);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#writer.write(request, { ...notes, context }, read);
  }

  /** Sends one request until it is answered, within the limits of the client and of the call. */
  call<K extends RequestKind>(
    request: RequestOf<K>,
    notes: CallNotes & { readonly kind: CallKind },
  ): Promise<Answered<K>> {
    return this.runner.ask({ ...notes, request });
  }

  /** Repeats a call until it succeeds, or fails for a reason that does not pass; `signal` ends the call, and so the loop. */
  async repeat<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let round = 0;; round++) {
      try {
        return await call();
      } catch (error) {
        if (signal.aborted || !isTransient(error)) throw error;
        await pause(backoffMs(round, this.random), { clock: this.clock, signal });
      }
    }
  }

  /** Returns the limits of a call that begins now. */
  context(options: CallOptions & Pick<CallContextOptions, "patienceMs">): CallContext {
    const { timeoutMs = this.timeoutMs, signal = null, patienceMs = timeoutMs } = checkObject(
      options,
      "the options of a call",
    );
    return new CallContext({
      clock: this.clock,
      timeoutMs: toTimeoutMs(timeoutMs),
      signal: checkSignal(signal),
      closing: this.pool.closing,
      patienceMs,
    });
  }
}

/**
 * Dials the cluster until a node answers: nodes that start, are busy or close the connection may answer later. Rejects
 * with a KvraftError when the context ends, or when dialing again cannot succeed.
 */
async function reachCluster(
  pool: ConnectionPool,
  { context, random, cluster }: {
    readonly context: CallContext;
    readonly random: ClientPlatform["random"];
    readonly cluster: readonly string[];
  },
): Promise<void> {
  let failure: Unreachable | null = null;
  for (let round = 0;; round++) {
    const waited = await context.waitFor(pool.reach(null));
    if (waited.kind === "done") {
      if (waited.value.kind === "open") return;
      failure = waited.value;
      if (failure.hope === "none") throw failure.error;
      await context.pause(pauseAfterMs(failure, round, random));
    }
    const { stopped } = context;
    if (stopped === null) continue;
    // At the deadline the failure of every address says more than the elapsed time.
    if (stopped === "deadline" && failure !== null) throw failure.error;
    const action = `reach the cluster at ${cluster.join(", ")}`;
    throw stopError(stopped, { action, context, outcome: "not-applied", failure: null });
  }
}
