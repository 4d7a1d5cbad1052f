/** `kvraft server inspect | restore | recover`: calls of the tools, output, and exit codes. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { FakeStore } from "./support/fake_store.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "./support/fake_environment.ts";
import { FakeTools, STAKES } from "./support/fake_tools.ts";
import { runKvraft } from "../../../lib/cli/mod.ts";
import type { StartServer } from "../../../lib/cli/server.ts";
import type { InspectReport } from "../../../lib/server/tools/tools_port.ts";

const CLUSTER = "1=10.0.0.1:7001,2=10.0.0.2:7001";

const SNAPSHOT: InspectReport = {
  kind: "snapshot",
  path: "backup.snap",
  formatVersion: 1,
  clusterId: "7f3a",
  index: 1_234,
  term: 5,
  revision: 1_200,
  bytes: 27_000_000,
  contents: {
    keys: 100_000,
    sessions: 3,
    leases: 2,
    auth: { enabled: true, users: 1_200, roles: 3, tokens: 0 },
    keyBytes: 1_300_000,
    valueBytes: 25_600_000,
    historyBytes: 3_200_000,
    compactedRevision: 900,
    featureLevel: 2,
  },
  structure: null,
  members: [{ id: 1, address: "10.0.0.1:7001", role: "voter" }, {
    id: 4,
    address: "10.0.0.4:7001",
    role: "learner",
  }],
  damage: [],
};

const FOLDER: InspectReport = {
  kind: "dataFolder",
  path: "data/node-1",
  identity: { formatVersion: 1, clusterId: "7f3a", clusterName: "kvraft", nodeId: 1 },
  term: 5,
  vote: 2,
  commitIndex: 10,
  log: { firstIndex: 3, lastIndex: 12, lastTerm: 5, segments: 1, bytes: 4_096 },
  snapshots: [
    { index: 8, term: 4, bytes: 900, state: { revision: 6, compactedRevision: 2, featureLevel: 2 } },
    { index: 5, term: 4, bytes: 800, state: null },
  ],
  state: null,
  members: STAKES.members,
  removedIds: [7],
  damage: ["wal/3.log, offset 120: the checksum of entry 9 does not fit."],
};

const CHECKED_FOLDER: InspectReport = {
  ...FOLDER,
  path: "data/node-2",
  state: {
    index: 10,
    revision: 9,
    keys: 4,
    sessions: 1,
    leases: 0,
    auth: { enabled: false, users: 0, roles: 0, tokens: 0 },
    keyBytes: 20,
    valueBytes: 40,
    historyBytes: 120,
    compactedRevision: 2,
    featureLevel: 2,
    structure: { pages: 2, versions: 9, events: 7 },
  },
  damage: [],
};

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly tools: FakeTools;
}

async function run(
  args: readonly string[],
  options: FakeEnvironmentOptions = {},
  others: readonly InspectReport[] = [],
): Promise<Ended> {
  const environment = new FakeEnvironment(options);
  const tools = new FakeTools();
  for (const report of [SNAPSHOT, FOLDER, CHECKED_FOLDER, ...others]) tools.reports.set(report.path, report);
  const start: StartServer = () => Promise.reject(new Error("no server is started"));
  const connect = (): Promise<FakeStore> => Promise.reject(new Error("no client is opened"));
  const code = await runKvraft(["server", ...args], { environment, connect, start, tools });
  return { code, out: environment.stdout.text, err: environment.stderr.text, tools };
}

Deno.test("inspect: it shows the contents of a backup", async () => {
  const { code, out } = await run(["inspect", "backup.snap"]);
  assertEquals([code, out], [
    0,
    [
      "snapshot  backup.snap\n",
      "format    version 1\n",
      "cluster   7f3a\n",
      "revision  1200\n",
      "log       up to index 1234, term 5\n",
      "size      27.0 MB\n",
      "keys      100 000, 1.3 MB\n",
      "values    25.6 MB\n",
      "history   feature level 2, compacted at revision 900, 3.2 MB\n",
      "sessions  3\n",
      "leases    2\n",
      "users     1 200, roles 3, tokens 0, authentication enabled\n",
      "members   1=10.0.0.1:7001, 4=10.0.0.4:7001 (learner)\n",
      "no damage: everything can be read\n",
    ].join(""),
  ]);
});

Deno.test("inspect: it shows the contents of a data directory, and ends with 1 for damage", async () => {
  const { code, out } = await run(["inspect", "data/node-1"]);
  assertEquals([code, out], [
    1,
    [
      "data directory  data/node-1\n",
      "owner           node 1\n",
      "cluster         7f3a (kvraft)\n",
      "format          version 1\n",
      "term            5, vote for n2\n",
      "log             index 3 to 12, last term 5, committed to 10 at least; 1 file, 4.1 kB\n",
      "snapshot        index 8, term 4, 900 B; revision 6, feature level 2, compacted at revision 2\n",
      "snapshot        index 5, term 4, 800 B\n",
      "members         1=10.0.0.1:7001, 2=10.0.0.2:7001, 3=10.0.0.3:7001\n",
      "removed         n7\n",
      "DAMAGED: wal/3.log, offset 120: the checksum of entry 9 does not fit.\n",
    ].join(""),
  ]);
});

Deno.test("inspect: --deep shows the loaded state and its checked structure", async () => {
  const { code, out, tools } = await run(["inspect", "--deep", "data/node-2"]);
  assertEquals([code, tools.deepPaths], [0, ["data/node-2"]]);
  const rows = out.split("\n");
  assertEquals(rows.slice(rows.findIndex((row) => row.startsWith("state")), -2), [
    "state           at index 10, revision 9",
    "keys            4, 20 B",
    "values          40 B",
    "history         feature level 2, compacted at revision 2, 120 B",
    "sessions        1",
    "structure       sound: 2 pages, 9 versions, 7 events",
    "members         1=10.0.0.1:7001, 2=10.0.0.2:7001, 3=10.0.0.3:7001",
    "removed         n7",
  ]);
});

Deno.test("inspect: the JSON document is the whole report", async () => {
  const { code, out } = await run(["inspect", "backup.snap", "--output", "json"]);
  assertEquals([code, JSON.parse(out)], [0, SNAPSHOT]);
  const failed = await run(["inspect", "nothing", "--output=json"]);
  assertEquals([failed.code, JSON.parse(failed.err)], [
    1,
    { error: { code: "notFound", message: "Cannot inspect nothing: there is nothing." } },
  ]);
});

Deno.test("restore: it makes the folder of one node, and says how to start it and restore the others", async () => {
  const { code, out, err, tools } = await run(
    ["restore", "--from", "backup.snap", "--node-id", "2", "--cluster", CLUSTER, "--cluster-name", "orders"],
  );
  assertEquals([code, err], [0, ""]);
  assertEquals(tools.restored, [{
    from: "backup.snap",
    nodeId: 2,
    members: [{ id: 1, address: { host: "10.0.0.1", port: 7_001 } }, {
      id: 2,
      address: { host: "10.0.0.2", port: 7_001 },
    }],
    dataDir: "./data/node-2",
    clusterName: "orders",
    disablesAuth: false,
  }]);
  assertEquals(out.split("\n"), [
    "Restored ./data/node-2 for node 2 of the new cluster 9c41: 20 019 keys, revision 7.",
    "Next, start it:",
    `  kvraft server --node-id 2 --bind 10.0.0.2:7001 --cluster ${CLUSTER} --data-dir ./data/node-2 --cluster-name orders`,
    "Do the same, with the same backup.snap, for node 1; a majority of them serves.",
    "",
  ]);
});

Deno.test("recover: it shows what may be lost, takes the cluster's id as confirmation, and says what to start", async () => {
  const { code, out, err, tools } = await run(
    ["recover", "--data-dir", "data/node-2", "--address", "10.0.0.9:7001", "--node-id", "2", "--yes", "7f3a"],
  );
  assertEquals([code, tools.recovered], [0, [{
    dataDir: "data/node-2",
    nodeId: 2,
    address: "10.0.0.9:7001",
    disablesAuth: false,
  }]]);
  assertEquals(err.split("\n"), [
    "data/node-2 is node 2 of cluster 7f3a: 1=10.0.0.1:7001, 2=10.0.0.2:7001, 3=10.0.0.3:7001. Its log ends at index 12, " +
    "term 5. Entries 11 to 12 were not known to be committed; they count from now on.",
    "LOST: every acknowledged write that did not reach this node.",
    "Node 2 becomes the only member, dialled at 10.0.0.2:7001. Never start n1, n3 again with the directories they have.",
    "",
  ]);
  assertEquals(out.split("\n"), [
    "Node 2 is a cluster of its own now, b002, with the log to index 12.",
    "Next, start it, then add other nodes with empty directories and new ids:",
    "  kvraft server --node-id 2 --bind 10.0.0.9:7001 --cluster 2=10.0.0.9:7001 --data-dir data/node-2",
    "  kvraft server --node-id <new> --bind <host:port> --join 10.0.0.9:7001",
    "  kvraft client --cluster 10.0.0.9:7001 member add <new> <host:port>",
    "",
  ]);
});

Deno.test("recover: the id is typed on a terminal; any other input changes nothing", async () => {
  const args = ["recover", "--data-dir", "data/node-2"];
  const typed = await answering(args, "7f3a\r\n");
  assertEquals([typed.code, typed.tools.recovered.length], [0, 1]);
  assert(
    typed.err.endsWith("Type the cluster's id to continue, anything else to change nothing: "),
    typed.err,
  );
  for (const word of ["yes\n", "", "7f3\n"]) {
    const { code, err, tools } = await answering(args, word);
    assertEquals([code, tools.recovered], [1, []]);
    assert(err.endsWith("kvraft: that is not the cluster's id; nothing was changed.\n"), err);
  }
  assertEquals((await run([...args, "--yes=7f3b"])).code, 1);
});

/** Runs a tool on a terminal and types `word`. */
async function answering(args: readonly string[], word: string): Promise<Ended> {
  const { stream } = new FakeEnvironment({ input: [word] }).stdin;
  const tools = new FakeTools();
  const environment = Object.assign(new FakeEnvironment({ terminal: true }), {
    stdin: { isTerminal: true, stream },
  });
  const code = await runKvraft(["server", ...args], {
    environment,
    tools,
    start: () => Promise.reject(new Error("no server is started")),
    connect: () => Promise.reject(new Error("no client is opened")),
  });
  return { code, out: environment.stdout.text, err: environment.stderr.text, tools };
}

