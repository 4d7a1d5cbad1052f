/** Connections fitted to the file descriptors that a process has. */
import { assert, assertEquals } from "@std/assert";
import { MAX_PENDING_HELLOS } from "../../../../lib/protocol/limits.ts";
import { serverConfigOf } from "../../../../lib/server/config/reading.ts";
import { denoPlatform } from "../../../../lib/server/startup/deno_platform.ts";
import { fitConnections, RESERVED_DESCRIPTORS } from "../../../../lib/server/startup/descriptors.ts";
import { RecordingLogger } from "../../../support/fakes/recording_logger.ts";

const WANTED = 4_096 + MAX_PENDING_HELLOS + RESERVED_DESCRIPTORS;

/** Returns the budget of a node with --max-connections 4096, and the levels of its log lines. */
function fitted(free: number | null): readonly [number, number, readonly string[]] {
  const logger = new RecordingLogger();
  const asked: number[] = [];
  const freeDescriptors = free === null ? undefined : (upTo: number): number => {
    asked.push(upTo);
    return Math.min(free, upTo);
  };
  const budget = fitConnections({ maxConnections: 4_096, freeDescriptors, logger });
  assertEquals(asked, free === null ? [] : [WANTED]);
  return [budget.maxConnections, budget.maxPendingHellos, logger.lines.map(({ level }) => level)];
}

Deno.test("fitConnections: with enough descriptors, or where that is not known, connections are as configured", () => {
  assertEquals(fitted(WANTED), [4_096, MAX_PENDING_HELLOS, []]);
  assertEquals(fitted(Infinity), [4_096, MAX_PENDING_HELLOS, []]);
  assertEquals(fitted(null), [4_096, MAX_PENDING_HELLOS, []]);
});

Deno.test("fitConnections: with fewer, clients and connections without a hello leave the reserve alone, and the log says so", () => {
  for (const free of [1_000, 2_000, 4_000, WANTED - 1]) {
    const [clients, pending, levels] = fitted(free);
    assert(clients + pending + RESERVED_DESCRIPTORS <= free, `${clients} and ${pending} of ${free}`);
    assert(clients >= 0.7 * (free - RESERVED_DESCRIPTORS), `${clients} of ${free} is not too few`);
    assertEquals(levels, clients < 4_096 ? ["warn"] : []);
  }
});

Deno.test("fitConnections: with hardly any, a few clients are taken and the log says that it is an error", () => {
  assertEquals(fitted(0), [16, 16, ["error"]]);
  assertEquals(fitted(RESERVED_DESCRIPTORS), [16, 16, ["error"]]);
});

Deno.test("denoPlatform: the free descriptors are counted on this machine, and none stays open", () => {
  const { freeDescriptors, logger } = denoPlatform(
    serverConfigOf({ nodeId: 1, bind: { host: "127.0.0.1", port: 7001 }, dataDir: "." }),
    () => {},
  );
  using _log = logger;
  assert(freeDescriptors !== undefined, "this machine can count them");
  assertEquals([freeDescriptors(40), freeDescriptors(40)], [40, 40]);
});
