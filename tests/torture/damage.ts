/**
 * Flips one bit in the log of a stopped node, at a position where recovery must detect it.
 *
 * After the last sync marker a damaged record cannot be distinguished from a torn one, and is cut off (docs/guarantees.md).
 * So the bit is flipped before that marker, where a node must refuse to start.
 */
import { join } from "@std/path";
import { MAGIC, MAGIC_AT, readFrame, RECORD_HEADER_BYTES } from "../../lib/storage/wal/record.ts";
import type { SeededRandom } from "../support/seeded_random.ts";

/** A flipped bit. */
export interface Damage {
  /** `1.log, byte 4711`. */
  readonly place: string;
  /** Flips it back. */
  undo(): void;
}

/** Flips a bit in the data directory of a node that is down; null when nothing of its log is known to be synced. */
export function damageLog(dataFolder: string, random: SeededRandom): Damage | null {
  const folder = join(dataFolder, "wal");
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(".log"))
    .sort();
  const name = random.pick(names);
  const file = join(folder, name);
  const bytes = Deno.readFileSync(file);
  const guarded = name === names.at(-1) ? syncedBytes(bytes) : bytes.length;
  if (guarded === 0) return null;
  const at = random.below(guarded);
  const bit = 1 << random.below(8);
  const flip = (): void => {
    bytes[at] = (bytes[at] ?? 0) ^ bit;
    Deno.writeFileSync(file, bytes);
  };
  flip();
  return { place: `${name}, byte ${at}`, undo: flip };
}

/** Returns the synced length of the last segment, according to its own records. */
function syncedBytes(bytes: Uint8Array<ArrayBuffer>): number {
  const view = new DataView(bytes.buffer);
  let synced = 0;
  for (let offset = 0; offset + RECORD_HEADER_BYTES <= bytes.length; offset++) {
    if (!MAGIC.every((byte, position) => bytes[offset + MAGIC_AT + position] === byte)) continue;
    synced = Math.max(synced, readFrame(view, offset, offset)?.syncedOffset ?? 0);
  }
  return synced;
}
