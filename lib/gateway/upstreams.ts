/**
 * A gateway's connections to the cluster, which its clients share: for each user, and for clients without one, a few clients of
 * the cluster, the lanes. Each has one connection to each node that it uses.
 *
 * A client of the gateway signs in over a connection of its own, so that a node checks every password and token. Then it uses
 * the lanes of its user, which sign in by the ticket of that sign-in (lib/protocol/ticket.ts), or by the token: a gateway keeps
 * no password.
 */
import { type ClientCore, MAX_WATCHES } from "../client/core.ts";
import { BusyError, ClosedError } from "../client/errors.ts";
import { MAX_USER_TOKENS } from "../kv/auth/auth_command.ts";
import { sourceOf } from "../platform/address.ts";
import { assert } from "../platform/assert.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { RequestFrame, ServerFrame } from "../protocol/client_frames.ts";
import { signInKeyOf } from "../protocol/ticket.ts";

/** Clients of the gateway on a lane, above which another lane is opened. */
export const CLIENTS_A_LANE = 256;
/** Lanes of a user: as many as their watches need. Further clients share them. */
const MAX_LANES = 100;
/** Users with lanes at a time. */
export const MAX_USERS = 1_000;
/** Rights to sign in, which have lanes of their own, of one user: those of its password and its tokens. */
export const MAX_LANES_OF_USER = MAX_USER_TOKENS + 1;
/** Time for which the lanes of a user without clients stay open. */
const IDLE_MS = 60_000;
/** Sign-ins in progress, and those of one address: a node may delay each by seconds. */
const MAX_SIGN_INS = 256;
export const MAX_SIGN_INS_PER_SOURCE = 64;

/** How a client signs in at the cluster; null: as no user. */
export type UpstreamCredentials =
  | { readonly user: string; readonly password: string }
  | { readonly token: string | (() => string) }
  | null;
/** Connects a client of the cluster. Rejects with KvraftError. */
export type ConnectUpstream = (credentials: UpstreamCredentials) => Promise<ClientCore>;

/** A client of the cluster that clients of the gateway share. */
export interface Lane {
  readonly core: ClientCore;
  /** Clients of the gateway that send their requests over it. */
  clients: number;
  /** Watches over it. */
  watches: number;
}

/** The lanes of one user, or of the clients without one. */
export class Upstream {
  readonly #connect: () => Promise<ClientCore>;
  readonly #lanes: Lane[] = [];
  #opening: Promise<void> | null = null;
  #isClosed = false;

  /** Connects nothing yet. */
  constructor(connect: () => Promise<ClientCore>) {
    this.#connect = connect;
  }

  /** Resolves to the lane for one more client, which is counted. Rejects with KvraftError. */
  async join(): Promise<Lane> {
    const found = await this.#take("clients", CLIENTS_A_LANE);
    if (found !== null) return found;
    const least = this.#lanes.reduce((least, lane) => lane.clients < least.clients ? lane : least);
    least.clients += 1;
    return least;
  }

  /** Resolves to a lane with space for one more watch, which is counted; null if no node takes more. Rejects with KvraftError. */
  async joinForWatch(preferred: Lane): Promise<Lane | null> {
    if (preferred.watches >= MAX_WATCHES) return await this.#take("watches", MAX_WATCHES);
    preferred.watches += 1;
    return preferred;
  }

  /** Has nodes that owe answers show that they work. */
  probe(): void {
    for (const { core } of this.#lanes) core.pool.probe();
  }

  /** Closes all lanes. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#opening?.catch(() => {}); // its caller has the error
    await Promise.all(this.#lanes.map(({ core }) => core.pool.close()));
  }

  /**
   * Resolves to a lane that has fewer than `most`, once one more is counted; null if all lanes that there may be are full. It
   * is counted in the turn in which the lane is found: others wait for the same new lane.
   */
  async #take(what: "clients" | "watches", most: number): Promise<Lane | null> {
    for (;;) {
      if (this.#isClosed) throw new ClosedError("Cannot serve: the gateway is closed.");
      const found = this.#lanes.find((lane) => lane[what] < most);
      if (found !== undefined) {
        found[what] += 1;
        return found;
      }
      if (this.#lanes.length >= MAX_LANES) return null;
      this.#opening ??= this.#open().finally(() => {
        this.#opening = null;
      });
      await this.#opening;
    }
  }

  async #open(): Promise<void> {
    this.#lanes.push({ core: await this.#connect(), clients: 0, watches: 0 });
  }
}

/** The lanes of a user. */
interface UserUpstream {
  readonly name: string;
  readonly upstream: Upstream;
  /** The token by which lanes sign in: the newest that a node has accepted. */
  readonly secret: { token: string };
  /** Clients that use them. */
  uses: number;
  idle: Timer | null;
}

