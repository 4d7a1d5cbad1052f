/**
 * The databases that a front end serves, as its node knows them: names, access tokens, signing keys, and whether clients have
 * to sign in.
 *
 * It is read from the applied state of a node, which needs no leader, and read again when the registry changes. Since nothing
 * reports that authentication was enabled, it is also read again when it is used and older than {@link MAX_AGE_MS}, and
 * nothing is decided by what is older than {@link MAX_DECISION_AGE_MS}. So a removed token may read for at most so long;
 * what it writes is refused by the entry of the log that would apply it.
 * Something that it does not know is looked for with a linearizable read before a client is refused.
 *
 * A gateway without credentials, or whose user lost its role, is refused the databases. Each request for them is an audit line
 * of the cluster, so it asks less and less often, and answers its clients with the last refusal meanwhile.
 */
import { AuthenticationError, KvraftError, PermissionDeniedError } from "../client/errors.ts";
import { errorMessage } from "../platform/errors.ts";
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import { pause } from "../platform/promise.ts";
import type { DatabaseStore, ServedDatabase, ServedDatabases } from "./store.ts";

/** Age at which the databases are read again when they are used. */
export const MAX_AGE_MS = 1_000;
/** Age at which nothing is decided by the databases until they are read again. */
export const MAX_DECISION_AGE_MS = 2 * MAX_AGE_MS;
/**
 * Time from the beginning of a linearizable read to that of the next one: refused clients, however many there are, cost no
 * more.
 */
export const REFRESH_INTERVAL_MS = 250;
/** Time for one read of the databases. */
export const READ_TIMEOUT_MS = 2_000;
/** Pause before the changes of the registry are watched again. */
const WATCH_PAUSE_MS = 1_000;
/** Time for which nothing is asked after the cluster has refused it: twice as long after each refusal, up to the second. */
export const REFUSED_PAUSE_MS = 1_000;
export const MAX_REFUSED_PAUSE_MS = 30_000;

/** The databases as of one read. */
class View {
  readonly list: ServedDatabases;
  readonly readAt: number;
  readonly #byName: ReadonlyMap<string, ServedDatabase>;
  readonly #byId: ReadonlyMap<number, ServedDatabase>;

  constructor(list: ServedDatabases, readAt: number) {
    this.list = list;
    this.readAt = readAt;
    this.#byName = new Map(list.databases.map((database) => [database.name, database]));
    this.#byId = new Map(list.databases.map((database) => [database.id, database]));
  }

  named(name: string): ServedDatabase | null {
    return this.#byName.get(name) ?? null;
  }

  withId(id: number): ServedDatabase | null {
    return this.#byId.get(id) ?? null;
  }
}

/** A refusal of the cluster, for want of credentials or of a right. */
interface Refusal {
  readonly error: KvraftError;
  readonly pauseMs: number;
  readonly until: number;
}

/** Dependencies of a {@link Directory}. */
export interface DirectoryOptions {
  readonly source: Pick<DatabaseStore, "databases" | "watchDatabases">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether clients need access tokens also while authentication is disabled. */
  readonly needsTokens: boolean;
  /** Called after a read that may have changed something. */
  readonly onChange: () => void;
}

/** The databases of one front end. */
export class Directory {
  readonly #options: DirectoryOptions;
  readonly #stop = new AbortController();
  #view: View | null = null;
  #isConfirmed = false;
  /** A stale read in progress. */
  #reading: Promise<void> | null = null;
  /** A linearizable read that has not begun, for all who have asked for one. */
  #nextRead: Promise<void> | null = null;
  /** The last one that has begun; never rejects. */
  #lastRead: Promise<unknown> = Promise.resolve();
  #refreshedAt = -Infinity;
  /** The last answer of the cluster, where it was a refusal. */
  #refusal: Refusal | null = null;
  #following: Promise<void> = Promise.resolve();

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  /** Begins to follow the changes of the databases. */
  start(): void {
    this.#following = this.#follow();
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#following;
  }

  /** Returns the database with a name, or null if the node knows none. */
  named(name: string): ServedDatabase | null {
    return this.#current()?.named(name) ?? null;
  }

  /** Returns the database with an id, or null if the node knows none. */
  withId(id: number): ServedDatabase | null {
    return this.#current()?.withId(id) ?? null;
  }

