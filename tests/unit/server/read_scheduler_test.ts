/** ReadScheduler: the order of reads, how many are answered in a turn, and reads of held and closed connections. */
import { assertEquals } from "@std/assert";
import type { Reply } from "../../../lib/server/reply.ts";
import {
  READ_TURN_BYTES,
  type ReadQueue,
  ReadScheduler,
  type ReadSize,
} from "../../../lib/server/read_scheduler.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";

const NOTHING = new Uint8Array(0);
const QUERY = { prefix: NOTHING, start: null, end: null, after: null, limit: 1, reverse: false };

/** A scheduler whose reads return only their number. */
class Scene {
  readonly clock = new ManualClock();
  /** The ends of reads, in order. */
  readonly log: string[] = [];
  readonly scheduler: ReadScheduler;
  /** The size of each answer. */
  size: ReadSize = { entries: 0, bytes: 0, looked: 0 };

  /** The bytes that each queue reports. */
  readonly held: number[] = [];

  constructor() {
    const note = (what: string) => ({ request }: { request: { requestId: number } }): void =>
      void this.log.push(`${what}${request.requestId}`);
    this.scheduler = new ReadScheduler({
      clock: this.clock,
      answer: (read) => {
        note("")(read);
        return this.size;
      },
      refused: note("refused "),
      dropped: note("dropped "),
    });
  }

  /** A connection's queue. */
  queue(isHeld = (): boolean => false): ReadQueue {
    const position = this.held.push(0) - 1;
    return this.scheduler.queue({ isHeld, hold: (bytes) => void (this.held[position] = bytes) });
  }

  get(queue: ReadQueue, requestId: number): void {
    const request = { kind: "get", requestId, key: NOTHING, consistency: "stale" } as const;
    queue.add({ request, reply: {} as Reply });
  }

  list(queue: ReadQueue, requestId: number): void {
    const request = {
      kind: "list",
      requestId,
      query: QUERY,
      consistency: "stale",
      visibleOnly: false,
    } as const;
    queue.add({ request, reply: {} as Reply });
  }

  /** Returns and removes the ends of reads. */
  taken(): string {
    return this.log.splice(0).join(" ");
  }

  /** A turn of the event loop, with its timers. */
  async turn(): Promise<string> {
    await settle();
    this.clock.sleep(0);
    return this.taken();
  }
}

Deno.test("ReadScheduler: small reads are answered at once, many in one turn", () => {
  const scene = new Scene();
  const queue = scene.queue();
  for (let id = 1; id <= 1_000; id++) scene.get(queue, id);
  assertEquals([scene.log.length, queue.length, scene.clock.timerCount], [1_000, 0, 0]);
});

Deno.test("ReadScheduler: pages are answered one a turn, in their order", async () => {
  const scene = new Scene();
  scene.size = { entries: 10, bytes: READ_TURN_BYTES, looked: 0 };
  const queue = scene.queue();
  for (let id = 1; id <= 4; id++) scene.list(queue, id);
  assertEquals(scene.taken(), "1");
  assertEquals([await scene.turn(), await scene.turn(), await scene.turn()], ["2", "3", "4"]);
  assertEquals([await scene.turn(), scene.clock.timerCount], ["", 0]);
});

Deno.test("ReadScheduler: a page counts by its entries, too", async () => {
  const scene = new Scene();
  scene.size = { entries: 10_000, bytes: 10_000, looked: 0 };
  const queue = scene.queue();
  scene.list(queue, 1);
  scene.list(queue, 2);
  assertEquals([scene.taken(), await scene.turn()], ["1", "2"]);
});

Deno.test("ReadScheduler: connections take turns, and gets come before the lists of others", async () => {
  const scene = new Scene();
  scene.size = { entries: 0, bytes: READ_TURN_BYTES, looked: 0 };
  const [a, b, c] = [1, 2, 3].map(() => scene.queue()) as [
    ReadQueue,
    ReadQueue,
    ReadQueue,
  ];
  for (const id of [10, 11, 12]) scene.list(a, id);
  for (const id of [20, 21]) scene.list(b, id);
  scene.get(c, 30);
  scene.list(c, 31);
  // The get, and one list nevertheless: neither kind delays the other.
  assertEquals([scene.taken(), await scene.turn()], ["10", "30 11"]);
  assertEquals([await scene.turn(), await scene.turn()], ["20", "31"]);
  assertEquals([await scene.turn(), await scene.turn()], ["12", "21"]);
});

Deno.test("ReadScheduler: a get overtakes the pages of its own connection, which many clients may share", async () => {
  const scene = new Scene();
  scene.size = { entries: 0, bytes: READ_TURN_BYTES, looked: 0 };
  const shared = scene.queue();
  for (const id of [10, 11, 12]) scene.list(shared, id);
  for (const id of [20, 21]) scene.get(shared, id);
  assertEquals([scene.taken(), shared.length], ["10", 4]);
  assertEquals([await scene.turn(), await scene.turn(), await scene.turn()], ["20 11", "21 12", ""]);
  assertEquals([shared.length, scene.held, scene.clock.timerCount], [0, [0], 0]);
});

Deno.test("ReadScheduler: no answer is built for a client that does not read, until it does", async () => {
  const scene = new Scene();
  let isHeld = true;
  const queue = scene.queue(() => isHeld);
  scene.list(queue, 1);
  scene.get(queue, 2);
  queue.resume();
  assertEquals([await scene.turn(), queue.length, scene.clock.timerCount], ["", 2, 0]);
  isHeld = false;
  queue.resume();
  // The page only once further requests were read.
  assertEquals([scene.taken(), queue.length], ["2", 1]);
  assertEquals([await scene.turn(), queue.length], ["1", 0]);
});

Deno.test("ReadScheduler: a client that stops taking answers leaves the turns to the others", async () => {
  const scene = new Scene();
  scene.size = { entries: 0, bytes: READ_TURN_BYTES, looked: 0 };
  let isHeld = false;
  const slow = scene.queue(() => isHeld);
  const other = scene.queue();
  for (const id of [1, 2]) scene.list(slow, id);
  for (const id of [10, 11]) scene.list(other, id);
  assertEquals(scene.taken(), "1");
  isHeld = true;
  assertEquals([await scene.turn(), await scene.turn(), await scene.turn()], ["10", "11", ""]);
  assertEquals(scene.clock.timerCount, 0);
});

Deno.test("ReadScheduler: the reads of a closed connection are dropped; at a stop they are refused", async () => {
  const scene = new Scene();
  scene.size = { entries: 0, bytes: READ_TURN_BYTES, looked: 0 };
  const [gone, held, late] = [false, true, false].map((isHeld) => scene.queue(() => isHeld)) as [
    ReadQueue,
    ReadQueue,
    ReadQueue,
  ];
  for (const id of [1, 2, 3]) scene.list(gone, id);
  gone.close();
  scene.get(held, 4);
  assertEquals([scene.taken(), await scene.turn()], ["1 dropped 2 dropped 3", ""]);
  scene.scheduler.stop();
  scene.get(late, 5);
  assertEquals([scene.taken(), await scene.turn(), scene.clock.timerCount], ["refused 4 refused 5", "", 0]);
});