/** The end of a sign-in that succeeded. */
export interface SignedIn {
  readonly answer: ServerFrame<"signedIn">;
  readonly upstream: Upstream;
  /** Called once when the client does not use the lanes any more. */
  readonly release: () => void;
}

type Method = Exclude<RequestFrame<"signIn">["method"], { readonly kind: "none" }>;

/** All lanes of a gateway. */
export class Upstreams {
  /** The lanes of clients without a user. */
  readonly anonymous: Upstream;
  readonly #connect: ConnectUpstream;
  readonly #clock: Clock;
  readonly #users = new Map<string, UserUpstream>();
  readonly #signIns = new Map<string, number>();
  #signInsInAll = 0;

  /** Connects nothing yet. */
  constructor({ connect, clock }: { readonly connect: ConnectUpstream; readonly clock: Clock }) {
    this.#connect = connect;
    this.#clock = clock;
    this.anonymous = new Upstream(() => connect(null));
  }

  /** Signs in at a node. Rejects with KvraftError. `remote`: the address of the client. */
  async signIn(method: Method, remote: string): Promise<SignedIn> {
    const { user, password, token } = { user: "", password: "", token: "", ...method };
    const credentials = method.kind === "password" ? { user, password } : { token };
    const answer = await this.#counted(remote, async () => {
      const core = await this.#connect(credentials);
      void core.pool.close();
      return core.signIns?.answer ?? null;
    });
    assert(answer !== null, "a client that is connected with credentials has signed in");
    return { answer, ...this.#use(answer.ticket ?? token, answer.user) };
  }

  /** Has nodes that owe answers show that they work. */
  probe(): void {
    this.anonymous.probe();
    for (const { upstream } of this.#users.values()) upstream.probe();
  }

  /** Closes all lanes. */
  async close(): Promise<void> {
    const users = [...this.#users.values()];
    this.#users.clear();
    for (const { idle } of users) idle?.cancel();
    await Promise.all([this.anonymous, ...users.map(({ upstream }) => upstream)].map((one) => one.close()));
  }

  /** Returns the lanes of the user of an accepted token. Throws BusyError. */
  #use(token: string, name: string): Omit<SignedIn, "answer"> {
    const key = signInKeyOf(token);
    let user = this.#users.get(key);
    if (user === undefined) {
      this.#makeSpace(name);
      const secret = { token };
      const upstream = new Upstream(() => this.#connect({ token: () => secret.token }));
      user = { name, upstream, secret, uses: 0, idle: null };
      this.#users.set(key, user);
    }
    const used = user;
    used.secret.token = token;
    used.uses += 1;
    used.idle?.cancel();
    used.idle = null;
    return { upstream: used.upstream, release: () => this.#release(key, used) };
  }

  #release(key: string, user: UserUpstream): void {
    user.uses -= 1;
    if (user.uses > 0 || this.#users.get(key) !== user) return;
    user.idle = this.#clock.after(IDLE_MS, () => this.#drop(key, user));
  }

  #drop(key: string, { upstream, idle }: UserUpstream): void {
    idle?.cancel();
    this.#users.delete(key);
    void upstream.close();
  }

  /**
   * Closes lanes without clients if there are too many, of this user or in all. Throws BusyError if all have clients. A user that
   * changes its own password again and again, and stays connected, takes its own places and not those of others.
   */
  #makeSpace(name: string): void {
    const own = [...this.#users].filter(([, user]) => user.name === name);
    if (own.length >= MAX_LANES_OF_USER) {
      return this.#closeIdle(own, `by ${MAX_LANES_OF_USER} passwords and tokens of user ${name}`);
    }
    if (this.#users.size >= MAX_USERS) this.#closeIdle([...this.#users], `of ${MAX_USERS} users`);
  }

  #closeIdle(candidates: readonly (readonly [string, UserUpstream])[], clients: string): void {
    for (const [key, user] of candidates) if (user.uses === 0) return this.#drop(key, user);
    throw new BusyError(`Cannot sign in: the gateway has clients ${clients}. Try another gateway.`, {
      outcome: "not-applied",
    });
  }

  /** Makes a sign-in, unless too many are in progress. */
  async #counted<T>(remote: string, signIn: () => Promise<T>): Promise<T> {
    const source = sourceOf(remote);
    const ofSource = this.#signIns.get(source) ?? 0;
    if (this.#signInsInAll >= MAX_SIGN_INS || ofSource >= MAX_SIGN_INS_PER_SOURCE) {
      throw new BusyError("Cannot sign in: too many sign-ins wait at the gateway. Try again later.", {
        outcome: "not-applied",
      });
    }
    this.#signInsInAll += 1;
    this.#signIns.set(source, ofSource + 1);
    try {
      return await signIn();
    } finally {
      this.#signInsInAll -= 1;
      const left = (this.#signIns.get(source) ?? 0) - 1;
      if (left > 0) this.#signIns.set(source, left);
      else this.#signIns.delete(source);
    }
  }
}
