/**
 * The commands of docs/operations.md, typed unchanged: every block of its sections on members and of its runbook, each
 * in the situation that it is written for. A block that no test types fails a test.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import type { Member } from "../../lib/mod.ts";
import { damage } from "../support/folder.ts";
import type { Finished } from "../support/processes/process.ts";
import { blocksOf, Site, type Typing } from "../support/processes/runbook.ts";

const BLOCKS = blocksOf(["Members", "Runbook"]);
const SAVE = "kvraft client --cluster $CLUSTER snapshot save backup.snap";

/** A heading: a situation, and the blocks below it, one after the other. */
interface Chapter {
  readonly site: Site;
  /** Types the next block. */
  readonly next: (typing?: Typing) => Promise<Finished>;
}

/** The headings whose blocks are typed by a test. */
const typed: string[] = [];

/** Tests the sections below these headings on a cluster of three with a few keys. No key may be lost. */
function chapters(
  headings: readonly string[],
  tell: (chapter: (heading: string) => Chapter) => Promise<void>,
  flags: readonly string[] = [],
): void {
  typed.push(...headings);
  Deno.test(`operations.md: the commands under "${headings.join('", "')}" have the described effect`, async () => {
    await using site = await Site.start(flags);
    for (const key of ["user:1", "user:2", "tmp/1"]) {
      await site.type(`kvraft client --cluster $CLUSTER put ${key} ${key}-value`);
    }
    const left = new Map(headings.map((heading) => [heading, [...BLOCKS.get(heading) ?? []]]));
    await tell((heading) => ({
      site,
      async next(typing): Promise<Finished> {
        const block = left.get(heading)?.shift();
        assert(block !== undefined, `there is no other block under "${heading}"`);
        return await site.type(block, typing);
      },
    }));
    assertEquals([...left.values()].flat(), [], "every block is typed");
  });
}

/** Checks that a cluster has these voters, and every user. */
async function assertServes(site: Site, voters: readonly number[], cluster = "$CLUSTER"): Promise<void> {
  const members = await site.type(`kvraft client --cluster ${cluster} members --output json`);
  const { members: found }: { members: readonly Member[] } = JSON.parse(members.stdout);
  assertEquals(found.map(({ id, role }) => `${role} ${id}`), voters.map((id) => `voter ${id}`));
  const { stdout } = await site.type(`kvraft client --cluster ${cluster} list user:`);
  assertEquals(stdout, "user:1\tuser:1-value\nuser:2\tuser:2-value\n");
  await site.type(`kvraft client --cluster ${cluster} put it goes-on`);
}

/** Waits until a removed node has logged its removal and exited. */
async function assertLeft(site: Site, id: number): Promise<void> {
  const { code, stderr } = await site.end(id);
  assertEquals(code, 1, stderr);
  assertStringIncludes(stderr, `node ${id} was removed from the cluster`);
}

chapters(["Members", "Adding a node", "Removing a node"], async (chapter) => {
  const { site, next } = chapter("Members");
  await next();
  const adding = chapter("Adding a node");
  await adding.next();
  await assertServes(site, [1, 2, 3, 4]);
  const { stdout } = await adding.next();
  assertMatch(stdout, /^ok {2}n5 is a learner now\. /);
  await chapter("Removing a node").next();
  await assertLeft(site, 5);
  await assertLeft(site, 4);
  await assertServes(site, [1, 2, 3]);
});

chapters(["Runbook", "Backups", "A node died", "Rolling restart"], async (chapter) => {
  const look = chapter("Runbook");
  await look.next();
  assertMatch((await look.next()).stdout, /^leader n\d, term \d+, feature level \d\n/);
  const backups = chapter("Backups");
  assertStringIncludes((await backups.next()).stdout, "no damage: everything can be read");
  await backups.next();

  const { site, next } = chapter("A node died");
  await site.kill(2);
  await next();
  await site.kill(2);
  assertMatch((await next()).stdout, /^ok {2}n2 is dialled at /);
  await assertServes(site, [1, 2, 3]);

  // Back to the address that the last chapter has.
  await site.kill(2);
  await site.type("kvraft server --node-id 2 --bind 10.0.0.2:7001");
  await site.type("kvraft client --cluster $CLUSTER member update 2 10.0.0.2:7001");
  site.standAt(2);
  const restarted = site.end(2);
  await chapter("Rolling restart").next();
  assertEquals((await restarted).code, 0);
  await assertServes(site, [1, 2, 3]);
});

