/** The rights that an applied command of a user needs. Shares no code with lib/kv/auth. */
import type {
  AuthorizedCommand,
  BranchingTransaction,
  KeySet,
  Operation,
  PlainCommand,
} from "../../../lib/kv/mod.ts";
import { keyText } from "../../../lib/kv/keys.ts";
import { assertNever } from "../../../lib/platform/assert.ts";
import { ALL, type Need, oneKey, rangeOf } from "./user_model.ts";

/** Requirement of a command. */
export type CommandNeeds =
  /** All of these rights; where there are none, the right to write some key. */
  | { readonly kind: "rights"; readonly needs: readonly Need[] }
  /** The role root, or to be the user of this name, which may be signed in by a token or not. */
  | { readonly kind: "root"; readonly orUser: string | null; readonly isTokenEnough: boolean }
  /** Only nodes make it, and it has no user. */
  | { readonly kind: "nodesOnly" };

/** Returns the keys that are attached to a lease now, and the user who has granted it. */
export type LeaseFactsOf = (
  leaseId: number,
) => { readonly keys: readonly string[]; readonly ownerId: number | null };

/** Returns what a command of a user needs. */
export function needsOf(
  { identity, command }: AuthorizedCommand,
  leaseFacts: LeaseFactsOf,
): CommandNeeds {
  const writeOfLease = (leaseId: number | null | "keep"): readonly Need[] => {
    if (typeof leaseId !== "number") return [];
    const { keys, ownerId } = leaseFacts(leaseId);
    const isOfOther = ownerId !== null && ownerId !== identity.userId;
    if (keys.length === 0) return isOfOther ? [{ right: "write", keys: ALL }] : [];
    return keys.map((key) => ({ right: "write", keys: oneKey(key) }));
  };
  switch (command.kind) {
    case "transaction":
      return rights([
        ...command.checks.map(({ key }) => need("read", { kind: "key", key })),
        ...command.mutations.flatMap((mutation) => [
          need("write", { kind: "key", key: mutation.key }),
          ...(mutation.kind === "expiringPut" ? writeOfLease(mutation.leaseId) : []),
        ]),
      ]);
    case "branchingTransaction":
      return rights(needsOfBranches(command, writeOfLease));
    case "registerSession":
    case "grantLease":
      return rights([]);
    case "revokeLease":
      return rights(writeOfLease(command.leaseId));
    case "keepLeasesAlive":
      return rights(command.leaseIds.flatMap(writeOfLease));
    case "compact":
      return rights([{ right: "admin", keys: ALL }]);
    case "databaseWrite": {
      // The prefix of the database: eight bytes 255, 1, and its id in four bytes.
      const prefix = Uint8Array.of(...Array(8).fill(255), 1, 0, 0, 0, 0);
      new DataView(prefix.buffer).setUint32(9, command.databaseId);
      const end = prefix.slice();
      new DataView(end.buffer).setUint32(9, command.databaseId + 1);
      const keys: KeySet = { kind: "range", start: prefix, end };
      // A sum in V8's format (1) fails depending on the number that is stored.
      const isReading = command.checks.length > 0 ||
        command.mutations.some((mutation) => mutation.kind === "sum" && mutation.value[0] === 1);
      return rights([need("write", keys), ...(isReading ? [need("read", keys)] : [])]);
    }
    case "changeDatabases":
      return { kind: "root", orUser: null, isTokenEnough: true };
    case "changeAuth": {
      const { change } = command;
      const isOfOneself = change.kind === "setPassword" || change.kind === "addToken" ||
        change.kind === "revokeToken";
      const isTokenEnough = change.kind === "revokeToken";
      return { kind: "root", orUser: isOfOneself ? change.user : null, isTokenEnough };
    }
    case "expireSessions":
    case "raiseFeatureLevel":
    case "deleteExpired":
      return { kind: "nodesOnly" };
    default:
      return assertNever(command);
  }
}

/** Whether a command comes from a client: without a user it is not executed while authentication is enabled. */
export function isOfClient(command: PlainCommand): boolean {
  const { kind } = command;
  return kind === "transaction" || kind === "branchingTransaction" || kind === "registerSession" ||
    kind === "grantLease" || kind === "revokeLease" || kind === "changeAuth" || kind === "changeDatabases" ||
    kind === "compact" || kind === "keepLeasesAlive" || kind === "databaseWrite";
}

/** Whether a node may make a command of clients itself: a compaction, and a write of a database by an access token. */
export function isOfNode(command: PlainCommand): boolean {
  return command.kind === "compact" || (command.kind === "databaseWrite" && command.credentialId !== 0);
}

function needsOfBranches(
  { conditions, then, else: otherwise }: Pick<BranchingTransaction, "conditions" | "then" | "else">,
  writeOfLease: (leaseId: number | null | "keep") => readonly Need[],
): readonly Need[] {
  const ofOperation = (operation: Operation): readonly Need[] => {
    switch (operation.kind) {
      case "put": {
        const keys: KeySet = { kind: "key", key: operation.key };
        const previous = operation.returnPrevious ? [need("read", keys)] : [];
        return [need("write", keys), ...previous, ...writeOfLease(operation.leaseId)];
      }
      case "delete": {
        const previous = operation.returnPrevious ? [need("read", operation.keys)] : [];
        return [need("write", operation.keys), ...previous];
      }
      case "get":
        return [need("read", operation.keys)];
      case "sum":
      case "min":
      case "max":
        return [{ right: "write", keys: oneKey(keyText(operation.key)) }];
      case "transaction":
        return needsOfBranches(operation, writeOfLease);
      default:
        return assertNever(operation);
    }
  };
  return [
    ...conditions.map(({ keys }) => need("read", keys)),
    ...then.flatMap(ofOperation),
    ...otherwise.flatMap(ofOperation),
  ];
}

function rights(needs: readonly Need[]): CommandNeeds {
  return { kind: "rights", needs };
}

function need(right: Need["right"], keys: KeySet): Need {
  return { right, keys: rangeOf(keys) };
}