  /**
   * Whether the databases were read linearizably since the start. Before that the node may have been away while access tokens
   * were removed, or authentication was enabled.
   */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** Whether a database is open to clients without an access token. */
  isOpen({ isOpen }: ServedDatabase): boolean {
    return isOpen && !this.#options.needsTokens && this.#view?.list.authenticationEnabled === false;
  }

  /** Whether the databases are known as of at most {@link MAX_DECISION_AGE_MS} ago. */
  get isRecent(): boolean {
    const view = this.#view;
    return view !== null && this.#options.clock.now() - view.readAt <= MAX_DECISION_AGE_MS;
  }

  /** Resolves once {@link isRecent}. Rejects with KvraftError where the databases cannot be read. */
  async whenRecent(): Promise<void> {
    if (this.isRecent) return;
    this.#readInBackground();
    await this.#reading;
    if (!this.isRecent) await this.refresh();
  }

  /**
   * Reads the databases as of now, at most once in {@link REFRESH_INTERVAL_MS}; requests that come before the read begins share
   * it. Rejects with KvraftError.
   */
  refresh(): Promise<void> {
    if (this.#nextRead !== null) return this.#nextRead;
    const next = this.#lastRead.then(async () => {
      const { clock } = this.#options;
      const waitMs = this.#refreshedAt + REFRESH_INTERVAL_MS - clock.now();
      if (waitMs > 0) await pause(waitMs, { clock, signal: this.#stop.signal });
      this.#refreshedAt = clock.now();
      this.#nextRead = null;
      const read = this.#read("linearizable");
      this.#lastRead = read.catch(() => {});
      return read;
    });
    this.#nextRead = next;
    return next;
  }

  #current(): View | null {
    const view = this.#view;
    if (view === null || this.#options.clock.now() - view.readAt > MAX_AGE_MS) this.#readInBackground();
    return view;
  }

  /** Reads the state of the node, unless that is in progress. What fails is tried again at the next use. */
  #readInBackground(): void {
    if (this.#reading !== null || this.#stop.signal.aborted) return;
    this.#reading = this.#read("stale")
      .catch((error: unknown) => {
        if (!(error instanceof KvraftError)) throw error;
        this.#options.logger.debug("Cannot read the list of databases", { reason: error.message });
      })
      .finally(() => this.#reading = null);
  }

  async #read(consistency: "linearizable" | "stale"): Promise<void> {
    const { source, clock, onChange } = this.#options;
    const readAt = clock.now();
    if (this.#refusal !== null && readAt < this.#refusal.until) throw this.#refusal.error;
    const limits = { timeoutMs: READ_TIMEOUT_MS, patienceMs: READ_TIMEOUT_MS };
    const list = await source.databases({ consistency, ...limits }).catch((error: unknown) => {
      this.#noteRefusal(error);
      throw error;
    });
    this.#refusal = null;
    if (consistency === "linearizable") this.#isConfirmed = true;
    // A read of an earlier state that was answered later changes nothing.
    if (this.#view !== null && list.revision < this.#view.list.revision) return;
    this.#view = new View(list, readAt);
    onChange();
  }

  #noteRefusal(error: unknown): void {
    if (!(error instanceof AuthenticationError || error instanceof PermissionDeniedError)) return;
    const { clock, logger } = this.#options;
    // Of several that were in progress one counts.
    if (this.#refusal !== null && clock.now() < this.#refusal.until) return;
    if (this.#refusal === null) {
      logger.warn("The cluster refuses the list of databases: no client of Deno KV is served", {
        reason: error.message,
      });
    }
    const pauseMs = Math.min(2 * (this.#refusal?.pauseMs ?? REFUSED_PAUSE_MS / 2), MAX_REFUSED_PAUSE_MS);
    this.#refusal = { error, pauseMs, until: clock.now() + pauseMs };
  }

  async #follow(): Promise<void> {
    const { source, clock, logger } = this.#options;
    const { signal } = this.#stop;
    this.#readInBackground();
    while (!signal.aborted) {
      try {
        for await (const _ of source.watchDatabases({ signal })) {
          await this.#reading;
          this.#readInBackground();
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#noteRefusal(error);
        logger.debug("Cannot watch the list of databases", { reason: errorMessage(error) });
      }
      const refusedMs = (this.#refusal?.until ?? 0) - clock.now();
      await pause(Math.max(WATCH_PAUSE_MS, refusedMs), { clock, signal });
    }
  }
}
