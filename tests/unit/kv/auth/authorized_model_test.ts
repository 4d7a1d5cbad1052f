/** Properties of every log with users: no command has an effect that its user does not have the right to. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type AuthChange,
  type Command,
  type CommandResult,
  type Grant,
  type OperationOutcome,
  type PlainCommand,
  type Transaction,
  unwrapped,
} from "../../../../lib/kv/mod.ts";
import { StateMachine } from "../../../../lib/kv/state_machine.ts";
import { anyKey, anyLog } from "../random_log.ts";
import { query } from "../support.ts";
import { NaiveAuth } from "./naive_auth.ts";
import { anyChange, anyGrant, AuthReplica, PASSWORD, wrapped } from "./support.ts";

/** How the next command of a log is given, or a change of users in its place. */
type Step =
  | { readonly kind: "user"; readonly name: "ann" | "bob" | "root"; readonly missing: number }
  | { readonly kind: "unwrapped" }
  | { readonly kind: "change"; readonly change: AuthChange };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("user" as const),
      name: fc.constantFrom("ann" as const, "bob" as const, "root" as const),
      missing: fc.constantFrom(0, 1, 1, 2),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "unwrapped" } as const) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("change" as const), change: anyChange() }) },
);

const anyGrants: fc.Arbitrary<readonly Grant[]> = fc.array(
  fc.oneof(
    anyGrant(),
    anyKey.map((key): Grant => ({ right: "write", keys: { kind: "range", start: key, end: null } })),
    anyKey.map((key): Grant => ({
      right: "read",
      keys: { kind: "range", start: new Uint8Array(0), end: key },
    })),
  ),
  { maxLength: 4 },
);

/** A lease to which a transaction attaches keys. */
interface NamedLease {
  readonly keys: readonly Uint8Array[];
  /** The user who has granted it, or null. */
  readonly owner: number | null;
}

/** A state machine with users, and the model of its users. */
class Scene {
  readonly replica = new AuthReplica();
  readonly model = new NaiveAuth();
  /** The users who have granted the leases. */
  readonly #owners = new Map<number, number>();

  constructor(grants: readonly Grant[]) {
    this.change({ kind: "addUser", user: "ann", password: PASSWORD });
    this.change({ kind: "addUser", user: "bob", password: PASSWORD });
    this.change({ kind: "addRole", role: "reader" });
    for (const grant of grants) this.change({ kind: "addGrant", role: "reader", grant });
    this.change({ kind: "grantRole", user: "ann", role: "reader" });
    this.change({ kind: "addUser", user: "root", password: PASSWORD });
    this.change({ kind: "grantRole", user: "root", role: "root" });
    this.change({ kind: "setEnabled", enabled: true });
  }

  /** Changes users, which a user with the role root may: through the state, since the user root may be removed. */
  change(change: AuthChange): void {
    assertEquals(this.replica.machine.auth.change(change), this.model.change(change));
  }

  /** Applies a command, and checks its effects. */
  apply(command: Command): CommandResult {
    const before = this.#keys();
    const leases = this.#leasesOf(command);
    const result = this.#applied(command);
    if (!this.model.enabled) return result;
    if (command.kind !== "authorized") {
      if (command.kind === "transaction") {
        assertEquals(result, { kind: "refused", reason: "unauthenticated" });
      }
      return result;
    }
    const { identity } = command;
    const isStale = identity.authRevision !== this.model.revision;
    if (isStale && !this.model.holds(identity)) {
      assertEquals(result, { kind: "refused", reason: "unauthenticated" });
    }
    if (isStale || command.command.kind === "revokeLease") {
      const changed = this.#changedSince(before);
      for (const key of changed) assert(this.model.allows(identity.userId, "write", key), "a right to write");
      for (const key of keysIn(result)) {
        assert(this.model.allows(identity.userId, "read", key), "a right to read");
      }
    }
    if (command.command.kind === "transaction" && isStale && this.model.holds(identity)) {
      const isAllowed = this.#allows(identity.userId, command.command, leases);
      assertEquals(result.kind === "refused" && result.reason === "permissionDenied", !isAllowed);
    }
    return result;
  }

  /** Whether a user has every right that a transaction needs. */
  #allows(userId: number, { checks, mutations }: Transaction, leases: readonly NamedLease[]): boolean {
    if (checks.length + mutations.length === 0) return this.model.allowsAny(userId, "write");
    return checks.every(({ key }) => this.model.allows(userId, "read", key)) &&
      mutations.every(({ key }) => this.model.allows(userId, "write", key)) &&
      leases.every((lease) => this.#allowsLease(userId, lease));
  }

