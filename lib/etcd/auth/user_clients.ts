/**
 * The clients of the cluster by which a front end carries out requests: one for each user that has signed in, and one without
 * a user.
 *
 * A token of Authenticate is a ticket (lib/protocol/ticket.ts), which every node and gateway accepts without having given it.
 * As in etcd, a front end accepts a token for {@link TOKEN_LIFE_MS} after it was given or used there. It has the node check a
 * ticket once; then the ticket leads to the client of its user. Tokens of kvraft's own, which programs may use as well, end by
 * themselves.
 *
 * Nothing is refused here: a request whose token is not accepted goes to the cluster without a user.
 */
import type { ClientCore } from "../../client/core.ts";
import { AuthenticationError, InvalidRequestError, KvraftError } from "../../client/errors.ts";
import { sourceOf } from "../../platform/address.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import { readTicket, signInKeyOf } from "../../protocol/ticket.ts";
import type { Clients, UsedClient } from "../context.ts";
import { etcdError } from "../rpc/status.ts";

/** Time since a token was given, or used at this front end, for which it is accepted: that of etcd. */
export const TOKEN_LIFE_MS = 300_000;
/** Time after which the client of a user without requests is closed. */
export const IDLE_MS = 600_000;
const SWEEP_INTERVAL_MS = 60_000;
/** Tokens that are remembered as accepted; the one that was used longest ago is forgotten for another, and checked again. */
const MAX_TOKENS = 10_000;
/** Tokens that are remembered as refused. */
const MAX_REFUSED = 1_000;
const REFUSED_MS = 10_000;
/** Users with clients at a time. */
const MAX_USERS = 1_000;
/** Sign-ins in progress, and those of one address. */
const MAX_SIGN_INS = 256;
export const MAX_SIGN_INS_PER_SOURCE = 64;

/** How a client signs in. */
export type UserCredentials =
  | { readonly user: string; readonly password: string }
  | { readonly token: string | (() => string) };

/** Connects a client of the cluster; `remote`: the address for which it signs in, null for the front end itself. */
export type ConnectUser<C = UserCredentials> = (credentials: C, remote: string | null) => Promise<ClientCore>;

/** Dependencies of {@link UserClients}. */
export interface UserClientsOptions {
  /** A client without a user. */
  readonly anonymous: ClientCore;
  readonly connect: ConnectUser;
  readonly clock: Clock;
  readonly wallClock: () => number;
}

/** The client of a user. */
interface UserClient {
  /** The token by which it signs in: the newest that was accepted. */
  readonly secret: { token: string };
  readonly core: Promise<ClientCore>;
  /** Requests in progress. */
  uses: number;
  lastUsedMs: number;
}

/** The clients of a front end. */
export class UserClients implements Clients {
  readonly #options: UserClientsOptions;
  /** The times of the last uses of tokens; the one that was used longest ago is first. */
  readonly #accepted = new Map<string, number>();
  /** Times up to which tokens are known to be refused. */
  readonly #refused = new Map<string, number>();
  readonly #checks = new Map<string, Promise<boolean>>();
  /** By {@link signInKeyOf}; the one that was used longest ago is first. */
  readonly #users = new Map<string, UserClient>();
  readonly #signIns = new Map<string, number>();
  #signInsInAll = 0;
  #sweep: Timer | null;
  #isClosed = false;

  constructor(options: UserClientsOptions) {
    this.#options = options;
    this.#sweep = options.clock.after(SWEEP_INTERVAL_MS, () => this.#closeIdle());
  }

  /** Number of clients with a user. */
  get size(): number {
    return this.#users.size;
  }

  async use(token: string | null, remote: string): Promise<UsedClient> {
    if (token === null || !isTokenForm(token) || !await this.#isAccepted(token, remote)) {
      return { core: this.#options.anonymous, release: () => {} };
    }
    const key = signInKeyOf(token);
    const client = this.#clientOf(key, token);
    client.uses += 1;
    const release = (): void => {
      client.uses -= 1;
      client.lastUsedMs = this.#options.clock.now();
    };
    try {
      return { core: await client.core, release };
    } catch (error) {
      release();
      if (this.#users.get(key) === client) this.#users.delete(key);
      throw error;
    }
  }

  async signIn(user: { readonly name: string; readonly password: string }, remote: string): Promise<string> {
    const { name, password } = user;
    if (name === "" || password === "") throw etcdError("authFailed");
    try {
      const ticket = await this.#counted(remote, async () => {
        const core = await this.#options.connect({ user: name, password }, remote);
        void core.pool.close();
        return core.signIns?.answer?.ticket ?? null;
      });
      if (ticket === null) throw etcdError("timeout");
      this.#accept(ticket);
      return ticket;
    } catch (error) {
      // No user can have a name or password that the client refuses to send.
      const isWrong = error instanceof AuthenticationError || error instanceof InvalidRequestError;
      throw isWrong ? etcdError("authFailed") : error;
    }
  }

