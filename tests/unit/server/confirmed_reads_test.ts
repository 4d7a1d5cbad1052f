/** Reads at a node that is behind: answered when it has caught up, refused when that takes too long or too many wait. */
import { assertEquals } from "@std/assert";
import { ConfirmedReads, MAX_CONFIRMED_READS } from "../../../lib/server/replica.ts";
import { ManualClock } from "../../support/fakes/manual_clock.ts";

interface Scene {
  readonly clock: ManualClock;
  readonly reads: ConfirmedReads;
  readonly answers: string[];
  readonly add: (index: number) => void;
}

function scene(): Scene {
  const clock = new ManualClock();
  const reads = new ConfirmedReads({ clock, timeoutMs: 100 });
  const answers: string[] = [];
  const add = (index: number): void => reads.add(index, (ready) => void answers.push(`${index} ${ready}`));
  return { clock, reads, answers, add };
}

Deno.test("ConfirmedReads: reads are answered in the order of their indexes, as these are applied", () => {
  const { clock, reads, answers, add } = scene();
  for (const index of [7, 5, 6, 5]) add(index);
  reads.applied(4);
  reads.applied(5);
  assertEquals(answers.splice(0), ["5 true", "5 true"]);
  reads.applied(9);
  assertEquals([answers, reads.size], [["6 true", "7 true"], 0]);
  clock.advance(1_000);
  assertEquals([answers.length, clock.timerCount], [2, 0]);
});

Deno.test("ConfirmedReads: a node that does not catch up refuses each read at its own deadline", () => {
  const { clock, reads, answers, add } = scene();
  add(9);
  clock.advance(60);
  add(8);
  clock.advance(39);
  assertEquals(answers, []);
  clock.advance(1);
  assertEquals(answers.splice(0), ["9 false"]);
  clock.advance(60);
  assertEquals([answers.splice(0), reads.size, clock.timerCount], [["8 false"], 0, 0]);
});

Deno.test("ConfirmedReads: beyond the bound a read is refused at once; at the end all are", () => {
  const { clock, reads, answers, add } = scene();
  for (let more = 0; more < MAX_CONFIRMED_READS; more++) add(3);
  assertEquals(answers.length, 0);
  add(2);
  assertEquals([answers.splice(0), reads.size], [["2 false"], MAX_CONFIRMED_READS]);
  reads.close();
  assertEquals([answers.length, reads.size, clock.timerCount], [MAX_CONFIRMED_READS, 0, 0]);
});
