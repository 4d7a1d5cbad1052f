/** Two processes that call as one node are detected, and one that reconnects again and again is not. */
import { assertEquals } from "@std/assert";
import { TWIN_REPLACEMENTS, TWIN_WINDOW_MS, TwinCallers } from "../../../lib/transport/twin_callers.ts";
import { MAX_PEER_LANES } from "../../../lib/protocol/limits.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";
import { until } from "../../support/fakes/accepting_node.ts";
import { peerHello, welcomed, withNode } from "./listener_scene.ts";

const WARNING =
  "Two processes connect as one node: does a copy of its data directory run beside the original? Stop the copy";
const REMOTES = { older: "10.0.0.2:5000", newer: "10.0.0.9:5000" };

Deno.test("TwinCallers: connections of a node that replace open ones in quick succession are logged once a minute", () => {
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const twins = new TwinCallers({ clock, logger });
  const replaced = (times: number): void => {
    for (let time = 0; time < times; time++) twins.replaced(2, REMOTES);
  };
  replaced(TWIN_REPLACEMENTS - 1);
  assertEquals(logger.messages, []);
  clock.advance(TWIN_WINDOW_MS + 1);
  replaced(TWIN_REPLACEMENTS - 1);
  assertEquals(logger.messages, [], "a network that is down now and then is no sign");
  replaced(1);
  assertEquals(logger.messages, [WARNING]);
  replaced(100);
  clock.advance(59_000);
  replaced(100);
  assertEquals(logger.messages, [WARNING]);
  clock.advance(1_000);
  replaced(1);
  assertEquals(logger.messages, [WARNING, WARNING]);
});

Deno.test("TwinCallers: of very many nodes the latest callers are remembered", () => {
  const logger = new RecordingLogger();
  const twins = new TwinCallers({ clock: new ManualClock(), logger });
  twins.replaced(2, REMOTES);
  for (let node = 100; node < 100 + MAX_PEER_LANES; node++) twins.replaced(node, REMOTES);
  for (let time = 1; time < TWIN_REPLACEMENTS; time++) twins.replaced(2, REMOTES);
  assertEquals(logger.messages, []);
  twins.replaced(2, REMOTES);
  assertEquals(logger.messages, [WARNING]);
});

Deno.test("ConnectionListener: lanes that replace open ones are counted as twins, and neither closed ones nor probes", () =>
  withNode(async ({ node, network }) => {
    for (let time = 0; time <= TWIN_REPLACEMENTS; time++) {
      const caller = await welcomed(network, peerHello(2));
      caller.close();
      await until("it is closed", () => node.listener.counts().peerLanes === 0);
    }
    for (let time = 0; time <= TWIN_REPLACEMENTS; time++) await welcomed(network, peerHello(2, 3));
    await settle();
    assertEquals(node.logger.messages.filter((message) => message === WARNING), []);
    for (let time = 0; time <= TWIN_REPLACEMENTS; time++) await welcomed(network, peerHello(2));
    await settle();
    assertEquals(node.logger.messages.filter((message) => message === WARNING), [WARNING]);
  }));
