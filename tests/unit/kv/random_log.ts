/**
 * Logs from unreliable clients: these pipeline, retry, give up and start over; entries are repeated
 * long after they were answered; time passes, and leases end; stamps occur that no client of ours would make.
 */
import fc from "fast-check";
import type { BranchingTransaction } from "../../../lib/kv/branching_command.ts";
import type { Check, Command, Mutation, SessionStamp, Transaction } from "../../../lib/kv/command.ts";
import type { GrantLease, RevokeLease } from "../../../lib/kv/leases/lease_command.ts";
import { MAX_ELAPSED_MS, MAX_SESSION_WINDOW } from "../../../lib/kv/command.ts";
import { anyBranches } from "./any_branches.ts";
import { bytes } from "./support.ts";

/** The next step of a run; {@link logOf} turns it into an entry. */
type Step =
  /** A client's next write. */
  | { readonly kind: "write"; readonly client: number; readonly work: Work }
  /** An entry that was in the log before, again: the newest when `back` is 0, modulo the log's length. */
  | { readonly kind: "replay"; readonly back: number }
  /** A client has the answers to some more of its writes. */
  | { readonly kind: "acknowledge"; readonly client: number; readonly count: number }
  /** A client starts over with another session, opened at an index that lies `lag` behind. */
  | { readonly kind: "renew"; readonly client: number; readonly lag: number }
  /** Any command at all. */
  | { readonly kind: "other"; readonly command: Command | null };

/** A transaction without its stamp. */
type Work =
  | Omit<Transaction, "session">
  | Omit<BranchingTransaction, "session">
  | Omit<GrantLease, "session">
  | Omit<RevokeLease, "session">;

/** Few keys, so that writes collide; among them some that test ordering, prefixes and property names. */
export const anyKey: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.constantFrom("a", "ab", "b", "__proto__", "constructor").map(bytes),
  fc.array(fc.constantFrom(0, 1, 97, 127, 128, 254, 255), { minLength: 1, maxLength: 3 }).map((b) =>
    Uint8Array.from(b)
  ),
);

const anyValue: fc.Arbitrary<Uint8Array> = fc.constantFrom("", "1", "2", "a longer value").map(bytes);

const anyCheck: fc.Arbitrary<Check> = fc.oneof(
  fc.record({ kind: fc.constant("modRevision"), key: anyKey, modRevision: fc.nat(12) }),
  fc.record({ kind: fc.constant("exists"), key: anyKey, exists: fc.boolean() }),
  fc.record({ kind: fc.constant("value"), key: anyKey, value: anyValue }),
);

const anyLeaseId = fc.constantFrom(1, 2, 3);

const anyMutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("put"), key: anyKey, value: anyValue }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete"), key: anyKey }) },
  {
    weight: 2,
    arbitrary: fc.oneof(
      fc.record({ leaseId: anyLeaseId, expiresAtMs: fc.constant(null) }),
      fc.record({ leaseId: fc.option(anyLeaseId), expiresAtMs: fc.integer({ min: 1, max: 9 }) }),
    ).chain((attachment) =>
      fc.record({ kind: fc.constant("expiringPut"), key: anyKey, value: anyValue }).map((put) => ({
        ...put,
        ...attachment,
      }))
    ),
  },
);

const anyWork: fc.Arbitrary<Work> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("transaction"),
      checks: fc.oneof(
        { weight: 2, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(anyCheck, { maxLength: 2 }) },
      ),
      mutations: fc.array(anyMutation, { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: anyBranches.map((branches) => ({ kind: "branchingTransaction" as const, ...branches })),
  },
  {
    weight: 1,
    arbitrary: fc.oneof(
      fc.record({
        kind: fc.constant("grantLease"),
        leaseId: anyLeaseId,
        ttlMs: fc.constantFrom(1_000, 1_020, 2_000, 9_000_000_000_000),
      }),
      fc.record({ kind: fc.constant("revokeLease"), leaseId: anyLeaseId }),
    ),
  },
);

