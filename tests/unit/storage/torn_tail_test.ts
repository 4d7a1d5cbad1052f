/** The search behind a log's last record: it is exact, and its work is linear in the bytes for any content. */
import { crc32 } from "node:zlib";
import { assert, assertEquals } from "@std/assert";
import type { DiskFile } from "../../../lib/platform/disk.ts";
import { encodeRecord, MAGIC, RECORD_HEADER_BYTES, segmentSeed } from "../../../lib/storage/wal/record.ts";
import { SpanChecksums } from "../../../lib/storage/wal/span_checksums.ts";
import { examineRest } from "../../../lib/storage/wal/torn_tail.ts";
import { MemoryDisk } from "../../support/fakes/memory_disk.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import {
  appendSynced,
  batch,
  contentOf,
  entry,
  FIRST_SEGMENT,
  hardState,
  openLog,
} from "../../support/storage.ts";

const SEED = segmentSeed(1);

function fileOf(bytes: Uint8Array): DiskFile {
  const disk = new MemoryDisk();
  const file = disk.open("/file", "create");
  file.write(bytes, 0);
  return file;
}

/** Bytes with one header after the other, each of a record of `bodyBytes` bytes whose synced offset is `synced`. */
function lookAlikes(bytes: number, { bodyBytes, synced }: { bodyBytes: number; synced: number }): Uint8Array {
  const all = new Uint8Array(bytes);
  const view = new DataView(all.buffer);
  for (let at = 0; at + RECORD_HEADER_BYTES <= bytes; at += RECORD_HEADER_BYTES) {
    all.set(MAGIC, at + 4);
    all[at + 7] = 3;
    view.setUint32(at + 8, bodyBytes);
    view.setUint32(at + 12, synced);
  }
  return all;
}

Deno.test("SpanChecksums: the checksum of a span at any offset is that of its bytes", async () => {
  const random = new SeededRandom(7);
  const bytes = Uint8Array.from({ length: 20_000 }, () => random.below(256));
  const file = fileOf(bytes);
  const checksums = new SpanChecksums({ file, maxSpanBytes: 3_000 });
  for (let from = 0; from < bytes.length; from += random.below(400)) {
    const to = Math.min(bytes.length, from + random.below(3_001));
    const seed = random.below(2 ** 32);
    const checksum = crc32(bytes.subarray(from, to), seed);
    assert(await checksums.holds({ from, to, seed, checksum }), `${from} to ${to}`);
    assert(!await checksums.holds({ from, to, seed, checksum: (checksum ^ 1) >>> 0 }), `${from} to ${to}`);
  }
  assert(
    !await checksums.holds({ from: 19_990, to: 20_001, seed: 0, checksum: 0 }),
    "beyond the end is nothing",
  );
  file.close();
});

Deno.test("examineRest: a torn batch full of look-alike headers costs work that is linear in its bytes", async () => {
  for (const bodyBytes of [1_000, 700_000, 2_000_000, 16_000_000]) {
    const bytes = lookAlikes(4_000_000, { bodyBytes, synced: 200 });
    const file = fileOf(bytes);
    const { workBytes, vouchedBy, end } = await examineRest({ file, seed: SEED, from: 100 });
    file.close();
    assertEquals([vouchedBy, end <= bytes.length && end > bytes.length - RECORD_HEADER_BYTES], [null, true]);
    // Three times the bytes, and two remainders of at most 512 bytes for each look-alike.
    const allowed = 3 * bytes.length + (bytes.length / RECORD_HEADER_BYTES) * 1_024;
    assert(workBytes <= allowed, `bodies of ${bodyBytes} bytes cost ${workBytes}, not ${allowed}`);
  }
});

Deno.test("examineRest: a record that shows a later sync is found among look-alikes, across windows of the search and at the very end", async () => {
  for (const offset of [1_048_570, 1_048_576, 2_097_130, 2_999_984]) {
    const bytes = lookAlikes(3_000_000, { bodyBytes: 900_000, synced: 200 });
    const place = { seed: SEED, offset };
    const view = new DataView(bytes.buffer);
    encodeRecord({ kind: "syncMark" }, { bytes, view, position: offset, place, syncedOffset: 101 });
    const file = fileOf(bytes);
    const { vouchedBy } = await examineRest({ file, seed: SEED, from: 100 });
    file.close();
    assertEquals(vouchedBy, { offset, syncedOffset: 101 });
  }
});

Deno.test("WriteAheadLog: a start reads a torn batch of look-alike headers a few times, not once for each of them", async () => {
  const disk = new MemoryDisk();
  const { log } = await openLog(disk, { segmentBytes: 8_000_000 });
  await appendSynced(log, [batch(hardState(1), entry(1, 1))]);
  log.append(batch(null, entry(2, 1, lookAlikes(4_000_000, { bodyBytes: 2_000_000, synced: 400 }))));
  const torn = disk.killProcess();
  // The batch lost its first sector, and with it the header of its record.
  torn.edit(FIRST_SEGMENT, (bytes) => bytes.fill(0, 200, 1_024));
  let readBytes = 0;
  const open = torn.open.bind(torn);
  torn.open = (path, mode) => {
    const file = open(path, mode);
    const read = file.read.bind(file);
    file.read = (into, offset) => {
      readBytes += into.length;
      return read(into, offset);
    };
    return file;
  };
  const { log: again, recovered } = await openLog(torn, { segmentBytes: 8_000_000 });
  assertEquals([contentOf(recovered).entries.length, recovered.cut !== null], [1, true]);
  assert(readBytes < 5 * 8_000_000, `${readBytes} bytes were read`);
  await again.close();
});
