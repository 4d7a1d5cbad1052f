/** The command `watch`: its lines, its options and its ends. */
import { assertEquals } from "@std/assert";
import { CompactedError } from "../../../../lib/client/errors.ts";
import type { WatchBatch } from "../../../../lib/client/watch/types.ts";
import type { KeyValue } from "../../../../lib/kv/command.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { FakeStore } from "../support/fake_store.ts";
import type { FakeWatch } from "../support/fake_watch.ts";
import { type Ended, type Run, run, type Running, start } from "../support/run_client.ts";

const utf8 = new TextEncoder();

function entry(key: string | Uint8Array, value: string, modRevision: number): KeyValue {
  const keyBytes = typeof key === "string" ? utf8.encode(key) : key;
  return { key: keyBytes, value: utf8.encode(value), createRevision: modRevision, modRevision, version: 1 };
}

/** A put of `app/a`, a revision with two changes, and progress. */
const BATCHES: readonly WatchBatch[] = [
  { kind: "progress", revision: 6 },
  {
    kind: "events",
    revision: 7,
    events: [{ kind: "put", entry: entry("app/a", "one\ttwo", 7), previous: null }],
  },
  {
    kind: "events",
    revision: 8,
    events: [
      { kind: "delete", key: utf8.encode("app/a"), modRevision: 8, previous: entry("app/a", "one\ttwo", 7) },
      { kind: "put", entry: entry(Uint8Array.of(0xff), "x", 8), previous: entry(Uint8Array.of(0xff), "", 2) },
    ],
  },
  { kind: "progress", revision: 9 },
];

/** Starts a watch and returns it with the stream that it reads. */
async function watching(
  args: readonly string[],
  options: Run = {},
): Promise<Running & { readonly watch: FakeWatch }> {
  const store = options.store ?? new FakeStore();
  const running = start(["watch", ...args], { ...options, store });
  await settle();
  const [watch] = store.watches;
  if (watch === undefined) throw new Error((await running.ended).err);
  return { ...running, watch };
}

/** Runs a watch with these batches until Ctrl-C. */
async function watched(
  args: readonly string[],
  batches: readonly WatchBatch[],
  options: Run = {},
): Promise<Ended> {
  const { watch, environment, ended } = await watching(args, options);
  for (const batch of batches) watch.give(batch);
  await settle();
  environment.signal();
  return await ended;
}

Deno.test("watch: a line for each change with its revision; Ctrl-C ends it with 0 and says how to go on", async () => {
  assertEquals(await watched(["app/", "--prefix", "--from", "3"], BATCHES), {
    code: 0,
    out: "7\tput\tapp/a\tone\\ttwo\n8\tdelete\tapp/a\tone\\ttwo\n8\tput\t\\xff\tx\t\n",
    err: "-- 3 changes up to revision 9; to go on: watch app/ --prefix --from 10\n",
  });
  assertEquals((await watched(["k"], [])).err, "-- 0 changes\n");
});

Deno.test("watch: --visible-only is passed on, and in the line to go on", async () => {
  const { watch, environment, ended } = await watching(["app/", "--prefix", "--visible-only"]);
  for (const batch of BATCHES) watch.give(batch);
  await settle();
  environment.signal();
  assertEquals(watch.request.visibleOnly, true);
  assertEquals(
    (await ended).err,
    "-- 3 changes up to revision 9; to go on: watch app/ --prefix --visible-only --from 10\n",
  );
});

Deno.test("watch: with --progress also the revisions up to which everything is shown", async () => {
  const { out, err } = await watched(["app/", "--prefix", "--progress"], BATCHES);
  assertEquals(out.split("\n").filter((line) => line.includes("progress")), ["6\tprogress", "9\tprogress"]);
  assertEquals(err, "-- 3 changes up to revision 9; to go on: watch app/ --prefix --progress --from 10\n");
});

Deno.test("watch: JSON is a document a line, and tells that changes of the same revision follow", async () => {
  const { code, out, err } = await watched(["app/", "--prefix", "--output", "json"], BATCHES);
  const numbers = { createRevision: 7, modRevision: 7, version: 1 };
  const previous = { key: "app/a", value: "one\ttwo", ...numbers };
  assertEquals(out.trimEnd().split("\n").map((line) => JSON.parse(line)), [
    { kind: "put", revision: 7, ...previous, previous: null },
    { kind: "delete", revision: 8, key: "app/a", previous, more: true },
    {
      kind: "put",
      revision: 8,
      keyBase64: "/w==",
      value: "x",
      createRevision: 8,
      modRevision: 8,
      version: 1,
      previous: { keyBase64: "/w==", value: "", createRevision: 2, modRevision: 2, version: 1 },
    },
  ]);
  assertEquals([code, err], [0, '{"events":3,"revision":9}\n']);
});

Deno.test("watch: a terminal shows columns, and values no wider than it is", async () => {
  const wide = entry("app/b", "v".repeat(200), 10);
  const batches = [
    ...BATCHES,
    { kind: "events", revision: 10, events: [{ kind: "put", entry: wide }] } as const,
  ];
  const { out } = await watched(["app/", "--prefix"], batches, { terminal: true, columns: 60 });
  assertEquals(out.split("\n"), [
    "7  put     app/a  one\\ttwo",
    "8  delete  app/a  (was one\\ttwo)",
    "8  put     \\xff  x  (was )",
    `10  put     app/b  ${"v".repeat(28)}… (200 bytes)`,
    "",
  ]);
});

