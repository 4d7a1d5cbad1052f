/** `snapshot now` and `snapshot save`: answers, and incomplete backups. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { FakeStore } from "./support/fake_store.ts";
import { FakeDiagnostics, FakeEnvironment, type FakeEnvironmentOptions } from "./support/fake_environment.ts";
import { clientCommand } from "../../../lib/cli/client.ts";
import { ConnectionError, NoLeaderError } from "../../../lib/client/errors.ts";
import { CHECKOUT } from "../../support/checkout.ts";
import { settle } from "../../support/fakes/manual_clock.ts";

const CLUSTER = ["--cluster", "127.0.0.1:7001"];
const FILE = [Uint8Array.of(0, 255, 10), Uint8Array.of(1, 2, 3)];

interface Ended {
  readonly code: number;
  readonly environment: FakeEnvironment;
  readonly err: string;
}

async function run(
  args: readonly string[],
  store: FakeStore,
  { environment = new FakeEnvironment(), ...options }: FakeEnvironmentOptions & {
    readonly environment?: FakeEnvironment;
  } = {},
): Promise<Ended> {
  const used = Object.keys(options).length > 0 ? new FakeEnvironment(options) : environment;
  const code = await clientCommand([...CLUSTER, ...args], {
    environment: used,
    connect: () => Promise.resolve(store),
  });
  return { code, environment: used, err: used.stderr.text };
}

/** A store whose snapshot has this file. */
function withFile(...chunks: readonly Uint8Array[]): FakeStore {
  const store = new FakeStore();
  store.snapshotChunks = () => ReadableStream.from(chunks);
  return store;
}

/** Chunks, and then the error. */
async function* breakingOff(chunks: readonly Uint8Array[], error: Error): AsyncGenerator<Uint8Array> {
  yield* chunks;
  await settle();
  throw error;
}

Deno.test("snapshot now: it answers with the snapshot, and has a longer deadline", async () => {
  const store = new FakeStore();
  const text = await run(["snapshot", "now"], store);
  assertEquals([text.code, text.environment.stdout.text], [
    0,
    "ok  snapshot of n2: revision 7, index 12, term 5, 6 B\n",
  ]);
  const json = await run(["snapshot", "now", "--output", "json", "--timeout-ms", "70"], store);
  assertEquals(JSON.parse(json.environment.stdout.text), {
    nodeId: 2,
    index: 12,
    term: 5,
    revision: 7,
    bytes: 6,
  });
  assertEquals(store.calls, [
    { name: "takeSnapshot", timeoutMs: 120_000 },
    { name: "takeSnapshot", timeoutMs: 70 },
  ]);
});

Deno.test("snapshot now and save: the node can be chosen", async () => {
  const store = withFile(...FILE);
  await run(["snapshot", "now", "2"], store);
  await run(["snapshot", "save", "n3"], store);
  assertEquals(store.calls, [
    { name: "takeSnapshot", timeoutMs: 120_000, node: 2 },
    { name: "openSnapshot", timeoutMs: 120_000, node: 3 },
  ]);
  const wrong = await run(["snapshot", "now", "two"], store);
  assertEquals([wrong.code, store.calls.length], [2, 2]);
});

Deno.test("snapshot save: it writes the file byte for byte, and a note to standard error", async () => {
  const store = withFile(...FILE);
  const text = await run(["snapshot", "save"], store);
  assertEquals([text.code, text.environment.stdout.bytes, text.err], [
    0,
    Uint8Array.of(0, 255, 10, 1, 2, 3),
    "saved revision 7 of n2: 6 B in 0.0 ms\n",
  ]);
  const json = await run(["snapshot", "save", "--output", "json"], store);
  assertEquals([json.environment.stdout.bytes.length, JSON.parse(json.err)], [
    6,
    { nodeId: 2, index: 12, term: 5, revision: 7, bytes: 6 },
  ]);
  assertEquals(store.openSnapshots, 0);
});

