/** Mutants of users and rights that take a whole cluster, with requests in progress when a right is taken away, to show. */
import { SIM_USERS } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

export const SIMULATED_USER_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/server/auth/connection_identity.ts", [SIM_USERS], [
    {
      id: "M950",
      title: "a node says that it has checked a command by a later state than it has",
      failure: "a write is executed after the entry that took the right to it away",
      from: "const identity = { userId, credential, authRevision: auth.revision };",
      to: "const identity = { userId, credential, authRevision: auth.revision + 1 };",
    },
  ]),
  ...inFile("lib/server/watch/watch_requests.ts", [SIM_USERS], [
    {
      id: "M951",
      title: "a watch begins by the rights that its user had when it asked",
      failure: "a user whose right was taken away learns the revision, and may be sent events",
      from: "ready ? reply.lateRefusal() ?? startRefusal(request, this.#options) : notUpToDate()",
      to: "ready ? startRefusal(request, this.#options) : notUpToDate()",
    },
  ]),
  ...inFile("lib/kv/auth/auth_state.ts", [SIM_USERS], [
    {
      id: "M952",
      title: "authentication is disabled where a state is restored from a snapshot",
      failure: "a node that was behind serves every client",
      from: "    this.#enabled = enabled;\n    this.#revision = revision;",
      to: "    this.#enabled = false;\n    this.#revision = revision;",
    },
    {
      id: "M954",
      title: "a removed user is still known by its id",
      failure: "its connections keep all rights",
      from: "this.#usersById.delete(user.id);",
      to: "",
    },
  ]),
  ...inFile("lib/server/reply.ts", [SIM_USERS], [
    {
      id: "M955",
      title: "a listing of the visible keys has all keys",
      failure: "users see keys to which they have no right",
      from: "return this.#target.identity.user(auth)?.rights.readableRanges ?? [];",
      to: "return null;",
    },
  ]),
];
