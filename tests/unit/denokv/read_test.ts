/** Reads: the ranges that are asked for, and the entries of the answer. */
import { assertEquals } from "@std/assert";
import { equals } from "@std/bytes";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { encodeSnapshotReadOutput } from "../../../lib/denokv/datapath_output.ts";
import { LARGE_READ_TURN_MS, MAX_LARGE_READS } from "../../../lib/denokv/load/large_reads.ts";
import type { StoreRange } from "../../../lib/denokv/store.ts";
import type { KeyValue } from "../../../lib/kv/command.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import { type FakeRequest, type Scene, textOf, withService } from "./service_scene.ts";

function range(start: readonly number[], end: readonly number[], limit = 1, reverse = false): StoreRange {
  return { start: Uint8Array.from(start), end: Uint8Array.from(end), limit, reverse };
}

/** Reads ranges of the default database. */
async function read(scene: Scene, ranges: readonly StoreRange[], agent = "Deno/2.9.6"): Promise<FakeRequest> {
  const writer = new BinaryWriter();
  for (const { start, end, limit, reverse } of ranges) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).bytes(start).tag(2, WireType.LengthDelimited).bytes(end);
    writer.tag(3, WireType.Varint).int32(limit).tag(4, WireType.Varint).bool(reverse).join();
  }
  const headers = { authorization: `Bearer ${await scene.dataToken()}`, "user-agent": agent };
  return await scene.send("/kv/snapshot_read", { headers, body: writer.finish() });
}

Deno.test("read: the ranges are read as they are, and their entries answered", () =>
  withService(async (scene) => {
    const entry: KeyValue = {
      key: Uint8Array.of(2, 97, 0),
      value: Uint8Array.of(3, 1, 2),
      createRevision: 5,
      modRevision: 6,
      version: 2,
    };
    scene.store.entriesOf = ({ limit }) => limit === 500 ? [entry, entry] : [];
    const ranges = [range([2], [3], 500), range([2, 97, 0], [2, 97, 0, 0]), range([], [255], 100, true)];
    const { answer } = await read(scene, ranges);
    assertEquals(scene.store.reads, [ranges]);
    assertEquals(answer?.body, encodeSnapshotReadOutput([[entry, entry], [], []], { isStrong: true }));
    assertEquals(answer?.headers, { "content-type": "application/x-protobuf" });
  }));

/** An entry whose value Deno has written in this format of V8. */
function entryOf(key: readonly number[], format: number): KeyValue {
  const value = Uint8Array.of(1, 0xff, format, 0x5f);
  return { key: Uint8Array.from(key), value, createRevision: 5, modRevision: 5, version: 1 };
}

Deno.test("read: Node is spared the value behind an absent key that it could not read, and only that", () =>
  withService(async (scene) => {
    const next = entryOf([2, 99, 0], 16);
    const point = range([2, 97, 0], [255]);
    /** Returns the number of entries of the answer to a client. */
    const entries = async (one: StoreRange, found: KeyValue, agent = "node"): Promise<number> => {
      scene.store.entriesOf = () => [found];
      const { answer } = await read(scene, [one], agent);
      const [none, all] = [[], [found]].map((list) => encodeSnapshotReadOutput([list], { isStrong: true }));
      if (answer?.body instanceof Uint8Array && all !== undefined && equals(answer.body, all)) return 1;
      assertEquals(answer?.body, none);
      return 0;
    };
    assertEquals(await entries(point, next), 0);
    // A list of one key has the same range: what Node can read it gets, and Deno gets everything.
    assertEquals(await entries(point, entryOf([2, 99, 0], 15)), 1);
    assertEquals(await entries(point, next, "Deno/2.9.6"), 1);
    // The asked key itself, and other lists.
    assertEquals(await entries(point, entryOf([2, 97, 0], 16)), 1);
    for (
      const list of [range([], [255]), range([2], [255], 2), range([2], [255], 1, true), range([2], [2, 255])]
    ) {
      assertEquals(await entries(list, next), 1);
    }
  }));

Deno.test("read: without a leader it is answered 503 with a short cause, and beyond a limit 400", () =>
  withService(async (scene) => {
    await read(scene, [range([1], [2])]);
    scene.store.hasLeader = false;
    assertEquals(textOf(await read(scene, [range([1], [2])])), [
      503,
      "node 1 answered: this node knows of no leader.",
    ]);
    assertEquals(textOf(await read(scene, [range([1], [2], 1_001)])), [400, "Too many entries (max 1000)"]);
  }));

Deno.test("read: few large reads are answered at once; the others wait for a turn, or are answered 503", () =>
  withService(async (scene) => {
    const { store } = scene;
    const readNow = store.read.bind(store);
    const finish: (() => void)[] = [];
    store.read = async (databaseId, ranges, options) => {
      await options?.beforeMore?.();
      const { promise, resolve } = Promise.withResolvers<void>();
      finish.push(resolve);
      await promise;
      return await readNow(databaseId, ranges);
    };
    const ask = (): Promise<FakeRequest> => read(scene, [range([2], [3], 1_000)], "Deno/2.9.6");
    const running: FakeRequest[] = [];
    for (let asked = 0; asked < MAX_LARGE_READS; asked++) running.push(await ask());
    const [late, later] = [await ask(), await ask()];
    assertEquals(finish.length, MAX_LARGE_READS);
    finish[0]?.();
    await settle();
    assertEquals(running[0]?.answer?.status, 200);
    assertEquals(finish.length, MAX_LARGE_READS + 1);
    scene.clock.advance(LARGE_READ_TURN_MS);
    await settle();
    assertEquals(later.answer?.status, 503);
    for (const end of finish) end();
    await settle();
    assertEquals([...running, late].map(({ answer }) => answer?.status), [200, 200, 200, 200]);
    for (let asked = 0; asked < MAX_LARGE_READS; asked++) await ask();
    assertEquals(finish.length, 2 * MAX_LARGE_READS + 1);
    for (const end of finish) end();
    await settle();
  }));
