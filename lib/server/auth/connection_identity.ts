/**
 * The user of a client's connection: by its last sign-in, else by its certificate, else none.
 *
 * It is looked up again when the auth revision has changed, so a user that was removed, a password that was changed or a
 * token that was revoked ends it with the next request. In between, a request costs the comparison of two integers.
 */
import type { AuthState, Identity, User, UserRights } from "../../kv/mod.ts";
import { shortened } from "../../platform/errors.ts";
import type { PeerCertificate } from "../../platform/network.ts";
import { authorizedHead } from "../../protocol/command.ts";
import type { Credential } from "../../protocol/messages.ts";
import type { InProcessUse } from "../../transport/in_process.ts";
import { type ErrorAnswer, notApplied } from "../reply.ts";

/** The sign-in of a user on a connection, or its certificate. */
export interface SignIn {
  readonly userId: number;
  /** As in {@link Identity}. */
  readonly credential: number;
  readonly via: Credential;
  /** Wall-clock time from which on it has to sign in again; null: never. */
  readonly expiresAtMs: number | null;
}

/** The user of a connection with its rights, as of one auth revision. */
export interface CurrentUser extends SignIn {
  readonly user: User;
  readonly rights: UserRights;
  /** The identity that is added to commands, and the bytes with which these begin. */
  readonly identity: Identity;
  readonly commandHead: Uint8Array;
}

/** The connection of a client. */
export interface IdentifiedConnection {
  /** The address of its other end. */
  readonly remote: string;
  /** The certificate that its other end has shown. */
  readonly certificate: PeerCertificate | null;
  /** Its use by a front end of this node. Default null: it comes from outside of the process. */
  readonly inProcess?: InProcessUse | null;
}

/** The user of one connection. */
export class ConnectionIdentity {
  readonly remote: string;
  /** The use of the connection by a front end of this node; null for one from outside of the process. */
  readonly inProcess: InProcessUse | null;
  readonly #certificate: PeerCertificate | null;
  readonly #wallClock: () => number;
  #signedIn: SignIn | null = null;
  /** Whether a sign-in that the connection had has ended, or it has no user by its own wish: its certificate does not count. */
  #hasEnded = false;
  #current: CurrentUser | null = null;
  /** The auth revision as of which `#current` was looked up. */
  #revision = -1;

  constructor(
    { remote, certificate, inProcess = null }: IdentifiedConnection,
    { wallClock }: { readonly wallClock: () => number },
  ) {
    this.remote = remote;
    this.inProcess = inProcess;
    this.#certificate = certificate;
    this.#wallClock = wallClock;
  }

  /** Whether the connection is that of this node's front end for Deno KV, which has rights without a user. */
  get isOfDatabases(): boolean {
    return this.inProcess === "databases";
  }

  /** Whether the connection has neither signed in nor shown a certificate, so that it has no user in any state. */
  get isAnonymous(): boolean {
    return this.#signedIn === null && this.#certificate === null;
  }

  /** The common name of its certificate; null without one, or with one that is not valid. */
  get certificateName(): string | null {
    const certificate = this.#certificate;
    return certificate === null || certificate.problem !== null ? null : shortened(certificate.commonName);
  }

  /** Takes a successful sign-in in place of the user that the connection had. */
  signIn(user: SignIn): void {
    this.#signedIn = user;
    this.#hasEnded = false;
    this.#revision = -1;
  }

  /** Takes the user from the connection, also that of its certificate. */
  signOut(): void {
    this.#signedIn = null;
    this.#hasEnded = true;
    this.#revision = -1;
  }

  /** Returns the user in this state, or null without one. */
  user(auth: AuthState): CurrentUser | null {
    if (auth.revision !== this.#revision) {
      this.#current = this.#lookUp(auth);
      this.#revision = auth.revision;
    }
    return this.isOver() ? null : this.#current;
  }

  /** Whether the token or certificate of the user is past its time. */
  isOver(): boolean {
    const expiresAtMs = this.#current?.expiresAtMs ?? null;
    return expiresAtMs !== null && this.#wallClock() >= expiresAtMs;
  }

  /** Returns the refusal of a request of a connection without a user. */
  refusal(): ErrorAnswer {
    const current = this.#current;
    if (current !== null && current.via === "token") {
      return notApplied(
        "tokenExpired",
        `Cannot serve: the token of user ${current.user.name} is expired. Sign in with another.`,
      );
    }
    if (current !== null && current.via === "certificate") {
      return notApplied(
        "unauthenticated",
        `Cannot serve: the certificate of user ${current.user.name} has expired. Connect with a renewed one.`,
      );
    }
    return notApplied(
      "unauthenticated",
      "Cannot serve: this connection has not signed in, or its user or credential was removed. Sign in.",
    );
  }

  #lookUp(auth: AuthState): CurrentUser | null {
    const signedIn = this.#signedIn ?? this.#byCertificate(auth);
    const user = signedIn === null ? null : auth.userById(signedIn.userId);
    if (signedIn === null || user === null || !auth.holds(signedIn)) {
      if (this.#signedIn !== null) this.#hasEnded = true;
      this.#signedIn = null;
      return null;
    }
    const { userId, credential } = signedIn;
    const identity = { userId, credential, authRevision: auth.revision };
    return {
      ...signedIn,
      user,
      rights: auth.rightsOf(userId),
      identity,
      commandHead: authorizedHead(identity),
    };
  }

  /** Returns the user that the certificate names. A later user of the same name is named by it as well. */
  #byCertificate(auth: AuthState): SignIn | null {
    const certificate = this.#certificate;
    if (certificate === null || certificate.problem !== null || this.#hasEnded) return null;
    const user = auth.user(certificate.commonName);
    if (user === null) return null;
    return { userId: user.id, credential: 0, via: "certificate", expiresAtMs: certificate.notAfterMs };
  }
}
