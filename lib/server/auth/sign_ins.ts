/**
 * Signs clients in, by password, by token, or by the ticket of an earlier sign-in by password.
 *
 * A failed attempt tells nothing but that it failed: an unknown user, a wrong password and an unknown token have the same
 * answer, and the first two take the same work. It delays the next attempts of the same address and for the same user
 * (failure_delays.ts), except by a token that is known. Before an attempt fails, the node waits until its state is up to date and looks again, so that a
 * user or token that was just added is known on every node.
 */
import type { AuthState } from "../../kv/mod.ts";
import { sourceOf } from "../../platform/address.ts";
import { assertNever } from "../../platform/assert.ts";
import type { Clock } from "../../platform/clock.ts";
import { sha256Of } from "../../platform/secrets.ts";
import type { RequestFrame } from "../../protocol/client_frames.ts";
import { readTicket, type SignedTicket } from "../../protocol/ticket.ts";
import type { Metrics, SignInResult } from "../metrics/metrics.ts";
import { type ErrorAnswer, notApplied, type Reply } from "../reply.ts";
import type { AuditLog } from "./audit_log.ts";
import type { ConnectionIdentity, SignIn } from "./connection_identity.ts";
import { FailureDelays } from "./failure_delays.ts";
import { PasswordChecks, type Scrypt } from "./password_checks.ts";
import { createTicket, TICKET_LIFE_MS, userOfTicket } from "./tickets.ts";

/**
 * Attempts that may wait at a time, once an attempt of their address has failed; one more is refused as busy. Unknown tokens
 * of an address have places of their own, so that they never take those of passwords.
 */
export const MAX_DELAYED_TOKENS_PER_SOURCE = 4;
export const MAX_DELAYED_PASSWORDS_PER_SOURCE = 16;
/** Passwords for one name that may wait at a time, from one address. */
export const MAX_DELAYED_PASSWORDS_PER_NAME = 2;

/** The connection that signs in. */
export interface SignInClient {
  readonly identity: ConnectionIdentity;
  readonly isClosed: boolean;
  readonly fail: (error: unknown) => void;
  /** Calls `drop` once the connection is closed, unless the returned function is called before. */
  onClosed(drop: () => void): () => void;
  /** Checks again what depends on the user of the connection: it has another one. */
  userChanged(): void;
}

/** The reply to a sign-in. */
export type SignInReply = Pick<Reply, "send" | "refuse" | "drop">;

/** The dependencies of sign-ins. */
export interface SignInsOptions {
  /** Returns the users of the present state. */
  readonly auth: () => AuthState;
  /** Calls back with whether the state is up to date. */
  readonly whenUpToDate: (answer: (ready: boolean) => void) => void;
  readonly clock: Clock;
  /** Returns milliseconds since 1970, by which tokens expire. */
  readonly wallClock: () => number;
  readonly scrypt: Scrypt;
  readonly audit: AuditLog;
  /** Counts sign-ins; null counts none. */
  readonly metrics: Metrics | null;
}

type Method = Exclude<RequestFrame<"signIn">["method"], { readonly kind: "none" }>;

/** The decision of this node's state about an attempt. */
type Finding =
  /** `ticket`: that of a sign-in by password; null for others. */
  | { readonly kind: "user"; readonly user: SignIn; readonly name: string; readonly ticket: string | null }
  | { readonly kind: "expired"; readonly name: string }
  /** `looked`: by what the attempt was decided; the same in a later state gives the same. */
  | { readonly kind: "unknown"; readonly looked: string }
  | { readonly kind: "busy" };

/** The sign-ins of one node. */
export class SignIns {
  readonly #options: SignInsOptions;
  readonly #checks: PasswordChecks;
  readonly #sources: FailureDelays;
  readonly #users: FailureDelays;
  /** Attempts that wait for their delay, by the places that they take ({@link placesOf}). */
  readonly #delayed = new Map<string, number>();
  readonly #signingIn = new WeakSet<SignInClient>();

  constructor(options: SignInsOptions) {
    this.#options = options;
    this.#checks = new PasswordChecks(options.scrypt);
    this.#sources = new FailureDelays(options.clock);
    this.#users = new FailureDelays(options.clock);
  }

