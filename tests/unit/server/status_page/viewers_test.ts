/** Viewers: when the reports are collected, and for whom. */
import { assertEquals } from "@std/assert";
import {
  EVENT_INTERVAL_MS,
  MIN_EVENT_INTERVAL_MS,
  Viewers,
} from "../../../../lib/server/status_page/viewers.ts";
import type { HttpStreamWriter } from "../../../../lib/platform/network.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";

/** The stream of one viewer. */
class Viewer implements HttpStreamWriter {
  readonly received: string[] = [];
  isClosed = false;
  /** Whether it reads. */
  isReading = true;

  send(text: string): boolean {
    if (this.isReading) this.received.push(text);
    return this.isReading;
  }

  close(): void {
    this.isClosed = true;
  }
}

/** Viewers of a view that counts how often it is made. */
function scene(fail: () => boolean = () => false): {
  readonly clock: ManualClock;
  readonly logger: RecordingLogger;
  readonly viewers: Viewers;
  readonly views: () => number;
  readonly pass: (durationMs: number) => Promise<void>;
} {
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  let views = 0;
  const view = (): Promise<string> => {
    views += 1;
    return fail() ? Promise.reject(new Error("broken")) : Promise.resolve(`{"view":${views}}`);
  };
  const viewers = new Viewers({ clock, logger, view });
  const pass = async (durationMs: number): Promise<void> => {
    clock.advance(durationMs);
    await settle();
  };
  return { clock, logger, viewers, views: () => views, pass };
}

Deno.test("Viewers: reports are collected once a second for all viewers, and without any there is no timer", async () => {
  const { clock, viewers, views, pass } = scene();
  await pass(10 * EVENT_INTERVAL_MS);
  assertEquals([views(), clock.timerCount], [0, 0]);
  const [first, second] = [new Viewer(), new Viewer()];
  const leave = viewers.add(first, () => true);
  await pass(0);
  assertEquals(first.received, ['data: {"view":1}\n\n']);
  const leaveToo = viewers.add(second, () => true);
  await pass(MIN_EVENT_INTERVAL_MS);
  for (let second = 0; second < 3; second++) await pass(EVENT_INTERVAL_MS);
  assertEquals([views(), first.received.length, second.received.length], [5, 5, 4]);
  leave();
  await pass(EVENT_INTERVAL_MS);
  assertEquals([views(), first.received.length, second.received.length], [6, 5, 5]);
  leaveToo();
  assertEquals([viewers.size, clock.timerCount], [0, 0]);
  await pass(10 * EVENT_INTERVAL_MS);
  assertEquals(views(), 6);
});

Deno.test("Viewers: a change is shown at once, and many changes are shown together", async () => {
  const { viewers, views, pass } = scene();
  const viewer = new Viewer();
  viewers.add(viewer, () => true);
  await pass(0);
  await pass(EVENT_INTERVAL_MS / 2);
  for (let change = 0; change < 10; change++) viewers.changed();
  await pass(0);
  assertEquals(views(), 2);
  for (let change = 0; change < 10; change++) viewers.changed();
  await pass(MIN_EVENT_INTERVAL_MS - 1);
  assertEquals(views(), 2);
  await pass(1);
  assertEquals([views(), viewer.received.length], [3, 3]);
  viewers.close();
});

Deno.test("Viewers: a viewer that does not read misses events, and the others do not", async () => {
  const { viewers, pass } = scene();
  const [slow, other] = [new Viewer(), new Viewer()];
  for (const viewer of [slow, other]) viewers.add(viewer, () => true);
  await pass(0);
  slow.isReading = false;
  await pass(EVENT_INTERVAL_MS);
  await pass(EVENT_INTERVAL_MS);
  slow.isReading = true;
  await pass(EVENT_INTERVAL_MS);
  assertEquals(slow.received, ['data: {"view":1}\n\n', 'data: {"view":4}\n\n']);
  assertEquals(other.received.length, 4);
  viewers.close();
});

Deno.test("Viewers: a viewer that may see the page no longer is sent nothing more", async () => {
  const { viewers, pass } = scene();
  let isAllowed = true;
  const [user, other] = [new Viewer(), new Viewer()];
  const left = viewers.add(user, () => isAllowed);
  user.close = (): void => {
    user.isClosed = true;
    left();
  };
  viewers.add(other, () => true);
  await pass(0);
  isAllowed = false;
  await pass(EVENT_INTERVAL_MS);
  assertEquals([user.isClosed, user.received.length, other.received.length], [true, 1, 2]);
  viewers.close();
});

Deno.test("Viewers: a failure to collect is logged, and the next event comes at its time", async () => {
  let isBroken = true;
  const { clock, logger, viewers, pass } = scene(() => isBroken);
  const viewer = new Viewer();
  viewers.add(viewer, () => true);
  await pass(0);
  assertEquals(viewer.received, []);
  assertEquals(logger.lines.map(({ message, fields }) => [message, fields["reason"]]), [[
    "Cannot collect what the status page shows",
    "broken",
  ]]);
  isBroken = false;
  await pass(EVENT_INTERVAL_MS);
  assertEquals(viewer.received, ['data: {"view":2}\n\n']);
  viewers.close();
  assertEquals([viewer.isClosed, clock.timerCount], [true, 0]);
});
