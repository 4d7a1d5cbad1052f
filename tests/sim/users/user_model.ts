/**
 * A model of users and rights, as naive as can be: every change makes a copy of all of it, and every right is looked up in
 * the grants one by one. It reads the applied entries and shares no code with lib/kv/auth.
 */
import type { AuthChange, AuthView, Grant, PasswordHash, Right } from "../../../lib/kv/mod.ts";
import { keyText } from "../../../lib/kv/keys.ts";
import { assertNever } from "../../../lib/platform/assert.ts";

/** A range of keys as texts, from `start` (included) to `end` (excluded; null: to the last key). */
export interface TextRange {
  readonly start: string;
  readonly end: string | null;
}

/** A right over keys that a command or an answer needs. */
export interface Need {
  readonly right: Right;
  readonly keys: TextRange;
}

/** A user of the model. */
interface ModelUser {
  /** The number of the change that added it. */
  readonly id: number;
  readonly roles: readonly string[];
  /** Null without one. */
  readonly password: ModelPassword | null;
  readonly tokens: readonly ModelToken[];
}

interface ModelPassword {
  readonly hash: string;
  /** The number of the change that set it. */
  readonly credential: number;
}

interface ModelToken {
  readonly name: string;
  readonly hash: string;
  /** The number of the change that added it. */
  readonly credential: number;
  readonly expiresAtMs: number | null;
}

/** All users and roles after an entry. */
export interface UserFacts {
  readonly enabled: boolean;
  /** The number of changes. */
  readonly revision: number;
  readonly users: ReadonlyMap<string, ModelUser>;
  readonly roles: ReadonlyMap<string, readonly Grant[]>;
}

/** The number in place of that of a secret where a certificate names the user. */
const BY_CERTIFICATE = 0;
const CERTIFICATE = "the certificate of ";
/** The role with every right. */
const ROOT = "root";
/** The least key that there can be. */
const LEAST_KEY = "\0";

/** The users and roles before the first entry. */
export const NO_USERS: UserFacts = { enabled: false, revision: 0, users: new Map(), roles: new Map() };

/** All keys. */
export const ALL: TextRange = { start: "", end: null };

/** Returns the range of one key. */
export function oneKey(key: string): TextRange {
  return { start: key, end: `${key}${LEAST_KEY}` };
}

/** Returns the range of a set of keys. */
export function rangeOf(keys: Grant["keys"]): TextRange {
  if (keys.kind === "key") return oneKey(keyText(keys.key));
  return { start: keyText(keys.start), end: keys.end === null ? null : keyText(keys.end) };
}

/** Returns the name and the user of an identity, or null if the user or its credential is not there. */
export function userOf(
  { users }: UserFacts,
  { userId, credential }: { readonly userId: number; readonly credential: number },
): [string, ModelUser] | null {
  for (const [name, user] of users) {
    const isHeld = credential === BY_CERTIFICATE ||
      secretsOf(user).some((secret) => secret.credential === credential);
    if (user.id === userId && isHeld) return [name, user];
  }
  return null;
}

/** Returns what stands for the hash of a secret where a certificate names the user. */
export function secretOfCertificate(user: string): string {
  return `${CERTIFICATE}${user}`;
}

/** Returns the user who has a token or a password with this hash, or a certificate, or null. No two have the same. */
export function userOfSecret({ users }: UserFacts, hash: string): ModelUser | null {
  if (hash.startsWith(CERTIFICATE)) return users.get(hash.slice(CERTIFICATE.length)) ?? null;
  for (const user of users.values()) if (secretsOf(user).some((secret) => secret.hash === hash)) return user;
  return null;
}

function secretsOf({ password, tokens }: ModelUser): readonly ModelPassword[] {
  return password === null ? tokens : [password, ...tokens];
}

/** Whether a user has the role root. */
export function isRoot({ roles }: ModelUser): boolean {
  return roles.includes(ROOT);
}

/** Whether a user has a right over all keys of a range, stored or not. */
export function mayDo({ roles }: UserFacts, user: ModelUser, { right, keys }: Need): boolean {
  if (isRoot(user)) return true;
  const granted = user.roles.flatMap((role) => roles.get(role) ?? [])
    .filter((grant) => grant.right === right || grant.right === "admin")
    .map((grant) => rangeOf(grant.keys));
  // Goes from the first key to the end of a grant that has it, until no grant goes on, or all keys are passed.
  for (let key = atLeast(keys.start); keys.end === null || key < keys.end;) {
    const next = granted.find(({ start, end }) => atLeast(start) <= key && (end === null || key < end));
    if (next === undefined) return false;
    if (next.end === null) return true;
    key = next.end;
  }
  return true;
}

/** Whether a user may write some key. */
export function mayWrite({ roles }: UserFacts, user: ModelUser): boolean {
  const granted = user.roles.flatMap((role) => roles.get(role) ?? []);
  return isRoot(user) || granted.some(({ right }) => right !== "read");
}

/** Whether some user with the role root can sign in by a secret that does not expire. */
export function hasUsableRoot({ users }: UserFacts): boolean {
  return [...users.values()].some((user) =>
    isRoot(user) &&
    (user.password !== null || user.tokens.some(({ expiresAtMs }) => expiresAtMs === null))
  );
}