Deno.test("recover: without a terminal it says how to confirm", async () => {
  const { code, err, tools } = await run(["recover", "--data-dir", "data/node-2"]);
  assertEquals([code, tools.recovered], [2, []]);
  assert(
    err.endsWith(
      "kvraft: Cannot ask for confirmation: standard input is not a terminal. To confirm: --yes=7f3a\n",
    ),
    err,
  );
});

Deno.test("server tools: wrong usage ends with 2, and nothing is done", async () => {
  const example = "Example: kvraft server restore --from backup.snap --node-id 1 --cluster " +
    "1=10.0.0.1:7001,2=10.0.0.2:7001,3=10.0.0.3:7001";
  const restore = ["restore", "--from", "f", "--node-id", "1", "--cluster", CLUSTER];
  const table: readonly (readonly [readonly string[], string])[] = [
    [
      ["inspect"],
      "inspect takes one path, of a backup or a data directory. Example: kvraft server inspect data/node-1",
    ],
    [["restore"], `restore needs --from. ${example}`],
    [["restore", "--from", "f"], `restore needs --node-id. ${example}`],
    [
      ["restore", "--from", "f", "--node-id", "3", "--cluster", CLUSTER],
      "--node-id is 3, and --cluster has 1, 2.",
    ],
    [[...restore, "--frm", "f"], "There is no option --frm. Did you mean --from?"],
    [[...restore, "more"], '"more" is not an option. See --help.'],
    [
      [...restore, "--cluster-name", "a b"],
      '--cluster-name must be 1 to 64 letters, digits, dots, dashes and underscores, not "a b". Example: orders',
    ],
    [["recover"], "recover needs --data-dir. Example: kvraft server recover --data-dir ./data/node-2"],
    [
      ["recover", "--data-dir", "/srv/kv"],
      "--data-dir: this program runs with permissions that do not include /srv/kv. Compile it without KVRAFT_DATA_DIR, " +
      "or run its source with --allow-read=/srv/kv --allow-write=/srv/kv.",
    ],
    [["restor"], '"restor" is not an option. Did you mean kvraft server restore?'],
  ];
  for (const [args, message] of table) {
    const { code, out, err, tools } = await run(args);
    assertEquals([code, out, err, tools.restored, tools.recovered], [2, "", `kvraft: ${message}\n`, [], []]);
  }
  for (const address of ["nowhere", "h:0"]) {
    const { code, err } = await run([
      "recover",
      "--data-dir",
      "data/x",
      "--address",
      address,
      "--yes",
      "7f3a",
    ]);
    assertEquals([code, err.startsWith("kvraft: --address: Cannot read the address")], [2, true]);
  }
});

