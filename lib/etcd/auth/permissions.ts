/** The rights of roles as etcd's clients see them: one permission for each set of keys, and no right but to read and to write. */
import { type Grant, type GrantedKeys, type Right, RIGHTS, ROOT_ROLE } from "../../kv/auth/auth_command.ts";
import { compareGrants } from "../../kv/auth/auth_values.ts";
import { validateGrant } from "../../kv/auth/validate_auth.ts";
import { isLastEnd } from "../kv/keys.ts";
import type { EtcdPermission, EtcdPermissionGiven } from "../messages/auth.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";

/** Numbers of `authpb.Permission.Type`. */
const [READ, WRITE, READWRITE] = [0, 1, 2];
const NO_KEY = new Uint8Array(0);
/** The first key that there can be, and as the end of a range: none. */
const ZERO = Uint8Array.of(0);

/** The change of a role's grants by which it has exactly one permission over some keys. */
export interface GrantChanges {
  readonly added: readonly Grant[];
  /** These may not exist. */
  readonly removed: readonly Grant[];
}

/** The permission of the role root, whose grants cannot be read. */
export const ROOT_PERMISSION: EtcdPermissionGiven = { permType: READWRITE, key: NO_KEY, rangeEnd: ZERO };

/** Returns the keys of a permission. Throws EtcdError for keys that no permission can have. */
export function grantedKeysOf({ key, rangeEnd }: Omit<EtcdPermission, "permType">): GrantedKeys {
  if (key.length === 0) throw etcdError("invalidAuthManagement");
  if (rangeEnd.length === 0) return checked({ kind: "key", key });
  // The range from the first key on is that of the right over all keys.
  const isAll = isLastEnd(key) && isLastEnd(rangeEnd);
  return checked({ kind: "range", start: isAll ? NO_KEY : key, end: isLastEnd(rangeEnd) ? null : rangeEnd });
}

/** Returns the changes that a permission makes. Throws EtcdError. */
export function changesOf({ permType, ...range }: EtcdPermission): GrantChanges {
  const keys = grantedKeysOf(range);
  const of = (...rights: readonly Right[]): readonly Grant[] => rights.map((right) => ({ right, keys }));
  switch (permType) {
    case READ:
      return { added: of("read"), removed: of("write", "admin") };
    case WRITE:
      return { added: of("write"), removed: of("read", "admin") };
    case READWRITE:
      // The right admin includes both: it stays.
      return { added: of("read", "write"), removed: [] };
    default:
      throw etcdError("invalidAuthManagement");
  }
}

/** Returns all grants that a role may have over keys. */
export function grantsOver(keys: GrantedKeys): readonly Grant[] {
  return RIGHTS.map((right) => ({ right, keys }));
}

/** Returns the permissions of a role. */
export function permissionsOf(grants: readonly Grant[]): readonly EtcdPermissionGiven[] {
  const permissions: { keys: Grant; permType: number }[] = [];
  for (const grant of [...grants].sort(compareGrants)) {
    const last = permissions.at(-1);
    const permType = typeOf(grant.right);
    const isSame = last !== undefined && compareGrants({ ...last.keys, right: grant.right }, grant) === 0;
    if (isSame) last.permType = last.permType === permType ? permType : READWRITE;
    else permissions.push({ keys: grant, permType });
  }
  return permissions.map(({ keys: { keys }, permType }) => {
    if (keys.kind === "key") return { permType, key: keys.key };
    return { permType, key: keys.start.length === 0 ? ZERO : keys.start, rangeEnd: keys.end ?? ZERO };
  });
}

/** Returns the names of roles with that of the role root, sorted. */
export function withRoot(names: readonly string[]): readonly string[] {
  return [...names, ROOT_ROLE].sort();
}

function typeOf(right: Right): number {
  if (right === "admin") return READWRITE;
  return right === "read" ? READ : WRITE;
}

function checked(keys: GrantedKeys): GrantedKeys {
  const problem = validateGrant({ right: "read", keys });
  if (problem === null) return keys;
  if (problem.kind === "invalidRequest") throw etcdError("invalidAuthManagement");
  throw new EtcdError("invalidArgument", `kvraft: ${problem.message}`);
}
