/**
 * The users of requests for pages, each of which brings its password (`Authorization: Basic`) or token (`Bearer`) along.
 *
 * A sign-in costs a hash that is slow on purpose. So an `Authorization` that was right is remembered by its SHA-256, with the
 * user that it has; as on a connection, that user ends when it is removed, or its password or token is.
 */
import { type AuthState, MAX_AUTH_NAME_CHARACTERS, MAX_SECRET_CHARACTERS } from "../../kv/mod.ts";
import { sha256Of } from "../../platform/secrets.ts";
import type { RequestFrame } from "../../protocol/client_frames.ts";
import type { ErrorAnswer } from "../reply.ts";
import type { Authentication } from "./authentication.ts";
import type { ConnectionIdentity } from "./connection_identity.ts";

/** Sign-ins that are remembered; the one that was used longest ago is forgotten for another. */
const MAX_REMEMBERED = 64;
const CREDENTIALS = /^(basic|bearer) +([!-~]+)$/i;

type Method = RequestFrame<"signIn">["method"];

/** The user who asks for a page. */
export interface Visitor {
  /** Whether the request, or the stream that is its answer, is still one of a user who may see it. */
  readonly isAllowed: () => boolean;
}

/** A request without a user who may see the page. `kind`: whether other credentials would help, or trying again. */
export interface VisitorRefusal {
  readonly kind: "unauthenticated" | "unavailable";
  readonly message: string;
}

/** The part of a request that says who asks. */
export interface VisitorRequest {
  /** The address of the other end. */
  readonly remote: string;
  /** The header `Authorization`; null without one. */
  readonly authorization: string | null;
}

/** The users of one node's pages. */
export class WebUsers {
  readonly #authentication: Authentication;
  /** By SHA-256 of what they sent; the one that was used longest ago is first. */
  readonly #remembered = new Map<string, ConnectionIdentity>();

  constructor(authentication: Authentication) {
    this.#authentication = authentication;
  }

  /** Resolves to the visitor of a request, or to the reason why it may not see the page. */
  async identify(request: VisitorRequest): Promise<Visitor | VisitorRefusal> {
    if (!this.#auth.enabled) return { isAllowed: () => !this.#auth.enabled };
    const method = methodOf(request.authorization);
    if (method === null) {
      return { kind: "unauthenticated", message: "Cannot show this page: it needs a user. Sign in." };
    }
    const key = sha256Of(request.authorization ?? "").toHex();
    const known = this.#remembered.get(key);
    if (known !== undefined && known.user(this.#auth) !== null) {
      this.#remember(key, known);
      return this.#visitor(known);
    }
    const { identity } = this.#authentication.identify({ remote: request.remote, certificate: null });
    const refusal = await this.#signIn(method, identity);
    if (refusal !== null) {
      const { code, message } = refusal;
      const mayTryAgain = code === "busy" || code === "noLeader";
      return { kind: mayTryAgain ? "unavailable" : "unauthenticated", message };
    }
    this.#remember(key, identity);
    return this.#visitor(identity);
  }

  get #auth(): AuthState {
    return this.#authentication.access.auth;
  }

  #visitor(identity: ConnectionIdentity): Visitor {
    return { isAllowed: () => !this.#auth.enabled || identity.user(this.#auth) !== null };
  }

  #remember(key: string, identity: ConnectionIdentity): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, identity);
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > MAX_REMEMBERED && oldest !== undefined) this.#remembered.delete(oldest);
  }

  /** Signs in; resolves to null, or to the refusal. */
  #signIn(method: Method, identity: ConnectionIdentity): Promise<ErrorAnswer | null> {
    const { promise, resolve, reject } = Promise.withResolvers<ErrorAnswer | null>();
    this.#authentication.signIns.request({ kind: "signIn", requestId: 1, method }, {
      send: () => resolve(null),
      refuse: resolve,
      drop: () => reject(new Error("the client of a page has no connection that closes")),
    }, { identity, isClosed: false, fail: reject, onClosed: () => () => {}, userChanged: () => {} });
    return promise;
  }
}

/** Returns the sign-in that a header asks for; null if it asks for none that there is. */
function methodOf(authorization: string | null): Method | null {
  const [, scheme = "", value = ""] = CREDENTIALS.exec(authorization ?? "") ?? [];
  if (scheme.toLowerCase() === "bearer") {
    return value.length > MAX_SECRET_CHARACTERS ? null : { kind: "token", token: value };
  }
  if (scheme.toLowerCase() !== "basic") return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.fromBase64(value),
    );
    const colon = text.indexOf(":");
    const [user, password] = [text.slice(0, Math.max(0, colon)), text.slice(colon + 1)];
    const isTooLong = user.length > MAX_AUTH_NAME_CHARACTERS || password.length > MAX_SECRET_CHARACTERS;
    return colon < 0 || isTooLong ? null : { kind: "password", user, password };
  } catch {
    return null; // not Base64, or not UTF-8
  }
}
