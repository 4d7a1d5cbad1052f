/**
 * A model of leases and expiring keys, a map of each, to compare the state machine with. It knows the time of the log
 * alone; lease_times.ts compares that with real time.
 */
import { equals } from "@std/bytes";
import {
  type BranchingTransaction,
  type CommandResult,
  LEASE_LIMITS,
  type LeaseCommand,
  type LeaseLimits,
  MAX_EXPIRED_KEYS,
  type StateMachine,
  type Transaction,
} from "../../../lib/kv/mod.ts";
import { assertNever } from "../../../lib/platform/assert.ts";
import { bytesOfText } from "../../../lib/loadgen/mod.ts";

/** The lease and the time with which a key ends; 0 for none. */
export interface ModelAttachment {
  readonly leaseId: number;
  readonly expiresAtMs: number;
}

/** A lease. */
interface ModelLease {
  readonly ttlMs: number;
  deadlineMs: number;
  /** The user who has granted it, 0 for none; null until that is noted. */
  ownerId: number | null;
  readonly keys: Set<string>;
}

/** The effect of an entry on leases and keys. */
export interface LeaseEffect {
  /** The keys that it deletes, in order. */
  readonly deleted: readonly string[];
  /** The leases that it ends because they are over. */
  readonly over: readonly number[];
  /** The leases that it revokes. */
  readonly revoked: readonly number[];
  /** The leases that it grants or keeps alive, each with its time to live. */
  readonly renewed: readonly (readonly [leaseId: number, ttlMs: number])[];
  /** The reason why its result is wrong; null for a right one. */
  readonly problem: string | null;
}

const NO_EFFECT: LeaseEffect = { deleted: [], over: [], revoked: [], renewed: [], problem: null };
const NOTHING: ModelAttachment = { leaseId: 0, expiresAtMs: 0 };

/** The attachment that a put asks for; "keep": the one that its key has. */
type Attaching = {
  readonly leaseId: number | null | "keep";
  readonly expiresAtMs: number | null | "keep";
};

/** The leases of one log. */
export class LeaseModel {
  readonly #limits: LeaseLimits;
  readonly #leases = new Map<number, ModelLease>();
  readonly #attachments = new Map<string, ModelAttachment>();
  #logTimeMs = 0;

  /** Makes a model without leases. */
  constructor(limits: LeaseLimits = LEASE_LIMITS) {
    this.#limits = limits;
  }

  /** Whether a lease exists. */
  has(leaseId: number): boolean {
    return this.#leases.has(leaseId);
  }