Deno.test("watch: a reset shows all keys in place of the changes that are missing", async () => {
  const entries = [entry("app/a", "1", 3), entry("app/b", "2", 5)];
  const reset = [{ kind: "reset", revision: 9, entries }] as const;
  assertEquals(
    (await watched(["app/", "--prefix", "--resync"], reset)).out,
    "9\treset\t2\n3\tentry\tapp/a\t1\n5\tentry\tapp/b\t2\n",
  );
  const { out } = await watched(["app/", "--prefix", "--resync", "--output", "json"], reset);
  assertEquals(out.split("\n").slice(0, 2), [
    '{"kind":"reset","revision":9,"entries":2}',
    '{"kind":"entry","key":"app/a","value":"1","createRevision":3,"modRevision":3,"version":1}',
  ]);
});

Deno.test("watch: an interruption is reported once, with the revision after which it goes on", async () => {
  const { watch, environment, ended } = await watching(["k"]);
  watch.give({ kind: "progress", revision: 4 });
  await settle();
  watch.give({ kind: "events", revision: 5, events: [{ kind: "put", entry: entry("k", "v", 5) }] });
  for (const node of [1, 2, 3]) watch.request.onInterruption?.(`the connection to node ${node} was lost.`);
  watch.give({ kind: "progress", revision: 5 });
  await settle();
  environment.signal();
  const { code, out, err } = await ended;
  assertEquals([code, out], [0, "5\tput\tk\tv\n"]);
  assertEquals(err.split("\n"), [
    "-- the watch was interrupted: the connection to node 1 was lost",
    "-- the watch goes on after revision 5",
    "-- 1 change up to revision 5; to go on: watch k --from 6",
    "",
  ]);
});

Deno.test("watch: compacted history ends it with 2, and its reader's end with 0", async () => {
  const lost = await watching(["k", "--from", "1"]);
  lost.watch.fail(
    new CompactedError("Cannot watch keys from revision 1: compacted.", { compactedRevision: 5 }),
  );
  assertEquals(await lost.ended, {
    code: 2,
    out: "",
    err: "kvraft: Cannot watch keys from revision 1: compacted.\n",
  });
  const { watch, environment, ended } = await watching(["k"]);
  environment.stdout.isClosed = true;
  watch.give({ kind: "events", revision: 2, events: [{ kind: "put", entry: entry("k", "v", 2) }] });
  assertEquals(await ended, { code: 0, out: "", err: "" });
  assertEquals(watch.isEnded, true);
});

Deno.test("watch: keys, ranges and options become those of the library", async () => {
  const requested = async (...args: readonly string[]): Promise<unknown> => {
    const { watch, environment, ended } = await watching(args);
    environment.signal();
    await ended;
    const { signal: _, onInterruption: __, ...request } = watch.request;
    return request;
  };
  const plain = { previous: false, resync: false, progress: true };
  assertEquals(await requested("k"), { ...plain, key: utf8.encode("k") });
  assertEquals(await requested("", "--prefix"), { ...plain, prefix: utf8.encode("") });
  assertEquals(await requested("--key-base64", "/w==", "--prefix"), {
    ...plain,
    prefix: Uint8Array.of(0xff),
  });
  assertEquals(await requested("--start", "a", "--end", "b", "--only", "deletes", "--previous", "--resync"), {
    start: utf8.encode("a"),
    end: utf8.encode("b"),
    only: "deletes",
    previous: true,
    resync: true,
    progress: true,
  });
  assertEquals(await requested("--end", "b", "--from", "7"), { ...plain, end: utf8.encode("b"), from: 7 });
});

Deno.test("watch: contradictions and nonsense are refused before anything is sent", async () => {
  const refused = async (...args: readonly string[]): Promise<readonly [number, string]> => {
    const { code, err } = await run(["watch", ...args]);
    return [code, err];
  };
  assertEquals(await refused("--start", "a", "--prefix"), [
    2,
    "kvraft: --start and --end name a range, in place of a key or prefix. Give one of them.\n",
  ]);
  assertEquals((await refused("k", "--start", "a"))[0], 2);
  assertEquals(await refused("k", "--only", "writes"), [
    2,
    'kvraft: --only must be puts or deletes, not "writes". Example: --only deletes\n',
  ]);
  assertEquals(await refused("k", "--from", "now"), [
    2,
    'kvraft: --from must be an integer from 0 to 9007199254740991, not "now".\n',
  ]);
  assertEquals((await refused())[0], 2);
});

Deno.test("options: one that has a value in another command is a switch where its command says so", async () => {
  const { watch, environment, ended } = await watching(["--prefix", "app/"]);
  environment.signal();
  await ended;
  assertEquals(watch.request.prefix, utf8.encode("app/"));
  assertEquals((await run(["bench", "--prefix"])).err.slice(0, 31), "kvraft: --prefix needs a value:");
});
