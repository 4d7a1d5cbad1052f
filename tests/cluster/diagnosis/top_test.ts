/** `client top` in a real terminal: a healthy cluster, a dead node, a paused one, and no leader. */
import { assert, assertEquals } from "@std/assert";
import { TestCluster } from "../../support/processes/cluster.ts";
import { kvraftCommand, skip } from "../../support/processes/process.ts";
import { hasTmux, Terminal } from "../../support/processes/terminal.ts";

Deno.test("top: it shows a dead and a paused node, goes on without a leader, and gives the terminal back", async () => {
  if (!hasTmux()) return skip("tmux is not installed");
  await using cluster = await TestCluster.start();
  const leader = await cluster.waitForLeader();
  const [one = 0, other = 0] = cluster.ids.filter((id) => id !== leader);
  const addresses = cluster.ids.map((id) => cluster.address(id)).join(",");
  await using terminal = await Terminal.open({
    cwd: cluster.folder.path,
    command: kvraftCommand(["client", "--cluster", addresses, "top", "--interval-ms", "300"]),
  });
  const healthy = await terminal.waitFor(new RegExp(`3 of 3 nodes answer, leader n${leader}`));
  assert(/^node\* +role +term/m.test(healthy), healthy);
  await terminal.press("Right");
  await terminal.waitFor(/^node +role\*/m);
  await cluster.kill(one);
  await terminal.waitFor(new RegExp(`^n${one} +silent`, "m"));
  await terminal.waitFor(/2 of 3 nodes answer/);
  await cluster.startNode(one);
  await terminal.waitFor(/3 of 3 nodes answer/);
  cluster.pause(other);
  await terminal.waitFor(new RegExp(`^n${other} +silent`, "m"));
  await cluster.kill(one);
  await terminal.waitFor(/1 of 3 nodes answer, no leader/);
  cluster.resume(other);
  await terminal.waitFor(/2 of 3 nodes answer, leader n\d/);
  await terminal.press("q");
  const end = await terminal.waitFor(/ended with 0/);
  assertEquals(/nodes answer/.test(end), false, "the screen before is back");
});
