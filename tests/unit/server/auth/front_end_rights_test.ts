/** A front end of a node: it reads the reserved keys, writes to databases by access tokens, and does nothing else. */
import { assertEquals } from "@std/assert";
import {
  type Command,
  databaseKey,
  databaseRange,
  type DatabasesChange,
  type KeySet,
  NODE_IDENTITY,
  type PlainCommand,
  REGISTRY_KEY,
} from "../../../../lib/kv/mod.ts";
import type { ClientRequest } from "../../../../lib/protocol/client_frames.ts";
import { encodeCommand } from "../../../../lib/protocol/command.ts";
import { ConnectionIdentity } from "../../../../lib/server/auth/connection_identity.ts";
import { WatchRights } from "../../../../lib/server/auth/watch_rights.ts";
import { answerDatabases } from "../../../../lib/server/databases/database_list.ts";
import { accessTo, passwordHash, withoutSignIn } from "../../../support/fakes/auth.ts";
import { WritesBench } from "../../../support/fakes/writes_bench.ts";
import { putOf } from "../../../support/frames/user_client.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const KEY = databaseKey(1, bytes("k"));
const TOKEN = {
  label: "t",
  hash: new Uint8Array(32),
  createdAtMs: 0,
  signingKey: new Uint8Array(32).fill(7),
};
const CREATE: DatabasesChange = {
  kind: "create",
  name: "app",
  uuid: "00000000-0000-4000-8000-000000000000",
  signingKey: new Uint8Array(32),
};

function inProcess(): ConnectionIdentity {
  const connection = { remote: "in-process", certificate: null, inProcess: "databases" } as const;
  return new ConnectionIdentity(connection, { wallClock: () => 0 });
}

/** Returns a command as the node's front end forwards it. */
function ofNode(command: PlainCommand): Command {
  return { kind: "authorized", identity: NODE_IDENTITY, command };
}

function write(credentialId: number, databaseId = 1): PlainCommand {
  const mutations = [{ kind: "delete" as const, key: bytes("k") }];
  return { kind: "databaseWrite", session: null, databaseId, credentialId, checks: [], mutations };
}

/** A leader with the databases "default" and "app", which has a token. */
class Leader {
  readonly bench: WritesBench;

  private constructor(bench: WritesBench) {
    this.bench = bench;
  }

  static async start(): Promise<Leader> {
    const bench = await WritesBench.leading();
    await bench.raiseFeatureLevel();
    const leader = new Leader(bench);
    const changes: readonly DatabasesChange[] = [CREATE, { kind: "addToken", name: "app", ...TOKEN }];
    for (const change of changes) {
      assertEquals(
        await leader.submitted({ kind: "changeDatabases", session: null, change }),
        "databasesChanged",
      );
    }
    return leader;
  }

  async enable(): Promise<void> {
    const user = "root";
    for (
      const change of [
        { kind: "addUser", user, password: passwordHash("r") },
        { kind: "grantRole", user, role: "root" },
        { kind: "setEnabled", enabled: true },
      ] as const
    ) assertEquals(await this.submitted({ kind: "changeAuth", session: null, change }), "authChanged");
  }

  submitted(command: PlainCommand, identity = withoutSignIn()): Promise<string> {
    this.bench.identity = identity;
    return this.#answer((answer) => this.bench.submit(encodeCommand(command), answer));
  }

  forwarded(command: Command): Promise<string> {
    return this.#answer((answer) => this.bench.submitForwarded(encodeCommand(command), answer));
  }

  async #answer(submit: (answer: Parameters<WritesBench["submit"]>[1]) => void): Promise<string> {
    const { bench } = this;
    bench.answers.length = 0;
    let code: string | null = null;
    submit((answer) => {
      if (answer.kind === "error") code = answer.code;
      else bench.answerTo("")(answer);
    });
    await bench.log.endSync();
    await bench.drain();
    return code ?? bench.answers.splice(0).join().replace(/^: /, "");
  }
}

Deno.test("Writes: a front end writes by an access token alone once authentication is enabled", async () => {
  const leader = await Leader.start();
  const front = inProcess();
  const outcomes = async (): Promise<readonly string[]> => [
    await leader.submitted(write(0, 0), front),
    await leader.submitted(write(0), front),
    await leader.submitted(write(1), front),
    await leader.submitted(write(2), front),
    await leader.submitted(putOf("a"), front),
  ];
  const refused = "refused";
  assertEquals(await outcomes(), [
    "databaseWritten",
    refused,
    "databaseWritten",
    refused,
    "permissionDenied",
  ]);
  await leader.enable();
  const denied = "unauthenticated";
  assertEquals(await outcomes(), [denied, denied, "databaseWritten", refused, "permissionDenied"]);
});

Deno.test("Writes: a client within the process that is no front end for Deno KV has the rights of its user alone", async () => {
  const leader = await Leader.start();
  await leader.enable();
  const connection = { remote: "in-process", certificate: null, inProcess: "user" } as const;
  const client = new ConnectionIdentity(connection, { wallClock: () => 0 });
  assertEquals(await leader.submitted(write(1), client), "unauthenticated");
  assertEquals(await leader.submitted(putOf("a"), client), "unauthenticated");
  const access = accessTo(() => leader.bench.replica.stateMachine);
  const read = { kind: "get", requestId: 1, key: REGISTRY_KEY, consistency: "stale" } as const;
  assertEquals(access.refusalOf(read, client)?.code, "unauthenticated");
});

