/** Users, roles and grants of the tests. */
import fc from "fast-check";
import {
  type AuthChange,
  type AuthorizedCommand,
  type CommandResult,
  type Grant,
  type Identity,
  type PasswordHash,
  type PlainCommand,
  prefixEnd,
  type Right,
} from "../../../../lib/kv/mod.ts";
import { record } from "../../../support/frames/arbitraries.ts";
import { bytes, Replica } from "../support.ts";

/** A valid hash of a password. */
export const PASSWORD: PasswordHash = {
  algorithm: "scrypt",
  cost: 2 ** 15,
  blockSize: 8,
  parallelism: 1,
  salt: new Uint8Array(16).fill(1),
  hash: new Uint8Array(32).fill(2),
};

/** The hash of a token. */
export function tokenHash(number: number): Uint8Array {
  return new Uint8Array(32).fill(number);
}

/** A right over all keys with a prefix. */
export function onPrefix(right: Right, prefix: string): Grant {
  const start = bytes(prefix);
  return { right, keys: { kind: "range", start, end: prefixEnd(start) } };
}

/** A state machine at feature level 2 with users. */
export class AuthReplica extends Replica {
  constructor() {
    super();
    this.apply({ kind: "raiseFeatureLevel", level: 2 });
  }

  /** Changes users as the user root, once authentication is enabled. */
  change(change: AuthChange): CommandResult {
    const { auth } = this.machine;
    const command: PlainCommand = { kind: "changeAuth", session: null, change };
    return auth.enabled ? this.as("root", command) : this.apply(command);
  }

  /** Adds a user with one role of these grants. */
  addUser(user: string, ...grants: readonly Grant[]): void {
    this.change({ kind: "addUser", user, password: PASSWORD });
    this.change({ kind: "addRole", role: user });
    for (const grant of grants) this.change({ kind: "addGrant", role: user, grant });
    this.change({ kind: "grantRole", user, role: user });
  }

  /** Adds the user root and enables authentication. */
  enable(): void {
    this.change({ kind: "addUser", user: "root", password: PASSWORD });
    this.change({ kind: "grantRole", user: "root", role: "root" });
    this.change({ kind: "setEnabled", enabled: true });
  }

  /** The identity of a user by its password, checked by the present state. */
  identity(name: string): Identity {
    const { auth } = this.machine;
    const user = auth.user(name);
    return { userId: user?.id ?? 1, credential: user?.passwordRevision ?? 1, authRevision: auth.revision };
  }

  /** Applies a command of a user, as a node wraps it whose state has all changes but the last `missing`. */
  as(
    name: string,
    command: PlainCommand,
    { missing = 0 }: { readonly missing?: number } = {},
  ): CommandResult {
    return this.apply(wrapped(this.identity(name), command, missing));
  }
}

/** A command with an identity that was established so many changes ago. */
export function wrapped(identity: Identity, command: PlainCommand, missing = 0): AuthorizedCommand {
  return {
    kind: "authorized",
    identity: { ...identity, authRevision: identity.authRevision - missing },
    command,
  };
}

/** Keys of up to two bytes, of few different ones. */
export function anyKey(minLength = 1): fc.Arbitrary<Uint8Array> {
  return fc.array(fc.constantFrom(0, 1, 2, 255), { minLength, maxLength: 2 }).map((array) =>
    Uint8Array.from(array)
  );
}

/** A key or a range with keys. */
export function anyKeys(): fc.Arbitrary<Grant["keys"]> {
  const end = fc.option(anyKey(1), { nil: null });
  return fc.oneof(
    anyKey().map((key): Grant["keys"] => ({ kind: "key", key })),
    fc.tuple(anyKey(0), end)
      .filter(([from, to]) => to === null || from.toHex() < to.toHex())
      .map(([start, to]): Grant["keys"] => ({ kind: "range", start, end: to })),
  );
}

/** A grant. */
export function anyGrant(): fc.Arbitrary<Grant> {
  const right = fc.constantFrom<Right>("read", "write", "admin");
  return record({ right, keys: anyKeys() });
}

/** A change among few names, so that changes meet. */
export function anyChange(): fc.Arbitrary<AuthChange> {
  const user = fc.constantFrom("ann", "bob", "root");
  const role = fc.constantFrom("root", "reader", "writer");
  const password = fc.constantFrom(PASSWORD, null);
  const token = fc.constantFrom("laptop", "job");
  return fc.oneof<fc.Arbitrary<AuthChange>[]>(
    record({ kind: fc.constant("setEnabled"), enabled: fc.boolean() }),
    record({ kind: fc.constant("addUser"), user, password }),
    record({ kind: fc.constant("setPassword"), user, password }),
    record({ kind: fc.constant("removeUser"), user }),
    record({ kind: fc.constant("grantRole"), user, role }),
    record({ kind: fc.constant("revokeRole"), user, role }),
    record({
      kind: fc.constant("addToken"),
      user,
      token,
      hash: fc.integer({ min: 1, max: 5 }).map(tokenHash),
      expiresAtMs: fc.option(fc.integer({ min: 1 }), { nil: null }),
    }),
    record({ kind: fc.constant("revokeToken"), user, token }),
    record({ kind: fc.constant("addRole"), role }),
    record({ kind: fc.constant("removeRole"), role }),
    record({ kind: fc.constant("addGrant"), role, grant: anyGrant() }),
    record({ kind: fc.constant("removeGrant"), role, grant: anyGrant() }),
  );
}