chapters(["A disk died"], async (chapter) => {
  const { site, next } = chapter("A disk died");
  await site.kill(2);
  await site.lose(2);
  assertMatch((await next()).stdout, /^ok {2}n4 votes in the place of n2\. /);
  await assertServes(site, [1, 3, 4]);
});

chapters(["A majority died"], async (chapter) => {
  const { site, next } = chapter("A majority died");
  await site.type(SAVE);
  await site.kill(1, 2, 3);
  await site.lose(1);
  await site.lose(2);
  await next();
  await next();
  await assertServes(site, [3], "10.0.0.3:7001");
  await next();
  await assertServes(site, [3, 4, 5], "10.0.0.3:7001");
});

const QUOTA_BYTES = 20_000;

chapters(["The disk is full"], async (chapter) => {
  const { site, next } = chapter("The disk is full");
  const put = (key: string): string =>
    `head -c 12000 /dev/zero | kvraft client --cluster $CLUSTER put ${key} -`;
  await site.type(put("tmp/1"));
  const { stderr } = await site.type(put("tmp/2"), { code: 3 });
  assertStringIncludes(stderr, `its quota is ${QUOTA_BYTES} (--quota-bytes)`);
  await next();
  await site.type(put("tmp/2"));
  assertMatch((await next()).stdout, /^ok {2}snapshot of n2: /);
  await assertServes(site, [1, 2, 3]);
}, ["--quota-bytes", `${QUOTA_BYTES}`]);

chapters(["The log is damaged"], async (chapter) => {
  const { site, next } = chapter("The log is damaged");
  await site.kill(2);
  damage(join(site.folderOf(2), "wal"), "user:1-value");
  await using refused = site.launch("kvraft server --node-id 2 --bind 10.0.0.2:7001");
  assertEquals((await refused.end()).code, 1);
  assertStringIncludes((await next({ code: 1 })).stdout, "DAMAGED: ");
  assertStringIncludes((await next({ code: 1 })).stdout, "DAMAGED: ");
  await assertServes(site, [1, 2, 3]);
});

chapters(["Restore a backup"], async (chapter) => {
  const { site, next } = chapter("Restore a backup");
  await site.type(SAVE);
  await site.type("kvraft client --cluster $CLUSTER delete user:1");
  await site.kill(1, 2, 3);
  for (const machine of [3, 2]) {
    const edit = (command: string): string =>
      command.replaceAll("node-1", `node-${machine}`).replaceAll("--node-id 1", `--node-id ${machine}`)
        .replaceAll("--bind 10.0.0.1:", `--bind 10.0.0.${machine}:`);
    const [block = ""] = BLOCKS.get("Restore a backup") ?? [];
    await site.type(block, { edit });
  }
  await next();
  await assertServes(site, [1, 2, 3]);
  await next();
  await site.type("kvraft client --cluster $CLUSTER delete user:1");
  assertMatch((await next()).stdout, /^ok {2}revision \d+, 2 keys, /m);
  await assertServes(site, [1, 2, 3]);
});

chapters(["Move the cluster to new machines"], async (chapter) => {
  const { site, next } = chapter("Move the cluster to new machines");
  await next();
  for (const id of [1, 2, 3]) await assertLeft(site, id);
  await assertServes(site, [4, 5, 6], "10.0.0.4:7001");
});

Deno.test("operations.md: every heading with commands on members and in the runbook has a test", () => {
  assertEquals(typed.toSorted(), [...BLOCKS.keys()].toSorted());
});
