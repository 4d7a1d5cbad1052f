/**
 * The sign-ins of one client: on every connection before it is used, and again when a node asks for it.
 *
 * A node delays sign-ins from an address and for a user after failed ones, so a client with a wrong password must not send
 * it often. A password or token that no node has accepted yet is sent to one node at a time; once one has refused it, it is
 * not sent again for {@link REFUSED_MS}, and calls end with the same error meanwhile. A new secret from the function that
 * returns it is sent at once.
 */
import { assertNever } from "../../platform/assert.ts";
import type { Clock } from "../../platform/clock.ts";
import { errorMessage } from "../../platform/errors.ts";
import { unlessAborted } from "../../platform/promise.ts";
import type { ServerFrame } from "../../protocol/client_frames.ts";
import { HandshakeError } from "../../protocol/errors.ts";
import { nodeName } from "../../protocol/hello.ts";
import type { NodeConnection, RequestEnd, RequestOf } from "../connection.ts";
import { AuthenticationError, type AuthenticationReason, ConnectionError } from "../errors.ts";
import { reasonOf } from "../retry.ts";
import type { Credentials } from "./credentials.ts";
import { checkPassword } from "./input.ts";

/**
 * The longest wait for the answer. After many failures of others at the same address a node takes ten seconds, and
 * passwords of many clients wait for one another.
 */
export const SIGN_IN_TIMEOUT_MS = 15_000;
/** The time for which a refused secret is not sent again: longer than nodes remember a failure. */
export const REFUSED_MS = 90_000;

/** A secret that was refused. */
interface Refusal {
  readonly secret: string;
  readonly error: AuthenticationError;
  readonly until: number;
}

/** Parts of {@link SignIns}. */
export interface SignInsOptions {
  readonly credentials: Credentials;
  readonly clock: Pick<Clock, "now">;
}

/** The sign-ins of one client. */
export class SignIns {
  #credentials: Credentials;
  readonly #clock: Pick<Clock, "now">;
  /** The secret that a node accepted last, and that none has refused since. */
  #accepted: string | null = null;
  #refusal: Refusal | null = null;
  #answer: ServerFrame<"signedIn"> | null = null;
  /** The sign-in with a secret that was not accepted yet; never rejects. */
  #first: Promise<unknown> | null = null;
  /** Sign-ins on connections that had signed in before. */
  readonly #again = new Map<NodeConnection, Promise<void>>();

  /** Signs in nowhere yet. */
  constructor({ credentials, clock }: SignInsOptions) {
    this.#credentials = credentials;
    this.#clock = clock;
  }

  /** The answer to the last sign-in; null before the first. */
  get answer(): ServerFrame<"signedIn"> | null {
    return this.#answer;
  }

  /** Returns the secret to send. Rejects with {@link AuthenticationError} if it was refused lately, or there is none. */
  async secret(): Promise<string> {
    const { secret: source } = this.#credentials;
    const secret = typeof source === "string" ? source : await this.#callSource(source);
    const refusal = this.#refusal;
    if (refusal !== null && refusal.secret === secret && this.#clock.now() < refusal.until) {
      throw refusal.error;
    }
    return secret;
  }