  #allowsLease(userId: number, { keys, owner }: NamedLease): boolean {
    if (keys.length > 0) return keys.every((key) => this.model.allows(userId, "write", key));
    const { auth } = this.replica.machine;
    return owner === null || owner === userId || auth.rightsOf(userId).allowsAll("write");
  }

  /** The leases to which a transaction attaches keys. */
  #leasesOf(command: Command): readonly NamedLease[] {
    if (command.kind !== "authorized" || command.command.kind !== "transaction") return [];
    const { machine } = this.replica;
    return command.command.mutations.flatMap((mutation) => {
      if (mutation.kind !== "expiringPut" || mutation.leaseId === null) return [];
      const { leaseId } = mutation;
      const { keys } = machine.leaseKeys(leaseId, { after: null, limit: 100 });
      const owner = machine.lease(leaseId) === null ? null : this.#owners.get(leaseId) ?? null;
      return [{ keys, owner }];
    });
  }

  /** Applies a command, and notes who has granted a lease by it. */
  #applied(command: Command): CommandResult {
    const { machine } = this.replica;
    const plain = unwrapped(command);
    if (plain.kind !== "grantLease" || machine.lease(plain.leaseId) !== null) {
      return this.replica.apply(command);
    }
    const result = this.replica.apply(command);
    if (machine.lease(plain.leaseId) === null) return result;
    if (this.model.enabled && command.kind === "authorized") {
      this.#owners.set(plain.leaseId, command.identity.userId);
    } else this.#owners.delete(plain.leaseId);
    return result;
  }

  #keys(): ReadonlyMap<string, number> {
    const { entries } = this.replica.machine.list(query());
    return new Map(entries.map(({ key, modRevision }) => [key.toHex(), modRevision]));
  }

  #changedSince(before: ReadonlyMap<string, number>): readonly Uint8Array[] {
    const after = this.#keys();
    return [...new Set([...before.keys(), ...after.keys()])]
      .filter((key) => before.get(key) !== after.get(key))
      .map((key) => Uint8Array.fromHex(key));
  }
}

/** The keys whose values are in a result. */
function keysIn(result: CommandResult): readonly Uint8Array[] {
  if (result.kind === "checksFailed" && typeof result.current === "object" && result.current !== null) {
    return [result.current.key];
  }
  return result.kind === "executed" && result.outcomes !== "omitted" ? keysInOutcomes(result.outcomes) : [];
}

function keysInOutcomes(outcomes: readonly OperationOutcome[]): readonly Uint8Array[] {
  return outcomes.flatMap((outcome) => {
    switch (outcome.kind) {
      case "put":
        return typeof outcome.previous === "object" && outcome.previous !== null
          ? [outcome.previous.key]
          : [];
      case "delete":
        return outcome.previous.map(({ key }) => key);
      case "get":
        return outcome.entries.map(({ key }) => key);
      case "transaction":
        return keysInOutcomes(outcome.outcomes);
    }
  });
}

function plain(command: Command | null): PlainCommand | null {
  return command === null || command.kind === "authorized" ? null : command;
}

const anySteps = fc.array(anyStep, { minLength: 70, maxLength: 70 });

Deno.test("StateMachine: no command changes or returns keys without a right, and none is denied that has all", () => {
  let denied = 0;
  let done = 0;
  fc.assert(
    fc.property(anyLog, anySteps, anyGrants, (log, steps, grants) => {
      const scene = new Scene(grants);
      for (const [position, entry] of log.entries()) {
        const [command, step] = [plain(entry), steps[position]];
        if (command === null || step === undefined) continue;
        if (step.kind === "change") {
          scene.change(step.change);
        } else if (step.kind === "unwrapped") {
          scene.apply(command);
        } else {
          const identity = scene.replica.identity(step.name);
          const result = scene.apply(
            wrapped(identity, command, Math.min(step.missing, identity.authRevision)),
          );
          if (result.kind === "refused" && result.reason === "permissionDenied") denied += 1;
          if (result.kind === "applied" || result.kind === "executed") done += 1;
        }
      }
    }),
    { numRuns: 1_000 },
  );
  assert(denied > 1_000 && done > 1_000, `the logs reach both: ${denied} denied, ${done} done`);
});

Deno.test("StateMachine: a node that was restored in between decides about every user alike", () => {
  fc.assert(
    fc.property(anyLog, anySteps, anyGrants, fc.nat(69), (log, steps, grants, restoredAt) => {
      const scene = new Scene(grants);
      let other: StateMachine | null = null;
      for (const [position, entry] of log.entries()) {
        const [command, step] = [plain(entry), steps[position]];
        if (position === restoredAt) other = StateMachine.restore(scene.replica.records());
        if (command === null || step === undefined) continue;
        if (step.kind === "change") {
          scene.change(step.change);
          other?.auth.change(step.change);
          continue;
        }
        const { machine } = scene.replica;
        const identity = scene.replica.identity(step.kind === "user" ? step.name : "root");
        const missing = step.kind === "user" ? Math.min(step.missing, identity.authRevision) : 0;
        const next = step.kind === "user" ? wrapped(identity, command, missing) : command;
        const result = machine.apply(machine.appliedIndex + 1, next);
        if (other !== null) assertEquals(other.apply(other.appliedIndex + 1, next), result);
      }
      if (other !== null) assertEquals([...other.snapshot().records()], scene.replica.records());
    }),
    { numRuns: 500 },
  );
});