  /** Closes all clients with a user. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#sweep?.cancel();
    this.#sweep = null;
    const clients = [...this.#users.values()];
    this.#users.clear();
    await Promise.all(clients.map(closeClient));
  }

  /** Resolves to whether the cluster accepts a token, which has the form of one. */
  async #isAccepted(token: string, remote: string): Promise<boolean> {
    const { clock, wallClock } = this.#options;
    const ticket = readTicket(token);
    const lastUsedMs = this.#accepted.get(token);
    const isRecent = lastUsedMs !== undefined &&
      (ticket === null || clock.now() < lastUsedMs + TOKEN_LIFE_MS);
    if (!isRecent) {
      if (ticket !== null && wallClock() >= ticket.issuedAtMs + TOKEN_LIFE_MS) return false;
      if ((this.#refused.get(token) ?? 0) > clock.now()) return false;
      if (!await this.#check(token, remote)) return false;
    }
    this.#accept(token);
    return true;
  }

  /** Has a node check a token; requests that come together share the check. */
  #check(token: string, remote: string): Promise<boolean> {
    let check = this.#checks.get(token);
    if (check === undefined) {
      check = this.#checkNow(token, remote).finally(() => this.#checks.delete(token));
      this.#checks.set(token, check);
    }
    return check;
  }

  async #checkNow(token: string, remote: string): Promise<boolean> {
    try {
      const core = await this.#counted(remote, () => this.#options.connect({ token }, remote));
      void core.pool.close();
      return true;
    } catch (error) {
      if (!(error instanceof AuthenticationError)) throw error;
      remember(this.#refused, token, { value: this.#options.clock.now() + REFUSED_MS, max: MAX_REFUSED });
      return false;
    }
  }

  #accept(token: string): void {
    remember(this.#accepted, token, { value: this.#options.clock.now(), max: MAX_TOKENS });
  }

  /** Returns the client of a user, connected by an accepted token where there is none. */
  #clientOf(key: string, token: string): UserClient {
    const known = this.#users.get(key);
    const client = known ?? this.#connect(token);
    client.secret.token = token;
    client.lastUsedMs = this.#options.clock.now();
    this.#users.delete(key);
    this.#users.set(key, client);
    return client;
  }

  #connect(token: string): UserClient {
    if (this.#isClosed) throw etcdError("stopped");
    if (this.#users.size >= MAX_USERS) this.#closeOldest();
    const secret = { token };
    const core = this.#options.connect({ token: () => secret.token }, null);
    return { secret, core, uses: 0, lastUsedMs: this.#options.clock.now() };
  }

  /** Closes the client that was used longest ago, of those without requests. Throws EtcdError if all have some. */
  #closeOldest(): void {
    for (const [key, client] of this.#users) {
      if (client.uses > 0) continue;
      this.#users.delete(key);
      void closeClient(client);
      return;
    }
    throw etcdError("tooManyRequests");
  }

  #closeIdle(): void {
    const now = this.#options.clock.now();
    for (const [key, client] of this.#users) {
      if (client.uses > 0 || now < client.lastUsedMs + IDLE_MS) continue;
      this.#users.delete(key);
      void closeClient(client);
    }
    this.#sweep = this.#options.clock.after(SWEEP_INTERVAL_MS, () => this.#closeIdle());
  }

  /** Makes a sign-in, unless too many are in progress: each may be delayed for seconds, after failures at its address. */
  async #counted<T>(remote: string, signIn: () => Promise<T>): Promise<T> {
    const source = sourceOf(remote);
    const ofSource = this.#signIns.get(source) ?? 0;
    if (this.#signInsInAll >= MAX_SIGN_INS || ofSource >= MAX_SIGN_INS_PER_SOURCE) {
      throw etcdError("tooManyRequests");
    }
    this.#signInsInAll += 1;
    this.#signIns.set(source, ofSource + 1);
    try {
      return await signIn();
    } catch (error) {
      // The node is busy, or has no leader. clientv3 ends its watches where that is said.
      const isOfUser = error instanceof AuthenticationError || error instanceof InvalidRequestError;
      throw error instanceof KvraftError && !isOfUser ? etcdError("timeout") : error;
    } finally {
      this.#signInsInAll -= 1;
      const left = (this.#signIns.get(source) ?? 0) - 1;
      if (left > 0) this.#signIns.set(source, left);
      else this.#signIns.delete(source);
    }
  }
}

/** Whether a text has the form of a ticket or of a token of kvraft. */
function isTokenForm(text: string): boolean {
  return readTicket(text) !== null || /^kvt_[A-Za-z0-9_-]{43}$/.test(text);
}

async function closeClient({ core }: UserClient): Promise<void> {
  const connected = await core.catch(() => null);
  await connected?.pool.close();
}

/** Puts an entry behind the others, and removes the first one where there are too many. */
function remember(
  entries: Map<string, number>,
  key: string,
  { value, max }: { readonly value: number; readonly max: number },
): void {
  entries.delete(key);
  entries.set(key, value);
  if (entries.size <= max) return;
  for (const first of entries.keys()) return void entries.delete(first);
}