const oddNumber = fc.constantFrom(0, 1, 2, 3, 5, 8, 1.5, -1, NaN, MAX_SESSION_WINDOW, 2 ** 53 - 1, 2 ** 53);

const anyStamp: fc.Arbitrary<SessionStamp> = fc.record({
  sessionId: fc.oneof(fc.integer({ min: 1, max: 4 }), oddNumber),
  sequence: fc.oneof(fc.integer({ min: 1, max: 4 }), oddNumber),
  acknowledgedBelow: fc.oneof(fc.constant(1), oddNumber),
  openedAt: fc.oneof(fc.nat(30), oddNumber),
});

const anyElapsedMs = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(0, 1, 20, 30) },
  { weight: 2, arbitrary: fc.constant(1_000) },
  { weight: 1, arbitrary: fc.constantFrom(-1, 0.5, MAX_ELAPSED_MS, MAX_ELAPSED_MS + 1) },
);

const anyCommand: fc.Arbitrary<Command | null> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("compact"), revision: fc.constantFrom(0, 1, 2, 4, 7, 1.5) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("raiseFeatureLevel"), level: fc.constantFrom(1, 2) }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("expireSessions"), elapsedMs: anyElapsedMs }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("registerSession"),
      sessionId: fc.integer({ min: 1, max: 4 }),
      openedAt: fc.nat(30),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("transaction"),
      session: fc.option(anyStamp),
      checks: fc.array(anyCheck, { maxLength: 2 }),
      mutations: fc.array(anyMutation, { minLength: 1, maxLength: 3 }),
      returnCurrent: fc.constant(true as const),
    }, { requiredKeys: ["kind", "session", "checks", "mutations"] }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("keepLeasesAlive"),
      leaseIds: fc.array(anyLeaseId, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("deleteExpired"), untilMs: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.constant(null) },
);

const client = fc.nat(2);

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("write"), client, work: anyWork }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("replay"), back: fc.nat(20) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("acknowledge"), client, count: fc.nat(3) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("renew"), client, lag: fc.constantFrom(0, 0, 1, 6) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("other"), command: anyCommand }) },
);

/** Logs, entry by entry from index 1. */
export const anyLog: fc.Arbitrary<readonly (Command | null)[]> = fc.array(anyStep, {
  maxLength: 70,
  size: "max",
}).map(logOf);

/** Limits so small that sessions are forgotten for each of the three reasons. */
export const tightLimits = {
  sessionTtlMs: 50,
  maxSessions: 3,
  maxAnswersBytes: 800,
  leaseLimits: { maxLeases: 2, maxLeaseKeys: 3, maxEndedKeys: 4 },
};

/** Returns the entries of three clients' writes and of all other steps. */
function logOf(steps: readonly Step[]): readonly (Command | null)[] {
  const log: (Command | null)[] = [];
  let nextSessionId = 10;
  const newSession = (openedAt: number): SessionStamp => ({
    sessionId: nextSessionId++,
    sequence: 1,
    acknowledgedBelow: 1,
    openedAt: Math.max(0, openedAt),
  });
  const sessions = [newSession(0), newSession(0), newSession(0)];
  const sessionOf = (number: number): SessionStamp => sessions[number] ?? newSession(log.length);
  for (const step of steps) {
    switch (step.kind) {
      case "write": {
        const session = sessionOf(step.client);
        log.push({ session, ...step.work });
        sessions[step.client] = { ...session, sequence: session.sequence + 1 };
        break;
      }
      case "acknowledge": {
        const session = sessionOf(step.client);
        const acknowledgedBelow = Math.min(session.sequence, session.acknowledgedBelow + step.count);
        sessions[step.client] = { ...session, acknowledgedBelow };
        break;
      }
      case "renew":
        sessions[step.client] = newSession(log.length - step.lag);
        break;
      case "replay":
        log.push(log[log.length - 1 - step.back % log.length] ?? null);
        break;
      case "other":
        log.push(step.command);
        break;
    }
  }
  return log;
}
