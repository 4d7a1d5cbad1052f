/** The rights of two users, and changes of them, by the rules of docs/auth.md alone: what rights_test.ts compares answers with. */
import type { KvClient } from "../../../lib/mod.ts";

/** The user of a token, and the one that the common name of a certificate names. */
export const USERS = ["program", "machine"] as const;
/** One of {@link USERS}. */
export type User = typeof USERS[number];
/** A right over the keys that begin with `app/`. */
export type Access = "read" | "write";

/** The rights of the users. */
export class Model {
  isEnabled = true;
  isTokenValid = true;
  readonly roles = new Map<string, Set<Access>>([["app", new Set(["read", "write"])]]);
  readonly users = new Map<string, Set<string>>(USERS.map((user) => [user, new Set(["app"])]));

  /** Returns what a request for a right over the keys of `app/` gets; null for one that any user may make. */
  outcome(user: User, right: Access | null): "ok" | "permissionDenied" | "unauthenticated" {
    if (!this.isEnabled) return "ok";
    const roles = this.users.get(user);
    if (roles === undefined || (user === "program" && !this.isTokenValid)) return "unauthenticated";
    const isGranted = right === null || [...roles].some((role) => this.roles.get(role)?.has(right));
    return isGranted ? "ok" : "permissionDenied";
  }
}

/** A change of users and roles, in the model and in the cluster. */
export interface Change {
  readonly title: string;
  readonly inModel: (model: Model) => void;
  readonly inCluster: (root: KvClient) => Promise<unknown>;
}

/** The keys of the role. */
export const GRANTED = { prefix: "app/" };
/** Each takes something away, and the next one gives it back. */
export const CHANGES: readonly Change[] = [
  ...(["read", "write"] as const).flatMap((right): Change[] => [
    {
      title: `the role loses the right ${right}`,
      inModel: ({ roles }) => void roles.get("app")?.delete(right),
      inCluster: ({ auth }) => auth.revoke("app", right, GRANTED),
    },
    {
      title: `the role has the right ${right} again`,
      inModel: ({ roles }) => void roles.get("app")?.add(right),
      inCluster: ({ auth }) => auth.grant("app", right, GRANTED),
    },
  ]),
  ...USERS.flatMap((user): Change[] => [
    {
      title: `${user} loses its role`,
      inModel: ({ users }) => void users.get(user)?.delete("app"),
      inCluster: ({ auth }) => auth.revokeRole(user, "app"),
    },
    {
      title: `${user} has its role again`,
      inModel: ({ users }) => void users.get(user)?.add("app"),
      inCluster: ({ auth }) => auth.grantRole(user, "app"),
    },
  ]),
  {
    title: "the role is removed",
    inModel: ({ roles, users }) => {
      roles.delete("app");
      for (const of of users.values()) of.delete("app");
    },
    inCluster: ({ auth }) => auth.removeRole("app"),
  },
  {
    title: "a role of its name is added, which no user has",
    inModel: ({ roles }) => void roles.set("app", new Set(["read", "write"])),
    inCluster: async ({ auth }) => {
      await auth.addRole("app");
      for (const right of ["read", "write"] as const) await auth.grant("app", right, GRANTED);
    },
  },
  ...USERS.map((user): Change => ({
    title: `${user} has the new role`,
    inModel: ({ users }) => void users.get(user)?.add("app"),
    inCluster: ({ auth }) => auth.grantRole(user, "app"),
  })),
  {
    title: "the token is revoked",
    inModel: (model) => void (model.isTokenValid = false),
    inCluster: ({ auth }) => auth.revokeToken("program", "test"),
  },
  {
    title: "authentication is disabled",
    inModel: (model) => void (model.isEnabled = false),
    inCluster: ({ auth }) => auth.disable(),
  },
  {
    title: "authentication is enabled",
    inModel: (model) => void (model.isEnabled = true),
    inCluster: ({ auth }) => auth.enable(),
  },
  {
    title: "the user of the certificate is removed",
    inModel: ({ users }) => void users.delete("machine"),
    inCluster: ({ auth }) => auth.removeUser("machine"),
  },
  {
    title: "another user of its name is added, without a role",
    inModel: ({ users }) => void users.set("machine", new Set()),
    inCluster: ({ auth }) => auth.addUser("machine"),
  },
];
