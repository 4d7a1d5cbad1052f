/** The sending side of a connection: the order of its writes, and when they begin. */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes";
import { type Connection, PLAIN } from "../../../lib/platform/network.ts";
import { Output } from "../../../lib/web/output.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";

const FRAME_BYTES = 1_000;
/** Frames that reach the bytes which leave early. */
const EARLY_FRAMES = 5;

/** A connection whose writes end when the test says so. */
class SlowConnection implements Connection {
  readonly remote = "127.0.0.1:1";
  readonly security = PLAIN.security;
  readonly certificate = PLAIN.certificate;
  readonly binding = PLAIN.binding;
  readonly taken: Uint8Array[] = [];
  #write: { readonly bytes: Uint8Array; readonly resolve: (count: number) => void } | null = null;

  /** Bytes of the write in progress; 0 without one. */
  get writing(): number {
    return this.#write?.bytes.length ?? 0;
  }

  /** Takes at most so many bytes of the write in progress. */
  async take(most = Infinity): Promise<void> {
    const write = this.#write;
    assert(write !== null, "a write is in progress");
    this.#write = null;
    const part = write.bytes.slice(0, Math.min(most, write.bytes.length));
    this.taken.push(part);
    write.resolve(part.length);
    await Promise.resolve();
  }

  read(): Promise<number | null> {
    return Promise.reject(new Error("nothing is read"));
  }

  write(bytes: Uint8Array): Promise<number> {
    assert(this.#write === null, "there is one write at a time");
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#write = { bytes, resolve };
    return promise;
  }

  close(): void {}
}

/** An output over a slow connection. */
class Scene {
  readonly clock = new ManualClock();
  readonly connection = new SlowConnection();
  onProgress = (): void => {};
  readonly output = new Output(this.connection, {
    clock: this.clock,
    onProgress: () => this.onProgress(),
    onFailed: () => {},
  });
  #frames = 0;

  /** Queues frames, each with its number in all of its bytes. */
  queue(frames: number): void {
    for (let count = 0; count < frames; count++) {
      this.output.queue().bytes(new Uint8Array(FRAME_BYTES).fill(this.#frames++));
    }
  }

  /** Returns the numbers of the frames that were taken, each of which is complete. */
  frames(): readonly number[] {
    const bytes = concat(this.connection.taken);
    const frames = Array.from(
      { length: bytes.length / FRAME_BYTES },
      (_, at) => new Set(bytes.subarray(at * FRAME_BYTES, (at + 1) * FRAME_BYTES)),
    );
    assert(frames.every((numbers) => numbers.size === 1), "each frame is complete");
    return frames.flatMap((numbers) => [...numbers]);
  }
}

Deno.test("Output: few bytes leave at the end of the turn, and more in a write of their own before it", async () => {
  const scene = new Scene();
  const { connection } = scene;
  scene.queue(EARLY_FRAMES);
  assertEquals(connection.writing, 0);
  scene.queue(1);
  assertEquals(connection.writing, EARLY_FRAMES * FRAME_BYTES);
  await connection.take();
  // The write has ended within the turn: the rest of the turn leaves together.
  scene.queue(1);
  assertEquals(connection.writing, 0);
  await settle();
  assertEquals(connection.writing, 2 * FRAME_BYTES);
  await connection.take();
  assertEquals(scene.frames(), [0, 1, 2, 3, 4, 5, 6]);
  assertEquals(scene.output.queuedBytes, 0);
});

Deno.test("Output: what is queued during a write leaves behind it, at the end of the turn at once", async () => {
  const scene = new Scene();
  const { connection } = scene;
  scene.queue(1);
  await settle();
  scene.queue(2 * EARLY_FRAMES);
  assertEquals(connection.writing, FRAME_BYTES);
  await connection.take();
  assertEquals(connection.writing, 2 * EARLY_FRAMES * FRAME_BYTES);
  await connection.take();
  assertEquals(scene.frames(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

Deno.test("Output: a write of which a part was taken goes on before what its end queues", async () => {
  const scene = new Scene();
  const { connection } = scene;
  let left = 2;
  scene.onProgress = () => {
    if (left-- > 0) scene.queue(EARLY_FRAMES + 1);
  };
  scene.queue(1);
  await settle();
  while (connection.writing > 0) {
    await connection.take(FRAME_BYTES / 2);
    await settle();
  }
  assertEquals(scene.frames(), Array.from({ length: 2 * EARLY_FRAMES + 3 }, (_, number) => number));
  assertEquals(scene.output.writtenBytes, (2 * EARLY_FRAMES + 3) * FRAME_BYTES);
});

Deno.test("Output: a position is reported when everything before it was written, and not before", async () => {
  const scene = new Scene();
  const { connection, output } = scene;
  const written: (readonly [string, boolean])[] = [];
  scene.queue(EARLY_FRAMES + 1);
  output.whenWritten((isWritten) => written.push(["first", isWritten]));
  await connection.take();
  await settle();
  assertEquals(written, []);
  output.whenWritten((isWritten) => written.push(["second", isWritten]));
  await connection.take();
  assertEquals(written, [["first", true], ["second", true]]);
  scene.queue(1);
  output.whenWritten((isWritten) => written.push(["third", isWritten]));
  output.stop();
  assertEquals(written.at(-1), ["third", false]);
});