  /** Replies to a request once its attempt has ended. A connection makes one attempt at a time. */
  request({ requestId, method }: RequestFrame<"signIn">, reply: SignInReply, client: SignInClient): void {
    if (method.kind === "none") {
      client.identity.signOut();
      client.userChanged();
      return reply.send({ kind: "signedIn", requestId, user: "", expiresAtMs: null, ticket: null });
    }
    if (this.#signingIn.has(client)) {
      const { metrics } = this.#options;
      if (metrics !== null) metrics.signIns.busy += 1;
      return reply.refuse(notApplied("busy", "Cannot sign in: a sign-in on this connection has not ended."));
    }
    this.#signingIn.add(client);
    this.#attempt(method, client).then((finding) => {
      this.#signingIn.delete(client);
      if (client.isClosed) return reply.drop();
      if (finding === "noLeader" || finding.kind !== "user") {
        return reply.refuse(this.#refusal(finding, method, client));
      }
      const { user, name, ticket } = finding;
      client.identity.signIn(user);
      this.#count("ok", client, { user: name, via: user.via });
      client.userChanged();
      const { expiresAtMs } = user;
      reply.send({ kind: "signedIn", requestId, user: name, expiresAtMs, ticket });
    }).catch(client.fail);
  }

  async #attempt(method: Method, client: SignInClient): Promise<Finding | "noLeader"> {
    const source = sourceOf(client.identity.remote);
    const name = nameOf(method);
    // A token cannot be guessed: one that is known does not wait for the failures of others at its address.
    const known = method.kind === "token" ? await this.#look(method, source) : null;
    if (known !== null && known.kind !== "unknown") return this.#ended(known, source, name);
    if (!await this.#delay(source, name, client)) return { kind: "busy" };
    const first = await this.#look(method, source);
    if (first.kind !== "unknown") return this.#ended(first, source, name);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#options.whenUpToDate(resolve);
    if (!await promise) {
      // It counts, or a node that is cut off from the leader would check passwords as fast as it can.
      this.#ended(first, source, name);
      return "noLeader";
    }
    const changed = this.#lookedOf(method) !== first.looked;
    return this.#ended(changed ? await this.#look(method, source) : first, source, name);
  }

  /** Notes the end of an attempt for the delays of later ones. */
  #ended(finding: Finding, source: string, name: string | null): Finding {
    if (finding.kind === "user" && name !== null) this.#users.forget(name);
    if (finding.kind !== "unknown") return finding;
    this.#sources.failed(source);
    if (name !== null) this.#users.failed(name);
    return finding;
  }

  /** Waits after earlier failures; resolves to false if too many attempts of the address, or of it for the name, wait. */
  async #delay(source: string, name: string | null, client: SignInClient): Promise<boolean> {
    const ofUser = name === null ? 0 : this.#users.delayMs(name);
    const ofSource = this.#sources.delayMs(source);
    const delayMs = Math.max(ofUser, ofSource);
    if (delayMs === 0) return true;
    const places = placesOf(source, name);
    if (ofSource > 0 && places.some(({ key, max }) => this.#delayedOf(key) >= max)) return false;
    for (const { key } of places) this.#delayed.set(key, this.#delayedOf(key) + 1);
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(delayMs, () => {
        forget();
        resolve();
      });
      const forget = client.onClosed(() => {
        timer.cancel();
        resolve();
      });
    });
    for (const { key } of places) {
      const left = this.#delayedOf(key) - 1;
      if (left > 0) this.#delayed.set(key, left);
      else this.#delayed.delete(key);
    }
    // The password of a connection that is closed is not worth the work.
    return !client.isClosed;
  }

  #delayedOf(key: string): number {
    return this.#delayed.get(key) ?? 0;
  }

  /** Looks an attempt up in the present state. */
  async #look(method: Method, source: string): Promise<Finding> {
    const { auth, wallClock } = this.#options;
    const looked = this.#lookedOf(method);
    switch (method.kind) {
      case "password": {
        const before = auth().user(method.user);
        const checked = await this.#checks.check(method.password, before?.password ?? null, source);
        if (checked.kind === "busy") return checked;
        // The password may have been changed while its hash was computed.
        const now = auth().user(method.user);
        if (checked.kind === "wrong" || now === null || this.#lookedOf(method) !== looked) {
          return { kind: "unknown", looked };
        }
        const { id: userId, passwordRevision: credential, name } = now;
        const ticket = createTicket(now, checked.seed, wallClock());
        return {
          kind: "user",
          user: { userId, credential, via: "password", expiresAtMs: null },
          name,
          ticket,
        };
      }
      case "token": {
        const ticket = readTicket(method.token);
        if (ticket !== null) return this.#lookTicket(ticket, looked);
        const token = auth().tokenByHash(sha256Of(method.token));
        const user = token === null ? null : auth().userById(token.userId);
        if (token === null || user === null) return { kind: "unknown", looked };
        const { userId, credential, expiresAtMs } = token;
        if (expiresAtMs !== null && expiresAtMs <= wallClock()) return { kind: "expired", name: user.name };
        return {
          kind: "user",
          user: { userId, credential, via: "token", expiresAtMs },
          name: user.name,
          ticket: null,
        };
      }
      default:
        return assertNever(method);
    }
  }

  #lookTicket(ticket: SignedTicket, looked: string): Finding {
    const { auth, wallClock } = this.#options;
    const user = userOfTicket(ticket, auth());
    if (user === null) return { kind: "unknown", looked };
    const { id: userId, passwordRevision: credential, name } = user;
    if (wallClock() >= ticket.issuedAtMs + TICKET_LIFE_MS) return { kind: "expired", name };
    return {
      kind: "user",
      user: { userId, credential, via: "password", expiresAtMs: null },
      name,
      ticket: null,
    };
  }

  /** Returns by what the present state decides about an attempt: for a password a change of it, else any change. */
  #lookedOf(method: Method): string {
    const auth = this.#options.auth();
    if (method.kind === "token") return String(auth.revision);
    const user = auth.user(method.user);
    return user === null || user.password === null ? "none" : `${user.id}/${user.passwordRevision}`;
  }

  #refusal(finding: Finding | "noLeader", method: Method, client: SignInClient): ErrorAnswer {
    const { auth } = this.#options;
    // What is typed as a name may be a password: only names of users are written.
    const typed = nameOf(method);
    const user = typed === null ? null : auth().user(typed)?.name ?? null;
    const via = method.kind;
    if (finding === "noLeader") {
      this.#count("noLeader", client, { user, via });
      return notApplied(
        "noLeader",
        "Cannot sign in: no leader has confirmed that this node knows all users. Try again.",
      );
    }
    switch (finding.kind) {
      case "expired":
        this.#count("tokenExpired", client, { user: finding.name, via });
        return notApplied("tokenExpired", "Cannot sign in: the token is expired. Make another.");
      case "busy":
        this.#count("busy", client, { user, via });
        return notApplied("busy", "Cannot sign in: too many sign-ins wait. Try again later.");
      case "unknown":
      case "user":
        this.#count("failed", client, { user, via });
        return signInFailed();
      default:
        return assertNever(finding);
    }
  }

  #count(
    result: SignInResult,
    { identity: { remote } }: SignInClient,
    attempt: { readonly user: string | null; readonly via: string },
  ): void {
    const { metrics, audit } = this.#options;
    if (metrics !== null) metrics.signIns[result] += 1;
    audit.signIn({ ...attempt, remote }, result);
  }
}

/** Returns the name that an attempt is for; null for a token. */
function nameOf(method: Method): string | null {
  return method.kind === "password" ? method.user : null;
}

/** Returns the kinds of places that a waiting attempt takes, each with the number of them. */
function placesOf(
  source: string,
  name: string | null,
): readonly { readonly key: string; readonly max: number }[] {
  if (name === null) return [{ key: `tokens ${source}`, max: MAX_DELAYED_TOKENS_PER_SOURCE }];
  return [
    { key: `passwords ${source}`, max: MAX_DELAYED_PASSWORDS_PER_SOURCE },
    { key: `name ${source} ${name}`, max: MAX_DELAYED_PASSWORDS_PER_NAME },
  ];
}

function signInFailed(): ErrorAnswer {
  return notApplied(
    "signInFailed",
    "Cannot sign in: the user or the password is wrong, or the token is unknown.",
  );
}
