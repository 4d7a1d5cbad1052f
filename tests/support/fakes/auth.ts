/** Users, sign-ins and decisions about requests for tests of lib/server. */
import type { PasswordHash, StateMachine } from "../../../lib/kv/mod.ts";
import type { LogFields } from "../../../lib/platform/logger.ts";
import { publicKeyOf, type ScryptParameters, sha256Of } from "../../../lib/platform/secrets.ts";
import { Access } from "../../../lib/server/auth/access.ts";
import { AuditLog, type AuditWriter } from "../../../lib/server/auth/audit_log.ts";
import { ConnectionIdentity } from "../../../lib/server/auth/connection_identity.ts";
import type { Scrypt } from "../../../lib/server/auth/password_checks.ts";
import { SignIns } from "../../../lib/server/auth/sign_ins.ts";
import type { WatchAccess } from "../../../lib/server/watch/connection_watches.ts";
import { ManualClock } from "./manual_clock.ts";

/** Keeps audit lines. */
export class RecordingAudit implements AuditWriter {
  readonly lines: { readonly message: string; readonly fields: LogFields }[] = [];

  record(message: string, fields: LogFields): void {
    this.lines.push({ message, fields });
  }
}

/** Hashes without work, as {@link hashOf} does for the users of a test. */
export const quickScrypt: Scrypt = (password, parameters) => Promise.resolve(hashOf(password, parameters));

/** Returns a hash of a password and its salt in place of scrypt. */
export function hashOf(password: string, { salt }: Pick<ScryptParameters, "salt">): Uint8Array {
  return sha256Of(`${salt.toHex()} ${password}`);
}

/** Returns the stored form of a password that {@link quickScrypt} recognizes. */
export function passwordHash(password: string): PasswordHash {
  const salt = new Uint8Array(16).fill(7);
  return {
    algorithm: "scrypt",
    cost: 32_768,
    blockSize: 8,
    parallelism: 1,
    salt,
    hash: publicKeyOf(hashOf(password, { salt })),
  };
}

/** Returns sign-ins by a state that is never confirmed to be up to date. */
export function noSignIns(stateMachine: () => StateMachine): SignIns {
  return new SignIns({
    auth: () => stateMachine().auth,
    whenUpToDate: (answer) => answer(false),
    clock: new ManualClock(),
    wallClock: () => 0,
    scrypt: quickScrypt,
    audit: auditWithoutLines(),
    metrics: null,
  });
}

function auditWithoutLines(): AuditLog {
  return new AuditLog(new RecordingAudit(), { clock: new ManualClock(), recordsAllowed: () => false });
}

/** Returns the decisions by a state, without audit lines. */
export function accessTo(stateMachine: () => StateMachine): Access {
  return new Access({ stateMachine, audit: auditWithoutLines() });
}

/** Returns the identity of a connection that has not signed in. */
export function withoutSignIn(): ConnectionIdentity {
  return new ConnectionIdentity({ remote: "127.0.0.1:5000", certificate: null }, { wallClock: () => 0 });
}

/** The rights of a connection's watches while authentication is off. */
export const NO_WATCH_RIGHTS: WatchAccess = {
  revision: 0,
  isOver: false,
  isInProcess: false,
  refusal: () => null,
  mayRead: () => true,
};
