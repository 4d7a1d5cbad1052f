/** The rights of the user of a connection, as its watches need them. */
import { isReserved, type KeySet } from "../../kv/mod.ts";
import type { WatchAccess, WatchRefusal } from "../watch/connection_watches.ts";
import { type Access, permissionDenied } from "./access.ts";
import type { ConnectionIdentity } from "./connection_identity.ts";
import { isOfDatabases } from "./front_end_rights.ts";

/** The rights of one connection. */
export class WatchRights implements WatchAccess {
  readonly #access: Access;
  readonly #identity: ConnectionIdentity;

  constructor(access: Access, identity: ConnectionIdentity) {
    this.#access = access;
    this.#identity = identity;
  }

  get revision(): number {
    return this.#access.auth.revision;
  }

  get isInProcess(): boolean {
    return this.#identity.inProcess !== null;
  }

  get isOver(): boolean {
    return this.#identity.isOver();
  }

  refusal(keys: KeySet, visibleOnly: boolean): WatchRefusal | null {
    const { auth } = this.#access;
    if (!auth.enabled) return null;
    const user = this.#identity.user(auth);
    if (this.#identity.isOfDatabases && isOfDatabases(keys)) return null;
    if (user === null) {
      return { code: "unauthenticated", message: "The user of the watch has to sign in again." };
    }
    if (visibleOnly || user.rights.allowsKeys("read", keys)) return null;
    const grant = { right: "read", keys } as const;
    const requirement = { kind: "keys", grants: [grant], leases: [] } as const;
    const { message } = permissionDenied({ kind: "keys", ...grant }, user.user.name, requirement);
    return { code: "permissionDenied", message };
  }

  /** Whether the user may read a key now. */
  readonly mayRead = (key: Uint8Array): boolean => {
    const { auth } = this.#access;
    if (!auth.enabled || (this.#identity.isOfDatabases && isReserved(key))) return true;
    return this.#identity.user(auth)?.rights.allows("read", key) ?? false;
  };
}