  /** Signs in over a connection. Rejects with {@link AuthenticationError}, or with the reason why there is no answer. */
  async signIn(connection: NodeConnection, signal: AbortSignal): Promise<void> {
    let secret = await this.secret();
    while (secret !== this.#accepted && this.#first !== null) {
      await unlessAborted(this.#first, signal);
      if (signal.aborted) throw new ConnectionError("Cannot sign in: given up.");
      secret = await this.secret();
    }
    const attempt = this.#send(connection, secret, signal);
    if (secret === this.#accepted) return await attempt;
    const first = attempt.catch(() => {}).then(() => {
      if (this.#first === first) this.#first = null;
    });
    this.#first = first;
    await attempt;
  }

  /** Signs in again over a connection whose user a node does not accept any more; all callers share one sign-in. */
  signInAgain(connection: NodeConnection): Promise<void> {
    let again = this.#again.get(connection);
    if (again === undefined) {
      // The token may have expired, or the password was changed: one node is asked before the others.
      this.#accepted = null;
      again = this.signIn(connection, new AbortController().signal).finally(() => {
        this.#again.delete(connection);
      });
      this.#again.set(connection, again);
    }
    return again;
  }

  /** Notes that the user of this client has another password now; one from a function is asked for again anyway. */
  passwordChanged(user: string, password: string): void {
    const { kind, secret } = this.#credentials;
    if (kind !== "password" || this.#credentials.user !== user || typeof secret !== "string") return;
    this.#credentials = { kind, user, secret: password };
  }

  async #callSource(source: () => string | Promise<string>): Promise<string> {
    const what = `the function that returns the ${this.#credentials.kind}`;
    try {
      return checkPassword(await source(), `the result of ${what}`);
    } catch (cause) {
      throw this.#error("noSecret", `${what} failed: ${errorMessage(cause).replace(/\.$/, "")}.`, cause);
    }
  }

  async #send(connection: NodeConnection, secret: string, signal: AbortSignal): Promise<void> {
    const limits = { timeoutMs: SIGN_IN_TIMEOUT_MS, signal };
    const end = await connection.request(this.#request(secret), limits);
    if (end.kind === "answered") {
      this.#accepted = secret;
      this.#refusal = null;
      this.#answer = end.message;
      return;
    }
    const error = this.#errorOf(connection, end);
    if (error instanceof AuthenticationError) {
      if (this.#accepted === secret) this.#accepted = null;
      this.#refusal = { secret, error, until: this.#clock.now() + REFUSED_MS };
    }
    throw error;
  }

  #request(secret: string): RequestOf<"signIn"> {
    const { kind } = this.#credentials;
    switch (kind) {
      case "password":
        return {
          kind: "signIn",
          method: { kind: "password", user: this.#credentials.user, password: secret },
        };
      case "token":
        return { kind: "signIn", method: { kind: "token", token: secret } };
      case "none":
        return { kind: "signIn", method: { kind: "none" } };
      default:
        return assertNever(kind);
    }
  }

  /** Returns the error of a sign-in that was not answered, or refused. */
  #errorOf(
    { node }: NodeConnection,
    end: Exclude<RequestEnd<"signIn">, { readonly kind: "answered" }>,
  ): Error {
    switch (end.kind) {
      case "refused": {
        const { code, message } = end.error;
        if (code === "signInFailed" || code === "tokenExpired") {
          return this.#error(
            code,
            `${nodeName(node)} answered: ${reasonOf(message)}${this.#remedy(code)}`,
            null,
          );
        }
        if (code === "busy") {
          return new HandshakeError("busy", `Cannot sign in at ${nodeName(node)}: ${message}`);
        }
        const reason = code === "unknownKind"
          ? "it runs an older version of kvraft, without users. Upgrade it."
          : message;
        return new ConnectionError(`Cannot sign in at ${nodeName(node)}: ${reason}`);
      }
      case "lost":
        return new ConnectionError(
          `Cannot sign in at ${nodeName(node)}: the connection was lost: ${end.reason}.`,
        );
      case "silent":
        return new ConnectionError(
          `Cannot sign in at ${nodeName(node)}: it did not answer within ${SIGN_IN_TIMEOUT_MS} ms.`,
        );
      case "aborted":
        return new ConnectionError(`Cannot sign in at ${nodeName(node)}: given up.`);
      default:
        return assertNever(end);
    }
  }

  #remedy(reason: "signInFailed" | "tokenExpired"): string {
    if (reason === "tokenExpired") return "";
    const isPassword = this.#credentials.kind === "password";
    return isPassword ? " Check the name and the password." : " Check the token: it may have been revoked.";
  }

  #error(reason: AuthenticationReason, why: string, cause: unknown): AuthenticationError {
    const { kind } = this.#credentials;
    const user = kind === "password" ? this.#credentials.user : null;
    const how = user === null ? "by the token" : `as ${user}`;
    return new AuthenticationError(`Cannot sign in ${how}: ${why}`, {
      reason,
      user,
      ...(cause === null ? {} : { cause }),
    });
  }
}
