/** `watch`, `lock` and `elect` as a user types them: in a terminal, as processes, and while nodes are killed. */
import { assert, assertEquals } from "@std/assert";
import { eventually } from "../../support/eventually.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { kvraftCommand, Process } from "../../support/processes/process.ts";
import { step } from "../../support/step.ts";
import { hasTmux, Terminal } from "../../support/processes/terminal.ts";

const tmuxIsHere = hasTmux();

/** Starts a cluster of which every node is known to have leases and watches. */
async function readyCluster(): Promise<TestCluster> {
  const cluster = await TestCluster.start({ flags: ["--election-timeout-ms", "500"] });
  await cluster.waitForLeader();
  await eventually("leases can be granted", async () => {
    const { code } = await cluster.run(["client", "--cluster", addressesOf(cluster), "lease", "grant", "1s"]);
    return code === 0 ? true : null;
  }, { explain: cluster.logs });
  return cluster;
}

function addressesOf(cluster: TestCluster): string {
  return cluster.ids.map((id) => cluster.address(id)).join(",");
}

/** Starts a client command whose standard input stays open. */
function begin(cluster: TestCluster, ...args: readonly string[]): Process {
  const [program, ...rest] = kvraftCommand(["client", "--cluster", addressesOf(cluster), ...args]);
  return Process.start(program, rest, { cwd: cluster.folder.path, name: args.join(" "), keepsInput: true });
}

Deno.test({
  name: `commands of coordination in a terminal: Ctrl-C ends them and not the shell${
    tmuxIsHere ? "" : " (skipped: tmux is not installed)"
  }`,
  ignore: !tmuxIsHere,
  async fn(t): Promise<void> {
    await using cluster = await readyCluster();
    const command = kvraftCommand(["client", "--cluster", addressesOf(cluster)]);
    await using terminal = await Terminal.open({ cwd: cluster.folder.path, command });
    const [, leader = ""] = /\nn(\d) \(leader\)>$/.exec(await terminal.waitFor(/\nn\d \(leader\)>$/)) ?? [];
    await step(t, "watch shows changes, and goes on when its node is killed", async () => {
      await terminal.type("watch app/ --prefix");
      await terminal.press("Enter");
      await terminal.waitFor(
        /\nwatching the keys that begin with app\/ from revision \d+ on; Ctrl-C ends it$/,
      );
      await cluster.client(["put", "app/color", "blue"]);
      await terminal.waitFor(/\n\d+ {2}put {5}app\/color {2}blue$/);
      await cluster.kill(Number(leader));
      await cluster.waitForLeader(cluster.ids.filter((id) => id !== Number(leader)));
      await cluster.client(["delete", "app/color"]);
      await terminal.waitFor(
        new RegExp(
          `the watch was interrupted: the connection to node ${leader} [^]*\\d+ {2}delete {2}app/color$`,
        ),
      );
    });
    await step(t, "Ctrl-C ends the watch, and what was typed meanwhile follows the prompt", async () => {
      await terminal.type("get app/co");
      await terminal.press("C-c");
      await terminal.waitFor(
        /\n-- 2 changes up to revision \d+; to go on: watch app\/ --prefix --from \d+\nn\d [^\n]*> get app\/co$/,
      );
      await terminal.press("C-u");
    });
    await step(
      t,
      "a lock is held until Ctrl-C, and Ctrl-D gives leadership up before the shell ends",
      async () => {
        await terminal.type("lock nightly");
        await terminal.press("Enter");
        await terminal.waitFor(
          /\nok {2}locked, fencing token \d+, key nightly\/[0-9a-f]{14}\nit is kept alive/,
        );
        await terminal.press("C-c");
        await terminal.waitFor(/\nthe lock nightly: released \(interrupted\)\nn\d [^\n]*>$/);
        await terminal.type("elect scheduler me");
        await terminal.press("Enter");
        await terminal.waitFor(/\nok {2}leads, fencing token \d+, key scheduler\//);
        await terminal.press("C-d");
        await terminal.waitFor(
          /\nthe election scheduler: resigned \(the shell was left\)\n[^]*ended with 0$/,
        );
        assertEquals((await cluster.client(["list"])).stdout, "");
      },
    );
  },
});

Deno.test("commands of coordination as processes: signals, the end of input, and a lost lock", async (t) => {
  await using cluster = await readyCluster();
  await step(t, "SIGTERM ends a watch with 0, and all it has shown was written", async () => {
    await using watch = begin(cluster, "watch", "k", "--output", "json", "--progress");
    await watch.waitForOutput(/"progress"/);
    await cluster.client(["put", "k", "v", "--ttl", "1s"]);
    await watch.waitForOutput(/"put"[^]*"delete"/);
    const { code, stdout } = await watch.stop();
    const kinds = stdout.trimEnd().split("\n").map((line) => JSON.parse(line).kind);
    assertEquals([code, kinds.filter((kind) => kind !== "progress")], [0, ["put", "delete"]]);
  });
  await step(t, "the end of input releases a lock, and the next holder has a greater token", async () => {
    await using holder = begin(cluster, "lock", "nightly");
    await holder.waitForOutput(/^ok {2}locked/);
    await using next = begin(cluster, "lock", "nightly");
    await eventually("the other one waits", async () => {
      const { stdout } = await cluster.client(["list", "nightly/"]);
      return stdout.split("\n").length === 3 ? true : null;
    }, { explain: cluster.logs });
    await cluster.client(["lock", "nightly", "--wait", "1ms"], { code: 1 });
    await holder.endInput();
    const { code, stdout } = await holder.end();
    await next.waitForOutput(/^ok {2}locked/);
    const tokens = [stdout, next.printed].map((text) => Number(/token (\d+)/.exec(text)?.[1]));
    assert(code === 0 && (tokens[0] ?? 0) < (tokens[1] ?? 0), `${code} ${tokens}`);
    await next.endInput();
    assertEquals((await next.end()).code, 0);
  });
  await step(t, "a holder whose lease was ended says so, and ends with 1", async () => {
    await using holder = begin(cluster, "lock", "nightly", "--ttl", "2s", "--output", "json");
    await holder.waitForOutput(/"locked":true/);
    const { leaseId } = JSON.parse(holder.printed);
    await cluster.client(["lease", "revoke", `${leaseId}`]);
    const { code, stderr } = await holder.end();
    assertEquals([code, JSON.parse(stderr).error.code], [1, "leaseLost"]);
  });
  await step(t, "an observer sees who leads, and that there is none", async () => {
    await using observer = begin(cluster, "elect", "scheduler", "--observe");
    await observer.waitForOutput(/^\(no leader\)\n/);
    await using leader = begin(cluster, "elect", "scheduler", "host-1");
    await observer.waitForOutput(/\n\d+\thost-1\n/);
    await leader.waitForOutput(/^ok {2}leads/);
    leader.signal("SIGINT");
    assertEquals((await leader.end()).code, 0);
    await observer.waitForOutput(/host-1\n\(no leader\)\n/);
    observer.signal("SIGINT");
    assertEquals((await observer.end()).code, 0);
  });
});
