/** The log on a real disk: appending (no sync), and appending until it is durable. */
import { join } from "@std/path";
import { DenoDisk, WriteAheadLog } from "../../../lib/storage/mod.ts";
import { CHECKOUT } from "../../support/checkout.ts";
import { batch, hardState, IDENTITY } from "../../support/storage.ts";
import { entriesFrom } from "./fixtures.ts";

const SEGMENT_BYTES = 67_108_864;

const folder = join(CHECKOUT, ".cache", "bench", "wal");
Deno.mkdirSync(folder, { recursive: true });
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

/** Opens an empty log in a new folder. */
async function open(name: string): Promise<{ append: (count: number) => void; sync: () => Promise<void> }> {
  const directory = join(folder, name);
  Deno.mkdirSync(directory);
  const { log } = await WriteAheadLog.open({
    disk: new DenoDisk(),
    directory,
    identity: IDENTITY,
    snapshot: null,
    segmentBytes: SEGMENT_BYTES,
    entryCacheBytes: 0,
  });
  log.append(batch(hardState(1)));
  await log.sync();
  let index = 1;
  return {
    append: (count) => {
      log.append(batch(null, ...entriesFrom(index, count)));
      index += count;
    },
    sync: async () => {
      await log.sync();
      // Compacts, so that the disk does not fill up.
      log.removeBefore(index);
    },
  };
}

for (const count of [1, 64, 1_024]) {
  const log = await open(`${count}`);
  Deno.bench({
    name: `wal: ${count} ${count === 1 ? "entry" : "entries"} of 256 B durable`,
    group: `wal ${count}`,
    fn: async () => {
      log.append(count);
      await log.sync();
    },
  });
  Deno.bench({
    name: `wal: ${count} ${count === 1 ? "entry" : "entries"}, the append alone`,
    group: `wal ${count}`,
    fn: async (bench) => {
      bench.start();
      log.append(count);
      bench.end();
      await log.sync();
    },
  });
}
