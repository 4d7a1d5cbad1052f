/** Values that frames carry as encoded bytes, with hostile fields: commands, configurations and their parts. */
import { decode, encode, type ValueType } from "@std/msgpack";
import { MAX_KEEP_ALIVES, MAX_TRANSACTION_OPERATIONS } from "../../../lib/kv/mod.ts";
import { AUTH_CHANGE } from "../../../lib/protocol/auth_command.ts";
import { BRANCHES } from "../../../lib/protocol/branching_command.ts";
import { CHECK, COMMAND, MUTATION } from "../../../lib/protocol/command.ts";
import { DATABASE_WRITE, DATABASES_CHANGE } from "../../../lib/protocol/database_command.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { hostileElement, type Meanings } from "./shapes.ts";
import { address, binary, filled, hostileSize, integer, isHostile, text, trailing } from "./values.ts";

/** Keys that hostile clients write: few, so that their data is bounded. */
const KEYS = 16;
const TEXT = new TextEncoder();
/** The names of users and roles. */
export const USER_NAMES = ["root", "bare", "limited", "operator"] as const;
/** Values of databases: the 64-bit integer 1, and the number 1 in V8's format. */
const U64 = Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0, 0);
const V8_ONE = Uint8Array.of(1, 0xff, 0x0f, 0x49, 0x02);

/** Returns a valid key. */
export function ordinaryKey(random: SeededRandom): Uint8Array {
  return TEXT.encode(`hostile/${random.below(KEYS)}`);
}

/** Returns an encoded command. */
export function command(random: SeededRandom): Uint8Array {
  const kind = random.pick(Object.values(COMMAND.numbers));
  return random.chance(0.1) ? padded(random) : COMMANDS[kind](random);
}

/** The fields of operations that decide whether one has an effect; ranges are among the keys of hostile clients. */
const OPERATION_MEANINGS: Meanings = {
  key: (random) => binary(random, ordinaryKey(random)),
  start: (random) => binary(random, ordinaryKey(random)),
  end: (random) => binary(random, TEXT.encode("hostile0")),
  value: (random) => random.chance(0.1) ? null : binary(random, TEXT.encode("value")),
  operand: (random) => binary(random, new Uint8Array(8)),
  limit: (random) => integer(random, random.pick([1, 100, 10_000])),
};

/** The fields of changes of users that decide whether one has an effect. */
const AUTH_MEANINGS: Meanings = {
  // Enabled, it would refuse the commands of all other clients.
  enabled: () => false,
  user: (random) => text(random, random.pick(USER_NAMES)),
  role: (random) => text(random, random.pick(USER_NAMES)),
};

/** The fields of the commands of databases that decide whether one has an effect. */
const DATABASE_MEANINGS: Meanings = {
  databaseId: (random) => integer(random, random.below(3)),
  credentialId: (random) => integer(random, 0),
  key: (random) => binary(random, ordinaryKey(random)),
  value: (random) => binary(random, random.pick([U64, V8_ONE])),
  minimum: (random) => random.chance(0.7) ? null : binary(random, V8_ONE.subarray(1)),
  maximum: (random) => random.chance(0.7) ? null : binary(random, V8_ONE.subarray(1)),
  name: (random) => isHostile(random) ? "\u202e" : random.pick(["default", "one", "two"]),
  uuid: () => "00000000-0000-4000-8000-000000000000",
};

const COMMANDS: Readonly<
  Record<(typeof COMMAND.numbers)[keyof typeof COMMAND.numbers], (random: SeededRandom) => Uint8Array>