Deno.test("snapshot save: a terminal shows bytes, percent and rate as progress", async () => {
  const environment = new FakeEnvironment();
  const watched = Object.assign(environment, { stderr: new FakeDiagnostics(true) });
  const store = new FakeStore();
  store.snapshot = { ...store.snapshot, bytes: 3_000_000 };
  store.snapshotChunks = async function* (): AsyncGenerator<Uint8Array> {
    for (let part = 0; part < 3; part++) {
      environment.clock.advance(100);
      yield await Promise.resolve(new Uint8Array(1_000_000));
    }
  };
  const { code, err } = await run(["snapshot", "save"], store, { environment: watched });
  assertEquals([code, err.replaceAll("\r\x1b[2K", "|")], [
    0,
    "|a node takes a snapshot …|1.0 MB of 3.0 MB, 33%, 10.0 MB/s|3.0 MB of 3.0 MB, 100%, 10.0 MB/s|" +
    "saved revision 7 of n2: 3.0 MB in 300 ms\n",
  ]);
});

Deno.test("snapshot save: it writes nothing to a terminal, and says what to type", async () => {
  const store = withFile(...FILE);
  const { code, environment, err } = await run(["snapshot", "save"], store, { terminal: true });
  assertEquals([code, environment.stdout.text, store.calls, err], [
    2,
    "",
    [],
    "kvraft: snapshot save without a file writes bytes to standard output, which is a terminal here. " +
    "Example: snapshot save backup.snap\n",
  ]);
});

Deno.test("snapshot save: an incomplete backup ends with 3 and is reported as unusable", async () => {
  const lost = withFile();
  lost.snapshotChunks = () => breakingOff(FILE.slice(0, 1), new ConnectionError("The node stopped."));
  const short = withFile(...FILE.slice(0, 1));
  const long = withFile(...FILE, ...FILE);
  const table: readonly (readonly [FakeStore, string, string])[] = [
    [lost, "The node stopped.", "3"],
    [short, "the node sent another number of bytes than announced.", "3"],
    [long, "the node sent another number of bytes than announced.", "12"],
  ];
  for (const [store, reason, written] of table) {
    const { code, err } = await run(["snapshot", "save"], store);
    assertEquals([code, err, store.openSnapshots], [
      3,
      `kvraft: Cannot save the snapshot: ${reason} The output has ${written} of 6 bytes and is useless: remove it, ` +
      "and save again.\n",
      0,
    ]);
  }
});

Deno.test("snapshot save: a closed standard output is not a success", async () => {
  const environment = new FakeEnvironment();
  environment.stdout.isClosed = true;
  const { code, err } = await run(["snapshot", "save", "--output", "json"], withFile(...FILE), {
    environment,
  });
  const { error } = JSON.parse(err);
  assertEquals([code, error.code], [5, "output"]);
  // How much of a chunk its reader took is not known.
  assertStringIncludes(error.message, "The output is not complete, which takes 6 bytes, and is useless");
});

/** A whole backup, of 0.1.0: revision 56. */
const BACKUP = Deno.readFileSync(`${CHECKOUT}/tests/compatibility/backup-0.1.0.snap`);

/** A store that gives these bytes as the backup, and an environment with the directory /work on its disk. */
function saving(bytes: Uint8Array): { store: FakeStore; environment: FakeEnvironment } {
  const store = withFile(bytes.subarray(0, 1_000), bytes.subarray(1_000));
  store.snapshot = { nodeId: 2, index: 12, term: 5, revision: 56, bytes: bytes.length };
  const environment = new FakeEnvironment();
  environment.disk.createDirectory("/work");
  environment.disk.syncDirectory("/");
  return { store, environment };
}

