/** `Watch` of gRPC's health service: the present state at once, then its changes, by one check for all clients. */
import { assertEquals } from "@std/assert";
import { HEALTH_INTERVAL_MS, HealthWatch } from "../../../lib/etcd/maintenance/health_watch.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";

Deno.test("HealthWatch: a client learns the present state and each change, and all share one check", async () => {
  const clock = new ManualClock();
  let readable = true;
  let checks = 0;
  const isReadable = (): Promise<boolean> => Promise.resolve((checks++, readable));
  const watch = new HealthWatch({ isReadable, clock });
  const [first, second]: [string[], string[]] = [[], []];
  const pass = async (): Promise<void> => {
    clock.advance(HEALTH_INTERVAL_MS);
    await settle();
  };
  const removeFirst = watch.add((status) => first.push(status));
  await settle();
  const removeSecond = watch.add((status) => second.push(status));
  await pass();
  assertEquals([first, second, checks], [["SERVING"], ["SERVING"], 2]);
  readable = false;
  await pass();
  removeFirst();
  readable = true;
  await pass();
  assertEquals([first, second], [["SERVING", "NOT_SERVING"], ["SERVING", "NOT_SERVING", "SERVING"]]);
  removeSecond();
  await settle();
  const before = checks;
  await pass();
  assertEquals(checks, before, "without clients nothing is checked");
  const third: string[] = [];
  readable = false;
  const removeThird = watch.add((status) => third.push(status));
  await settle();
  assertEquals(third, ["NOT_SERVING"]);
  removeThird();
});