Deno.test("Writes: once authentication is enabled, no other connection writes by an access token without a user", async () => {
  const leader = await Leader.start();
  await leader.enable();
  assertEquals(await leader.submitted(write(1)), "unauthenticated");
  // Another node has taken it from its own front end.
  assertEquals(await leader.forwarded(ofNode(write(1))), "databaseWritten");
  assertEquals(await leader.forwarded(ofNode(write(2))), "refused");
  assertEquals(await leader.forwarded(ofNode(write(0))), "unauthenticated");
  assertEquals(await leader.forwarded(ofNode(putOf("a"))), "invalidRequest");
});

Deno.test("Writes: a client that names an access token writes nothing once authentication is enabled, whichever node took it", async () => {
  const leader = await Leader.start();
  assertEquals(await leader.submitted(write(1)), "databaseWritten", "it is disabled");
  await leader.enable();
  // A follower that does not know yet that it is enabled has taken these from any program.
  assertEquals(await leader.forwarded(write(1)), "unauthenticated");
  assertEquals(await leader.forwarded(write(2)), "unauthenticated");
  const { revision: authRevision } = leader.bench.replica.stateMachine.auth;
  const unknown = { userId: authRevision, credential: 0, authRevision };
  const claimed = { kind: "authorized", identity: unknown, command: write(1) } as const;
  assertEquals(await leader.forwarded(claimed), "unauthenticated");
});

Deno.test("Access: a front end reads and watches reserved keys, and makes no other request", async () => {
  const leader = await Leader.start();
  await leader.enable();
  const access = accessTo(() => leader.bench.replica.stateMachine);
  const requestId = 1;
  const consistency = "stale" as const;
  const { start, end } = databaseRange(1);
  const one = { limit: 1, reverse: false };
  const watch = (keys: KeySet): ClientRequest => ({
    kind: "watch",
    requestId,
    keys,
    from: null,
    puts: true,
    deletes: true,
    previous: false,
    visibleOnly: false,
  });
  const query = { prefix: start, start: null, end: null, after: null, reverse: false, limit: 1 };
  const allowed: readonly ClientRequest[] = [
    { kind: "get", requestId, key: REGISTRY_KEY, consistency },
    { kind: "readRanges", requestId, ranges: [{ start, end, ...one }], consistency, revision: null },
    { kind: "listDatabases", requestId, secrets: true, consistency },
    { kind: "status", requestId },
    { kind: "write", requestId, command: new Uint8Array() },
    { kind: "cancelWatch", requestId, watchId: 1 },
    { kind: "watchProgress", requestId, atOnce: false },
    watch({ kind: "key", key: KEY }),
    watch({ kind: "range", start, end }),
  ];
  const refused: readonly ClientRequest[] = [
    { kind: "get", requestId, key: bytes("k"), consistency },
    {
      kind: "readRanges",
      requestId,
      ranges: [{ start, end, ...one }, { start: bytes("k"), end: null, ...one }],
      consistency,
      revision: null,
    },
    { kind: "list", requestId, query, consistency, visibleOnly: false },
    { kind: "takeSnapshot", requestId, keep: true },
    { kind: "stateHash", requestId },
    { kind: "readAuth", requestId, user: null, role: null, after: null, consistency },
    watch({ kind: "key", key: bytes("k") }),
    watch({ kind: "range", start: bytes(""), end: null }),
  ];
  const front = inProcess();
  for (const request of allowed) {
    assertEquals(access.refusalOf(request, front)?.code ?? null, null, request.kind);
    assertEquals(access.refusalOf(request, withoutSignIn())?.code, "unauthenticated", request.kind);
  }
  for (const request of refused) {
    assertEquals(access.refusalOf(request, front)?.code, "permissionDenied", request.kind);
  }
  const rights = new WatchRights(access, front);
  assertEquals([rights.mayRead(KEY), rights.mayRead(bytes("k"))], [true, false]);
  assertEquals(rights.refusal({ kind: "key", key: KEY }, false), null);
  assertEquals(rights.refusal({ kind: "key", key: bytes("k") }, false)?.code, "unauthenticated");
});

Deno.test("answerDatabases: the default database is always there; keys and hashes are shown with secrets alone", async () => {
  const leader = await Leader.start();
  const { stateMachine } = leader.bench.replica;
  const list = (secrets: boolean, clusterId = "c1"): ReturnType<typeof answerDatabases> =>
    answerDatabases(
      { kind: "listDatabases", requestId: 1, secrets, consistency: "stale" },
      stateMachine,
      clusterId,
    );
  const { databases, authenticationEnabled, revision } = list(true);
  assertEquals([authenticationEnabled, revision], [false, stateMachine.revision]);
  assertEquals(databases.map(({ id, name, tokens }) => [id, name, tokens.length]), [[0, "default", 0], [
    1,
    "app",
    1,
  ]]);
  assertEquals(databases.map(({ signingKey }) => signingKey.length), [32, 32]);
  const shown = list(false).databases;
  assertEquals(
    shown.map(({ signingKey, tokens }) => [signingKey.length, tokens.map(({ hash }) => hash.length)]),
    [
      [0, []],
      [0, [0]],
    ],
  );
  const [first] = databases;
  assertEquals(
    /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(first?.uuid ?? ""),
    true,
  );
  assertEquals(list(true).databases[0]?.uuid === list(true, "c2").databases[0]?.uuid, false);
  const change: DatabasesChange = { kind: "addToken", name: "default", ...TOKEN };
  await leader.submitted({ kind: "changeDatabases", session: null, change });
  // The UUID stays when the database has a record, and the key does not.
  const recorded = list(true).databases[0];
  assertEquals([recorded?.uuid, recorded?.signingKey], [first?.uuid, TOKEN.signingKey]);
});