Deno.test("snapshot save: a file is verified, durable, and the only new one", async () => {
  const { store, environment } = saving(BACKUP);
  const { code, err } = await run(["snapshot", "save", "backup.snap", "--node", "3"], store, { environment });
  assertEquals([code, err, environment.stdout.text], [
    0,
    "",
    `saved backup.snap: revision 56 of n2, 47 keys, 13.9 kB in 0.0 ms\n`,
  ]);
  assertEquals(store.calls, [{ name: "openSnapshot", timeoutMs: 120_000, node: 3 }]);
  const after = environment.disk.crash(() => false);
  assertEquals([after.list("/work"), after.bytesOf("/work/backup.snap")], [["backup.snap"], BACKUP]);
  assertEquals(environment.disk.openFiles, 0);
});

Deno.test("snapshot save: a file that is there is replaced with --force only, by a whole backup only", async () => {
  const { store, environment } = saving(BACKUP);
  environment.disk.open("/work/backup.snap", "create").close();
  const refused = await run(["snapshot", "save", "backup.snap"], store, { environment });
  assertEquals([refused.code, refused.err, store.calls], [
    2,
    "kvraft: Cannot save to backup.snap: there is a file already. Choose another name, or add --force to replace it.\n",
    [],
  ]);
  const damaged = saving(BACKUP.with(2_000, (BACKUP[2_000] ?? 0) ^ 1));
  const failed = await run(["snapshot", "save", "backup.snap", "--force"], damaged.store, { environment });
  assertEquals([failed.code, environment.disk.bytesOf("/work/backup.snap").length], [5, 0]);
  assertStringIncludes(failed.err, "kvraft: Cannot save backup.snap: ");
  assertStringIncludes(failed.err, "the checksum of a chunk does not hold");
  const done = await run(["snapshot", "save", "backup.snap", "--force"], store, { environment });
  assertEquals([done.code, environment.disk.bytesOf("/work/backup.snap")], [0, BACKUP]);
  assertEquals(environment.disk.list("/work"), ["backup.snap"]);
});

Deno.test("snapshot save: a file that appears meanwhile is not replaced", async () => {
  const { store, environment } = saving(BACKUP);
  const chunks = store.snapshotChunks;
  store.snapshotChunks = () => {
    environment.disk.open("/work/backup.snap", "create").close();
    return chunks();
  };
  const { code } = await run(["snapshot", "save", "backup.snap"], store, { environment });
  assertEquals([code, environment.disk.bytesOf("/work/backup.snap").length], [2, 0]);
});

Deno.test("snapshot save: a full disk, a lost node and a missing directory leave no file", async () => {
  const full = saving(BACKUP);
  full.environment.disk.capacityBytes = 1_500;
  const lost = saving(BACKUP);
  lost.store.snapshotChunks = () =>
    breakingOff([BACKUP.subarray(0, 1_000)], new ConnectionError("The node stopped."));
  const nowhere = saving(BACKUP);
  const table = [
    { ...full, path: "backup.snap", exits: 5, reason: "ENOSPC" },
    { ...lost, path: "backup.snap", exits: 3, reason: "the node stopped" },
    { ...nowhere, path: "absent/backup.snap", exits: 5, reason: "there is no such file" },
  ];
  for (const { store, environment, path, exits, reason } of table) {
    const { code, err } = await run(["snapshot", "save", path], store, { environment });
    assertEquals([code, environment.disk.list("/work")], [exits, []]);
    assertStringIncludes(err.toLowerCase(), reason.toLowerCase());
  }
});

Deno.test("snapshot save: a number names the node, and not a file; both at once are refused", async () => {
  const { store, environment } = saving(BACKUP);
  assertEquals((await run(["snapshot", "save", "3", "--node", "2"], store, { environment })).code, 2);
  assertEquals((await run(["snapshot", "save", "3", "--force"], store, { environment })).code, 2);
  assertEquals((await run(["snapshot", "save", "./3"], store, { environment })).code, 0);
  assertEquals(environment.disk.list("/work"), ["3"]);
});

Deno.test("snapshot now: a failure is reported like any other error", async () => {
  const store = new FakeStore();
  store.before = () => Promise.reject(new NoLeaderError("There is no leader."));
  const { code, err } = await run(["snapshot", "save"], store);
  assertEquals([code, err], [3, "kvraft: There is no leader.\n"]);
});