/** Returns the users and roles after a change that a node has made; the same object where nothing changes. */
export function changed(facts: UserFacts, change: AuthChange): UserFacts {
  const revision = facts.revision + 1;
  switch (change.kind) {
    case "setEnabled":
      return facts.enabled === change.enabled ? facts : { ...facts, revision, enabled: change.enabled };
    case "addRole":
      return withRole(facts, change.role, []);
    case "removeRole": {
      const roles = new Map(facts.roles);
      roles.delete(change.role);
      const users = new Map(
        [...facts.users].map(([name, user]) => [name, { ...user, roles: without(user.roles, change.role) }]),
      );
      return { ...facts, revision, users, roles };
    }
    case "addGrant": {
      const grants = facts.roles.get(change.role) ?? [];
      if (grants.some((grant) => grantText(grant) === grantText(change.grant))) return facts;
      return withRole(facts, change.role, [...grants, change.grant]);
    }
    case "removeGrant": {
      const grants = facts.roles.get(change.role) ?? [];
      const left = grants.filter((grant) => grantText(grant) !== grantText(change.grant));
      return withRole(facts, change.role, left);
    }
    case "removeUser": {
      const users = new Map(facts.users);
      users.delete(change.user);
      return { ...facts, revision, users };
    }
    case "addUser": {
      const password = passwordOf(change.password, revision);
      return withUser(facts, change.user, { id: revision, roles: [], password, tokens: [] });
    }
    case "setPassword":
    case "grantRole":
    case "revokeRole":
    case "addToken":
    case "revokeToken": {
      const user = facts.users.get(change.user);
      if (user === undefined) return facts;
      const replacement = changedUser(user, change, revision);
      return replacement === user ? facts : withUser(facts, change.user, replacement);
    }
    default:
      return assertNever(change);
  }
}

function changedUser(
  user: ModelUser,
  change: Extract<
    AuthChange,
    { readonly kind: "setPassword" | "grantRole" | "revokeRole" | "addToken" | "revokeToken" }
  >,
  revision: number,
): ModelUser {
  switch (change.kind) {
    case "setPassword":
      if (change.password === null && user.password === null) return user;
      return { ...user, password: passwordOf(change.password, revision) };
    case "grantRole":
      return user.roles.includes(change.role) ? user : { ...user, roles: [...user.roles, change.role] };
    case "revokeRole":
      return { ...user, roles: without(user.roles, change.role) };
    case "addToken": {
      const { token: name, hash, expiresAtMs } = change;
      const token = { name, hash: keyText(hash), credential: revision, expiresAtMs };
      return { ...user, tokens: [...user.tokens, token] };
    }
    case "revokeToken":
      return { ...user, tokens: user.tokens.filter(({ name }) => name !== change.token) };
    default:
      return assertNever(change);
  }
}

function passwordOf(password: PasswordHash | null, credential: number): ModelPassword | null {
  return password === null ? null : { hash: keyText(password.hash), credential };
}

/** Returns all of it as a text, to be compared with that of {@link textOfView}. */
export function textOfFacts({ enabled, revision, users, roles }: UserFacts): string {
  return textOf({
    enabled,
    revision,
    users: [...users].map(([name, { id, password, roles: names, tokens }]) => [
      name,
      id,
      password === null ? null : [password.hash, password.credential],
      [...names].sort(),
      tokens.map((token) => [token.name, token.hash, token.credential, token.expiresAtMs]),
    ]),
    roles: [...roles].map(([name, grants]) => [name, grants.map(grantText).sort()]),
  });
}

/** Returns the users and roles of a node as a text. */
export function textOfView({ enabled, revision, users, roles }: AuthView): string {
  return textOf({
    enabled,
    revision,
    users: users.map(({ id, name, password, passwordRevision, roles: names, tokens }) => [
      name,
      id,
      password === null ? null : [keyText(password.hash), passwordRevision],
      [...names].sort(),
      tokens.map((token) => [token.name, keyText(token.hash), token.credential, token.expiresAtMs]),
    ]),
    roles: roles.map(({ name, grants }) => [name, grants.map(grantText).sort()]),
  });
}

function textOf(
  { enabled, revision, users, roles }: {
    readonly enabled: boolean;
    readonly revision: number;
    readonly users: readonly unknown[];
    readonly roles: readonly unknown[];
  },
): string {
  const sorted = (list: readonly unknown[]): readonly string[] =>
    list.map((one) => JSON.stringify(one)).sort();
  return JSON.stringify([enabled, revision, sorted(users), sorted(roles)]);
}

function grantText({ right, keys }: Grant): string {
  const { start, end } = rangeOf(keys);
  return JSON.stringify([right, keys.kind, start, end]);
}

function withUser(facts: UserFacts, name: string, user: ModelUser): UserFacts {
  return { ...facts, revision: facts.revision + 1, users: new Map(facts.users).set(name, user) };
}

function withRole(facts: UserFacts, name: string, grants: readonly Grant[]): UserFacts {
  return { ...facts, revision: facts.revision + 1, roles: new Map(facts.roles).set(name, grants) };
}

function without(list: readonly string[], one: string): readonly string[] {
  return list.filter((each) => each !== one);
}

/** Returns a start as a key: no key is empty. */
function atLeast(start: string): string {
  return start === "" ? LEAST_KEY : start;
}
