/** The registry of databases has keys with which nodes sign tokens: only the role root reads it, by any request. */
import { assert, assertEquals } from "@std/assert";
import { REGISTRY_KEY } from "../../../../lib/kv/mod.ts";
import type { Unnumbered, UserClient } from "../../../support/frames/user_client.ts";
import { prefix } from "../../../support/frames/user_client.ts";
import { AuthCluster } from "../../../support/fakes/auth_cluster.ts";

const RESERVED = REGISTRY_KEY.slice(0, 8);
const QUERY = { prefix: new Uint8Array(0), start: null, end: null, after: null, reverse: false, limit: 100 };
const QUERIES = [
  QUERY,
  { ...QUERY, reverse: true },
  { ...QUERY, prefix: RESERVED },
  { ...QUERY, prefix: RESERVED, reverse: true },
  { ...QUERY, start: REGISTRY_KEY },
  { ...QUERY, after: RESERVED, start: RESERVED },
];

/** Requests that may answer with the registry. */
function requests(revision: number): readonly Unnumbered[] {
  const lists = QUERIES.flatMap((query) =>
    [true, false].flatMap((visibleOnly): Unnumbered[] => [
      { kind: "list", query, visibleOnly, consistency: "linearizable" },
      { kind: "listAt", query, visibleOnly, revision, consistency: "linearizable" },
    ])
  );
  const history = { key: REGISTRY_KEY, limit: 10, before: null };
  return [
    ...lists,
    { kind: "get", key: REGISTRY_KEY, consistency: "linearizable" },
    { kind: "getAt", key: REGISTRY_KEY, revision, consistency: "linearizable" },
    { kind: "keyHistory", query: history, consistency: "linearizable" },
  ];
}

/** Whether one of the answers has the registry. */
async function readsRegistry(auth: AuthCluster, client: UserClient, revision: number): Promise<boolean> {
  let isFound = false;
  for (const request of requests(revision)) {
    const answer = await auth.run(client.ask(request));
    const entries = answer.kind === "listResult"
      ? answer.page.entries
      : answer.kind === "getResult" && answer.entry !== null
      ? [answer.entry]
      : [];
    const isHistory = answer.kind === "keyHistoryResult" && answer.page.versions.length > 0;
    if (isHistory || entries.some(({ key }) => key.join() === REGISTRY_KEY.join())) isFound = true;
  }
  return isFound;
}

Deno.test("registry: a user with every right over all keys does not read it, by any request, and root does", async () => {
  await using auth = await AuthCluster.enabled(1);
  await auth.addUser("operator", [{ right: "admin", keys: prefix("") }, { right: "read", keys: prefix("") }]);
  const created = await auth.run(auth.root.write({
    kind: "changeDatabases",
    session: null,
    change: {
      kind: "create",
      name: "app",
      uuid: crypto.randomUUID(),
      signingKey: new Uint8Array(32).fill(7),
    },
  }));
  assert(typeof created !== "string", `${created}`);
  assertEquals(created.kind, "databasesChanged");
  const status = await auth.run(auth.root.ask({ kind: "status" }));
  assert(status.kind === "statusResult");
  const operator = await auth.signedIn("operator", 1);
  assertEquals(await auth.run(operator.put("key")), "applied");
  assertEquals(await readsRegistry(auth, operator, status.status.revision), false);
  assertEquals(await readsRegistry(auth, auth.root, status.status.revision), true);
});