Deno.test("server tools: each has a help page within 120 columns", async () => {
  for (const tool of ["inspect", "restore", "recover"]) {
    const { code, out } = await run([tool, "--help"]);
    assertEquals([code, out.startsWith(`kvraft server ${tool} `)], [0, true]);
    assertEquals(out.split("\n").filter((line) => line.length > 120), []);
  }
});

Deno.test("server tools: a path outside of the permissions is a usage error", async () => {
  const environment = new FakeEnvironment();
  const tools = new FakeTools();
  tools.failure = new Deno.errors.NotCapable('Requires read access to "/srv/backup.snap", run again …');
  const start: StartServer = () => Promise.reject(new Error("no server is started"));
  const connect = (): Promise<FakeStore> => Promise.reject(new Error("no client is opened"));
  const args = ["server", "restore", "--from", "/srv/backup.snap", "--node-id", "1", "--cluster", CLUSTER];
  assertEquals([await runKvraft(args, { environment, connect, start, tools }), environment.stderr.text], [
    2,
    "kvraft: Cannot read /srv/backup.snap: the permissions that this program was compiled or started with exclude it. " +
    "Copy the file to another place, or give it as standard input and name /dev/stdin.\n",
  ]);
});

Deno.test("server tools: a file that cannot be read is reported as such, not as damage", async () => {
  const reasons = { EACCES: "Give this process the right to read it", EIO: "Check the disk" };
  for (const [code, advice] of Object.entries(reasons)) {
    const environment = new FakeEnvironment();
    const tools = new FakeTools();
    tools.failure = Object.assign(new Error(`${code}: it failed, open '/srv/backup.snap'`), { code });
    const start: StartServer = () => Promise.reject(new Error("no server is started"));
    const connect = (): Promise<FakeStore> => Promise.reject(new Error("no client is opened"));
    const args = ["server", "restore", "--from", "/srv/backup.snap", "--node-id", "1", "--cluster", CLUSTER];
    assertEquals(await runKvraft(args, { environment, connect, start, tools }), 2);
    assertStringIncludes(
      environment.stderr.text,
      "kvraft: Cannot read /srv/backup.snap: it failed.",
    );
    assertStringIncludes(environment.stderr.text, `This is not damage, and nothing was changed. ${advice}`);
  }
});