  /** Returns the keys that are attached to a lease. */
  keysOf(leaseId: number): readonly string[] {
    return [...this.#leases.get(leaseId)?.keys ?? []];
  }

  /** Returns the user who has granted a lease; null for none. */
  ownerOf(leaseId: number): number | null {
    return this.#leases.get(leaseId)?.ownerId || null;
  }

  /** Notes the user who has granted a lease, 0 for none; no effect on a lease that was granted before. */
  noteOwner(leaseId: number, userId: number): void {
    const lease = this.#leases.get(leaseId);
    if (lease !== undefined) lease.ownerId ??= userId;
  }

  /** Whether leases exist that are over. */
  get isAnyDue(): boolean {
    return this.#dueLeases().length > 0;
  }

  /** The time of the wall clock at which the next key expires; Infinity without one. */
  get nextExpiresAtMs(): number {
    return Math.min(
      Infinity,
      ...[...this.#attachments.values()].flatMap(({ expiresAtMs }) => expiresAtMs === 0 ? [] : [expiresAtMs]),
    );
  }

  /** Returns what ends a key. */
  attachmentOf(key: string): ModelAttachment {
    return this.#attachments.get(key) ?? NOTHING;
  }

  /**
   * Advances the log's time, and ends the leases that are over: in order, one at least, within the limit of keys, for which
   * a lease counts as one more.
   */
  advance(elapsedMs: number, endedLeases: number): LeaseEffect {
    this.#logTimeMs += elapsedMs;
    const over: number[] = [];
    const deleted: string[] = [];
    for (const [leaseId, { keys }] of this.#dueLeases()) {
      const effort = over.length + deleted.length + 1 + keys.size;
      if (over.length > 0 && effort > this.#limits.maxEndedKeys) break;
      over.push(leaseId);
      deleted.push(...this.#end(leaseId));
    }
    const problem = over.length === endedLeases
      ? null
      : `${endedLeases} leases end at log time ${this.#logTimeMs}, in place of ${over.join(", ") || "none"}`;
    return { ...NO_EFFECT, over, deleted, problem };
  }

  /** Executes a command of leases that is not a repetition. */
  execute(command: LeaseCommand, result: CommandResult): LeaseEffect {
    if (result.kind === "refused") return NO_EFFECT;
    switch (command.kind) {
      case "grantLease": {
        const { leaseId, ttlMs } = command;
        const reason = this.has(leaseId)
          ? "leaseExists"
          : this.#leases.size >= this.#limits.maxLeases
          ? "tooManyLeases"
          : null;
        if (reason !== null) return { ...NO_EFFECT, problem: this.#failureProblem(result, reason) };
        const deadlineMs = this.#logTimeMs + ttlMs;
        this.#leases.set(leaseId, { ttlMs, deadlineMs, ownerId: null, keys: new Set() });
        const isRight = result.kind === "leaseGranted" && result.ttlMs === ttlMs;
        return { ...NO_EFFECT, renewed: [[leaseId, ttlMs]], problem: isRight ? null : wrong(result) };
      }
      case "revokeLease": {
        const { leaseId } = command;
        if (!this.has(leaseId)) {
          return { ...NO_EFFECT, problem: this.#failureProblem(result, "leaseNotFound") };
        }
        const deleted = this.#end(leaseId);
        const isRight = result.kind === "leaseRevoked" && result.deleted === deleted.length;
        return { ...NO_EFFECT, revoked: [leaseId], deleted, problem: isRight ? null : wrong(result) };
      }
      case "keepLeasesAlive":
        return this.#keepAlive(command.leaseIds, result);
      case "deleteExpired": {
        const expired = [...this.#attachments].filter(([, { expiresAtMs }]) =>
          expiresAtMs !== 0 && expiresAtMs <= command.untilMs
        );
        expired.sort(([a, { expiresAtMs: one }], [b, { expiresAtMs: other }]) =>
          one - other || (a < b ? -1 : 1)
        );
        const deleted = expired.slice(0, MAX_EXPIRED_KEYS).map(([key]) => key);
        for (const key of deleted) this.attach(key, null);
        const isRight = result.kind === "expiredDeleted" && result.deleted === deleted.length;
        return { ...NO_EFFECT, deleted, problem: isRight ? null : wrong(result) };
      }
      default:
        return assertNever(command);
    }
  }

  /** Attaches a key that a write has put; null: it has deleted the key. */
  attach(key: string, attaching: Attaching | null): ModelAttachment {
    const before = this.attachmentOf(key);
    const after: ModelAttachment = attaching === null ? NOTHING : {
      leaseId: attaching.leaseId === "keep" ? before.leaseId : attaching.leaseId ?? 0,
      expiresAtMs: attaching.expiresAtMs === "keep" ? before.expiresAtMs : attaching.expiresAtMs ?? 0,
    };
    this.#leases.get(before.leaseId)?.keys.delete(key);
    this.#leases.get(after.leaseId)?.keys.add(key);
    if (after.leaseId === 0 && after.expiresAtMs === 0) this.#attachments.delete(key);
    else this.#attachments.set(key, after);
    return after;
  }

  /** Returns how the leases of a state machine that has applied as many entries differ, or null. */
  difference(machine: StateMachine): string | null {
    if (machine.leaseCount !== this.#leases.size) {
      return `${machine.leaseCount} leases in place of ${this.#leases.size}`;
    }
    for (const [leaseId, { ttlMs, deadlineMs, ownerId, keys }] of this.#leases) {
      const actual = machine.lease(leaseId);
      const isRight = actual?.ttlMs === ttlMs && actual.deadlineMs === deadlineMs &&
        actual.ownerId === ownerId && actual.keyCount === keys.size;
      if (!isRight) {
        return `lease ${leaseId} is ${
          JSON.stringify(actual)
        }, of ${ttlMs} ms until ${deadlineMs} with ${keys.size} keys, granted by ${ownerId}`;
      }
      const sorted = [...keys].sort();
      const { keys: listed } = machine.leaseKeys(leaseId, { after: null, limit: keys.size + 1 });
      const isSame = listed.length === sorted.length &&
        listed.every((key, position) => equals(key, bytesOfText(sorted[position] ?? "")));
      if (!isSame) return `lease ${leaseId} has other keys than ${sorted.join(", ")}`;
    }
    return null;
  }

  #keepAlive(leaseIds: readonly number[], result: CommandResult): LeaseEffect {
    const renewed: [number, number][] = [];
    const ttlsMs = leaseIds.map((leaseId) => {
      const lease = this.#leases.get(leaseId);
      if (lease === undefined) return 0;
      lease.deadlineMs = this.#logTimeMs + lease.ttlMs;
      renewed.push([leaseId, lease.ttlMs]);
      return lease.ttlMs;
    });
    const isRight = result.kind === "leasesKeptAlive" && result.ttlsMs.length === ttlsMs.length &&
      result.ttlsMs.every((ttlMs, position) => ttlMs === ttlsMs[position]);
    return { ...NO_EFFECT, renewed, problem: isRight ? null : wrong(result) };
  }

  /** Returns the leases that are over, in the order of their ends. */
  #dueLeases(): readonly (readonly [number, ModelLease])[] {
    return [...this.#leases].filter(([, { deadlineMs }]) => deadlineMs < this.#logTimeMs)
      .sort(([a, one], [b, other]) => one.deadlineMs - other.deadlineMs || a - b);
  }

  /** Removes a lease; returns its keys in order. */
  #end(leaseId: number): readonly string[] {
    const keys = [...this.#leases.get(leaseId)?.keys ?? []].sort();
    for (const key of keys) this.attach(key, null);
    this.#leases.delete(leaseId);
    return keys;
  }

  #failureProblem(result: CommandResult, reason: string): string | null {
    return result.kind === "leaseFailed" && result.reason === reason ? null : wrong(result);
  }
}

/**
 * Returns what each put of an executed transaction attaches its key to, in order: one for each change that is not a
 * deletion. Numbers keep what their key has.
 */
export function attachingsOf(
  command: Transaction | BranchingTransaction,
  result: CommandResult,
): readonly Attaching[] {
  if (command.kind === "transaction") {
    return command.mutations.flatMap((mutation): Attaching[] => {
      switch (mutation.kind) {
        case "put":
          return [{ leaseId: null, expiresAtMs: null }];
        case "expiringPut":
          return [mutation];
        case "delete":
          return [];
        default:
          return assertNever(mutation);
      }
    });
  }
  if (result.kind !== "executed" || result.outcomes === "omitted") return [];
  return attachingsOfBranch(result.succeeded ? command.then : command.else, result.outcomes);
}

/** Returns the leases to which a transaction may attach keys. */
export function leaseIdsOf(command: Transaction | BranchingTransaction): readonly number[] {
  return command.kind === "transaction"
    ? command.mutations.flatMap((one) => one.kind === "expiringPut" ? one.leaseId ?? [] : [])
    : leaseIdsOfBranch([...command.then, ...command.else]);
}

function leaseIdsOfBranch(operations: readonly Operation[]): readonly number[] {
  return operations.flatMap((one) => {
    if (one.kind === "transaction") return leaseIdsOfBranch([...one.then, ...one.else]);
    return one.kind === "put" && typeof one.leaseId === "number" ? one.leaseId : [];
  });
}

type Operation = BranchingTransaction["then"][number];
type Outcome = Exclude<Extract<CommandResult, { kind: "executed" }>["outcomes"], "omitted">[number];

function attachingsOfBranch(
  operations: readonly Operation[],
  outcomes: readonly Outcome[],
): readonly Attaching[] {
  return operations.flatMap((operation, position): readonly Attaching[] => {
    switch (operation.kind) {
      case "put":
        return [operation];
      case "sum":
      case "min":
      case "max":
        return [{ leaseId: "keep", expiresAtMs: "keep" }];
      case "transaction": {
        const outcome = outcomes[position];
        if (outcome?.kind !== "transaction") return [];
        return attachingsOfBranch(outcome.succeeded ? operation.then : operation.else, outcome.outcomes);
      }
      case "delete":
      case "get":
        return [];
      default:
        return assertNever(operation);
    }
  });
}

function wrong(result: CommandResult): string {
  return `the result is ${JSON.stringify(result)}`;
}
