/** The users of one node's clients: who they are, what they may do, and the record of it. */
import type { LiveSettings } from "../config/config.ts";
import type { StateMachine } from "../../kv/mod.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Credential } from "../../protocol/messages.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { WatchAccess } from "../watch/connection_watches.ts";
import { Access } from "./access.ts";
import { AuditLog, type AuditWriter } from "./audit_log.ts";
import { ConnectionIdentity, type IdentifiedConnection } from "./connection_identity.ts";
import type { Scrypt } from "./password_checks.ts";
import { SignIns } from "./sign_ins.ts";
import { WatchRights } from "./watch_rights.ts";

/** The options of a node about its users. */
export interface UserOptions {
  readonly clock: Clock;
  /** Returns milliseconds since 1970, by which tokens and certificates expire. */
  readonly wallClock: () => number;
  /** Computes the hashes of passwords. */
  readonly scrypt: Scrypt;
  /** Takes audit lines. */
  readonly audit: AuditWriter;
  /** Whether the writes and administrative requests that are let through have lines. */
  readonly live: Pick<LiveSettings, "auditLog">;
  /** Counts sign-ins; null counts none. */
  readonly metrics: Metrics | null;
}

/** The state by which a node decides. */
export interface AuthenticationState {
  readonly stateMachine: () => StateMachine;
  /** Calls back with whether the state is up to date. */
  readonly whenUpToDate: (answer: (ready: boolean) => void) => void;
}

/** Identifies the clients of one node, and decides about their requests. */
export class Authentication {
  readonly access: Access;
  readonly signIns: SignIns;
  readonly #audit: AuditLog;
  readonly #wallClock: () => number;
  readonly #clients = new Set<ConnectionIdentity>();

  constructor(options: UserOptions, { stateMachine, whenUpToDate }: AuthenticationState) {
    const { clock, wallClock, live } = options;
    this.#wallClock = wallClock;
    const audit = this.#audit = new AuditLog(options.audit, {
      clock,
      recordsAllowed: () => live.auditLog === "on",
    });
    this.access = new Access({ stateMachine, audit });
    this.signIns = new SignIns({ ...options, audit, auth: () => stateMachine().auth, whenUpToDate });
  }

  /** Returns the identity of a connection, and the rights of its watches. */
  identify(
    connection: IdentifiedConnection,
  ): { readonly identity: ConnectionIdentity; readonly access: WatchAccess } {
    const identity = new ConnectionIdentity(connection, { wallClock: this.#wallClock });
    return { identity, access: new WatchRights(this.access, identity) };
  }

  /** Counts the connection of a client until the returned function is called; those of front ends are not counted. */
  count(identity: ConnectionIdentity): () => void {
    if (identity.inProcess === null) this.#clients.add(identity);
    return () => void this.#clients.delete(identity);
  }

  /** Returns the numbers of clients' connections by what names their users at the moment. */
  clients(): Readonly<Record<Credential | "none", number>> {
    const numbers = { password: 0, token: 0, certificate: 0, none: 0 };
    for (const identity of this.#clients) numbers[identity.user(this.access.auth)?.via ?? "none"] += 1;
    return numbers;
  }

  /** Writes the number of audit lines that were left out. */
  close(): void {
    this.#audit.close();
  }
}
