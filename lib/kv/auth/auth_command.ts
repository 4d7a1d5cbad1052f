/**
 * The users, roles and tokens of a cluster, the command that changes them, and their limits. They exist from feature
 * level 2 on, as part of the replicated state.
 *
 * A user has roles, a role has grants, a grant is a right over keys. The role {@link ROOT_ROLE} always exists and has every
 * right. While authentication is enabled, the node that receives a client's command wraps it with the identity of its
 * user ({@link AuthorizedCommand}), and every replica decides alike whether it is executed.
 */
import type { KeySet } from "../branching_command.ts";
import type { PlainCommand, SessionStamp } from "../command.ts";

/** The role with every right. It cannot be changed or removed. */
export const ROOT_ROLE = "root";
/** Characters (UTF-16 code units) of the name of a user, role or token: 1 up to this many. */
export const MAX_AUTH_NAME_CHARACTERS = 128;
/** Characters of a password and of the text of a token. */
export const MAX_SECRET_CHARACTERS = 1_024;
/** Users of a cluster. */
export const MAX_USERS = 10_000;
/** Roles of a cluster besides {@link ROOT_ROLE}. */
export const MAX_ROLES = 1_000;
/** Grants of one role. */
export const MAX_ROLE_GRANTS = 1_000;
/** Bytes of the keys in the grants of one role, so that a role fits into one frame. */
export const MAX_ROLE_KEY_BYTES = 262_144;
/** Roles of one user. */
export const MAX_USER_ROLES = 100;
/** Tokens of one user, expired ones included. */
export const MAX_USER_TOKENS = 100;
/** The cost N of scrypt: a power of two in these bounds. 2^15 takes about 60 ms and 32 MiB. */
export const MIN_SCRYPT_COST = 2 ** 14;
export const MAX_SCRYPT_COST = 2 ** 17;
/** The only block size r and parallelism p of scrypt: others take other memory and time. */
export const SCRYPT_BLOCK_SIZE = 8;
export const SCRYPT_PARALLELISM = 1;
/** Bytes of the salt of a password's hash. */
export const MIN_SALT_BYTES = 16;
export const MAX_SALT_BYTES = 64;
/** Bytes of the hash of a password, and of the SHA-256 of a token. */
export const AUTH_HASH_BYTES = 32;

/**
 * The rights over keys. `read` and `write` are independent of each other; `admin` includes both, and over all keys it
 * also allows operating the cluster.
 */
export type Right = "read" | "write" | "admin";
/** Every right, in the order in which grants are sorted. */
export const RIGHTS: readonly Right[] = ["read", "write", "admin"];

/** The keys of a grant: one key, or a range. The range from the empty key without an end is all keys. */
export type GrantedKeys = KeySet;

/** A right over keys. */
export interface Grant {
  /** The right. */
  readonly right: Right;
  /** The keys over which it is given. */
  readonly keys: GrantedKeys;
}

/** The stored form of a password, made by the client, and what it was made with. */
export interface PasswordHash {
  readonly algorithm: "scrypt";
  /** N: a power of two, MIN_SCRYPT_COST … MAX_SCRYPT_COST. */
  readonly cost: number;
  /** r: {@link SCRYPT_BLOCK_SIZE}. */
  readonly blockSize: number;
  /** p: {@link SCRYPT_PARALLELISM}. */
  readonly parallelism: number;
  /** MIN_SALT_BYTES … MAX_SALT_BYTES bytes. */
  readonly salt: Uint8Array;
  /**
   * AUTH_HASH_BYTES bytes: the Ed25519 public key whose seed is scrypt of the password. With scrypt itself, a reader of a backup
   * could sign tickets (lib/protocol/ticket.ts).
   */
  readonly hash: Uint8Array;
}

/** One change of the users, roles and tokens. One that is in effect already changes nothing and is no failure. */
export type AuthChange =
  /** Enabling needs a user with the role root. */
  | { readonly kind: "setEnabled"; readonly enabled: boolean }
  /** Without a password the user signs in by a certificate or a token. */
  | { readonly kind: "addUser"; readonly user: string; readonly password: PasswordHash | null }
  | { readonly kind: "setPassword"; readonly user: string; readonly password: PasswordHash | null }
  | { readonly kind: "removeUser"; readonly user: string }
  | { readonly kind: "grantRole"; readonly user: string; readonly role: string }
  | { readonly kind: "revokeRole"; readonly user: string; readonly role: string }
  | {
    readonly kind: "addToken";
    readonly user: string;
    /** Its name, which no other token of the user has. */
    readonly token: string;
    /** SHA-256 of the token. */
    readonly hash: Uint8Array;
    /** Wall-clock time in milliseconds since 1970 from which on nodes refuse it; null: never. */
    readonly expiresAtMs: number | null;
  }
  | { readonly kind: "revokeToken"; readonly user: string; readonly token: string }
  | { readonly kind: "addRole"; readonly role: string }
  /** Takes the role from all users. */
  | { readonly kind: "removeRole"; readonly role: string }
  | { readonly kind: "addGrant"; readonly role: string; readonly grant: Grant }
  | { readonly kind: "removeGrant"; readonly role: string; readonly grant: Grant };

/** Changes the users, roles and tokens; each change once per session, like a write. */
export interface ChangeAuth {
  /** Discriminates the command. */
  readonly kind: "changeAuth";
  /** Null for a change that is sent at most once and never retried. */
  readonly session: SessionStamp | null;
  readonly change: AuthChange;
}

/** The user of a command, as the node that received it has established. */
export interface Identity {
  /**
   * The auth revision at which the user was added: a user of the same name that is added later is another one. 0 for a
   * node itself, see {@link NODE_IDENTITY}.
   */
  readonly userId: number;
  /** The auth revision at which the password or token was set with which the user signed in; 0 for a certificate. */
  readonly credential: number;
  /** The auth revision of the state by which the node checked the command. */
  readonly authRevision: number;
}

/**
 * The identity of a command that a node makes itself and that clients may make, too: a compaction of the leader, and a write
 * of a database by an access token that the node's front end has checked. Without it, one of a client that was let through
 * before authentication was enabled would look the same. Nodes accept it from no other program.
 */
export const NODE_IDENTITY: Identity = { userId: 0, credential: 0, authRevision: 0 };

/** The stamp of a write with the user who sends it. */
export interface UserStamp extends SessionStamp {
  /** As in {@link Identity}; missing for a write without a user. */
  readonly userId?: number;
}

/** A client's command with its user. Made by the node that received it, while authentication is enabled. */
export interface AuthorizedCommand {
  /** Discriminates the command. */
  readonly kind: "authorized";
  readonly identity: Identity;
  readonly command: PlainCommand;
}

/** Reason for which a change is not made. */
export type AuthFailure =
  | "userExists"
  | "userNotFound"
  | "roleExists"
  /** The role does not exist, or the user does not have it. */
  | "roleNotFound"
  /** The user has a token of this name, or some user has this token. */
  | "tokenExists"
  | "tokenNotFound"
  | "grantNotFound"
  /** No user has the role root: no user could change anything after enabling authentication. */
  | "noRoot"
  /** Authentication is enabled, and the change would leave no user with the role root who can sign in as before. */
  | "lastRoot"
  /** The role root cannot be removed, and has every right already. */
  | "rootRole"
  /** One of the limits above. */
  | "tooMany";

/** The result of a change, which its session remembers. */
export type AuthResult =
  /** `authRevision`: the number of changes made so far. */
  | { readonly kind: "authChanged"; readonly authRevision: number }
  | { readonly kind: "authFailed"; readonly reason: AuthFailure };