> = {
  [COMMAND.numbers.transaction]: (random) => {
    const operations = isHostile(random)
      ? random.pick([0, MAX_TRANSACTION_OPERATIONS, MAX_TRANSACTION_OPERATIONS + 1, 10_000])
      : 1;
    const mutations = Array.from({ length: operations }, (_, position) => mutation(random, position));
    const checks = Array.from({ length: random.below(3) }, () => check(random));
    return encode([COMMAND.numbers.transaction, session(random), checks, mutations, ...trailing(random)]);
  },
  [COMMAND.numbers.branchingTransaction]: (random) => {
    const branches = Object.values(BRANCHES).map(({ shape }) =>
      hostileElement(shape, random, OPERATION_MEANINGS)
    );
    return encode([COMMAND.numbers.branchingTransaction, session(random), ...branches, ...trailing(random)]);
  },
  [COMMAND.numbers.registerSession]: (random) =>
    encode([COMMAND.numbers.registerSession, sessionId(random), integer(random, 1), ...trailing(random)]),
  [COMMAND.numbers.expireSessions]: (random) =>
    encode([COMMAND.numbers.expireSessions, integer(random, 60_000), ...trailing(random)]),
  [COMMAND.numbers.compact]: (random) =>
    encode([COMMAND.numbers.compact, integer(random, 10), ...trailing(random)]),
  [COMMAND.numbers.raiseFeatureLevel]: (random) =>
    encode([COMMAND.numbers.raiseFeatureLevel, integer(random, 2), ...trailing(random)]),
  [COMMAND.numbers.grantLease]: (random) => {
    const ttlMs = integer(random, random.pick([1_000, 60_000]));
    return encode([COMMAND.numbers.grantLease, session(random), leaseId(random), ttlMs, ...trailing(random)]);
  },
  [COMMAND.numbers.revokeLease]: (random) =>
    encode([COMMAND.numbers.revokeLease, session(random), leaseId(random), ...trailing(random)]),
  [COMMAND.numbers.keepLeasesAlive]: (random) => {
    const length = isHostile(random) ? random.pick([0, MAX_KEEP_ALIVES, MAX_KEEP_ALIVES + 1]) : 2;
    const leaseIds = Array.from({ length }, () => leaseId(random));
    return encode([COMMAND.numbers.keepLeasesAlive, leaseIds, ...trailing(random)]);
  },
  [COMMAND.numbers.deleteExpired]: (random) =>
    encode([COMMAND.numbers.deleteExpired, integer(random, 1_000), ...trailing(random)]),
  [COMMAND.numbers.changeAuth]: (random) => {
    const change = hostileElement(AUTH_CHANGE.shape, random, AUTH_MEANINGS);
    return encode([COMMAND.numbers.changeAuth, session(random), change, ...trailing(random)]);
  },
  [COMMAND.numbers.databaseWrite]: (random) => {
    const parts = Object.values(DATABASE_WRITE).map(({ shape }) =>
      hostileElement(shape, random, DATABASE_MEANINGS)
    );
    return encode([COMMAND.numbers.databaseWrite, session(random), ...parts, ...trailing(random)]);
  },
  [COMMAND.numbers.changeDatabases]: (random) => {
    const change = hostileElement(DATABASES_CHANGE.shape, random, DATABASE_MEANINGS);
    return encode([COMMAND.numbers.changeDatabases, session(random), change, ...trailing(random)]);
  },
  [COMMAND.numbers.authorized]: (random) => {
    const identity = [integer(random, 1), integer(random, 0), integer(random, 0)];
    const embedded = decode(COMMANDS[random.pick(EMBEDDED)](random));
    return encode([COMMAND.numbers.authorized, ...identity, embedded, ...trailing(random)]);
  },
};

/** Kinds of commands in an authorized one: it cannot contain another one. */
const { transaction, changeAuth, databaseWrite, authorized } = COMMAND.numbers;
const EMBEDDED = [transaction, changeAuth, databaseWrite, authorized];

/** Returns a small put with padding that nearly fills a frame. */
function padded(random: SeededRandom): Uint8Array {
  const put = [MUTATION.numbers.put, ordinaryKey(random), TEXT.encode("v")];
  return encode([COMMAND.numbers.transaction, null, [], [put], filled(hostileSize(random) || 15_000_000)]);
}

function session(random: SeededRandom): ValueType {
  if (random.chance(0.5)) return null;
  const sequence = integer(random, 1 + random.below(5_000));
  return [sessionId(random), sequence, integer(random, 0), integer(random, 1), ...trailing(random)];
}

/** One of many session ids, so that abandoned sessions are tried too. */
function sessionId(random: SeededRandom): number {
  return integer(random, 1 + random.below(2 ** 31));
}

/** One of few leases, so that commands meet. */
function leaseId(random: SeededRandom): number {
  return integer(random, 1 + random.below(8));
}

function mutation(random: SeededRandom, position: number): ValueType {
  const key = position === 0 ? binary(random, ordinaryKey(random)) : TEXT.encode(`hostile/many/${position}`);
  if (random.chance(0.2)) return [MUTATION.numbers.delete, key, ...trailing(random)];
  const value = position === 0 ? binary(random, TEXT.encode("value")) : TEXT.encode("value");
  if (random.chance(0.2)) {
    const lease = random.chance(0.3) ? null : leaseId(random);
    const expiresAtMs = random.chance(0.5) ? null : integer(random, 1 + random.below(2_000));
    return [MUTATION.numbers.expiringPut, key, value, lease, expiresAtMs, ...trailing(random)];
  }
  return [MUTATION.numbers.put, key, value, ...(position === 0 ? trailing(random) : [])];
}

function check(random: SeededRandom): ValueType {
  const key = binary(random, ordinaryKey(random));
  const kind = random.pick(Object.values(CHECK.numbers));
  switch (kind) {
    case CHECK.numbers.modRevision:
      return [kind, key, integer(random, 1), ...trailing(random)];
    case CHECK.numbers.exists:
      return [kind, key, random.chance(0.5), ...trailing(random)];
    case CHECK.numbers.value:
      return [kind, key, binary(random, TEXT.encode("value")), ...trailing(random)];
  }
}

/** Returns an encoded invalid configuration: too many members, duplicates, removed members, hostile addresses. */
export function configuration(random: SeededRandom, members: readonly number[]): Uint8Array {
  const rows = members.map((id): ValueType => [id, "127.0.0.1:1", null, false, null]);
  switch (random.below(5)) {
    case 0:
      return encode([[], members, [], rows, []]);
    case 1:
      return encode([members, [], members, rows, members]);
    case 2: {
      const many = Array.from({ length: 20_000 }, (_, position) => position + 1_000);
      return encode([members, [], many, rows, many]);
    }
    case 3: {
      const hostile = members.map((id): ValueType => [id, address(random), null, false, null]);
      return encode([members, [], [], hostile, []]);
    }
    default:
      return encode([members, members, [], [...rows, ...rows], [integer(random, 9)], ...trailing(random)]);
  }
}
