/** The pace of frames: bursts, the rate in the long run, and keys with many watches. */
import { assertEquals } from "@std/assert";
import {
  FRAME_INTERVAL_MS,
  FramePace,
  FRAMES_AT_ONCE,
  WATCHES_PER_INTERVAL,
} from "../../../../lib/denokv/watch/frame_pace.ts";

/** Returns the times of the frames of a key that changes all the time. */
function timesOf(
  pace: FramePace,
  { untilMs, watches }: { readonly untilMs: number; readonly watches: number },
): number[] {
  const times: number[] = [];
  for (let nowMs = 0; nowMs < untilMs; nowMs += Math.max(1, pace.waitMs(nowMs))) {
    if (pace.waitMs(nowMs) > 0) continue;
    pace.sent(nowMs, watches);
    times.push(nowMs);
  }
  return times;
}

Deno.test("frame pace: after a burst there is a frame each interval", () => {
  const times = timesOf(new FramePace(), { untilMs: 10_000, watches: 1 });
  assertEquals(times.length, FRAMES_AT_ONCE + 10_000 / FRAME_INTERVAL_MS - 1);
  assertEquals(times.slice(-2), [9_800, 9_900]);
});

Deno.test("frame pace: a pause allows another burst, and no longer one after a long pause", () => {
  const pace = new FramePace();
  timesOf(pace, { untilMs: 1_000, watches: 1 });
  const nowMs = 3_600_000;
  for (let sent = 0; sent < FRAMES_AT_ONCE; sent++) {
    assertEquals(pace.waitMs(nowMs), 0);
    pace.sent(nowMs, 1);
  }
  assertEquals(pace.waitMs(nowMs), FRAME_INTERVAL_MS);
});

Deno.test("frame pace: the interval grows with the watches of the keys, which bounds the frames of a node", () => {
  const watches = 20 * WATCHES_PER_INTERVAL;
  const times = timesOf(new FramePace(), { untilMs: 60_000, watches });
  const framesPerSecond = times.length * watches / 60;
  assertEquals(
    framesPerSecond <= 1.1 * WATCHES_PER_INTERVAL * 1_000 / FRAME_INTERVAL_MS,
    true,
    `${framesPerSecond}`,
  );
});
