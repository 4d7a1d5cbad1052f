/**
 * Records the operations of a disk, and rebuilds the disks that a loss of power before each of them may leave.
 */
import type { MemoryDisk, Unsynced } from "./fakes/memory_disk.ts";
import type { SeededRandom } from "./seeded_random.ts";

/** The moment before an operation of a disk, or after the last one. */
export interface CrashPoint<Known> {
  /** The next operation, for messages. */
  readonly about: string;
  /** The disk at that moment, with synced and unsynced writes. */
  readonly image: MemoryDisk;
  /** State of the recorded run at that moment. */
  readonly known: Known;
}

/** Most unsynced pieces of which every subset is tried; of more, samples are. */
const EXHAUSTIVE_PIECES = 6;

/** Adds a crash point to `into` before every operation of `disk` from now on. */
export function recordCrashPoints<Known>(
  disk: MemoryDisk,
  { into, known }: { readonly into: CrashPoint<Known>[]; readonly known: () => Known },
): void {
  disk.intercept = ({ kind, path }) => {
    into.push({ about: `${kind} ${path}`, image: disk.killProcess(), known: known() });
    return null;
  };
}

/**
 * The disks that a loss of power may leave of `image`, each different from the others: every subset of the unsynced
 * sectors, cuts and names where they are few, else none, all, all but one, only one, and random ones.
 */
export function* outcomesOf(
  image: MemoryDisk,
  { random, samples }: { readonly random: SeededRandom; readonly samples: number },
): Iterable<MemoryDisk> {
  const pieces = piecesOf(image);
  const seen = new Set<string>();
  for (const keeps of choices(pieces, { random, samples })) {
    let at = 0;
    const disk = image.crash(() => keeps(at++));
    const content = JSON.stringify([...disk.contents()]);
    if (seen.has(content)) continue;
    seen.add(content);
    yield disk;
  }
}

/** Counts the pieces that a crash may lose. A lost directory hides pieces, so all are kept while counting. */
function piecesOf(image: MemoryDisk): number {
  const pieces: Unsynced[] = [];
  image.crash((piece) => pieces.push(piece) > 0);
  return pieces.length;
}

function* choices(
  pieces: number,
  { random, samples }: { readonly random: SeededRandom; readonly samples: number },
): Iterable<(piece: number) => boolean> {
  if (pieces <= EXHAUSTIVE_PIECES) {
    for (let kept = 0; kept < 2 ** pieces; kept++) yield (piece) => (kept >> piece & 1) === 1;
    return;
  }
  yield () => false;
  yield () => true;
  for (let sample = 0; sample < samples; sample++) {
    const one = random.below(pieces);
    const share = random.next();
    yield random.pick([
      (piece: number) => piece !== one,
      (piece: number) => piece === one,
      (piece: number) => piece < one,
      () => random.chance(share),
    ]);
  }
}