Deno.test("restore --check: it says what the file has and whether a restore would succeed, and restores nothing", async () => {
  const good = await run(["restore", "--check", "--from", "backup.snap"]);
  assertEquals([good.code, good.tools.restored, good.err], [0, [], ""]);
  assertStringIncludes(good.out, "leases    2\n");
  assertStringIncludes(
    good.out,
    "no damage: everything can be read\n" +
      "it can be restored: the new cluster continues from revision 1000, with 27.0 MB of state\n",
  );
  const json = await run(["restore", "--check", "--from", "backup.snap", "--output", "json"]);
  assertEquals(JSON.parse(json.out), { ...SNAPSHOT, restored: { revision: 1_000, bytes: 27_000_000 } });
  const damaged = { ...SNAPSHOT, path: "torn.snap", contents: null, damage: ["byte 9: it ends"] };
  const bad = await run(["restore", "--check", "--from", "torn.snap"], {}, [damaged]);
  assertEquals([bad.code, bad.tools.restored], [1, []]);
  assertStringIncludes(bad.out, "DAMAGED: byte 9: it ends\n");
  const other = await run(["restore", "--check", "--from", "backup.snap", "--node-id", "1"]);
  assertEquals([other.code, other.out], [2, ""]);
  assertStringIncludes(other.err, "restore --check makes nothing, so it does not take --node-id.");
});
