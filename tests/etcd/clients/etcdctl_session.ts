/** A session with etcdctl: the commands that a person types, and the printed text. */
import { assertEquals, assertMatch } from "@std/assert";
import { Process } from "../../support/processes/process.ts";
import { eventually } from "../../support/eventually.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

/** A command with the whole text that it prints, or a pattern; with `fails`, the text of its error. */
export interface Typed {
  readonly args: string;
  readonly prints?: string | RegExp;
  readonly input?: string;
  readonly fails?: string;
}

/** KV and transactions. */
export const KV_SESSION: readonly Typed[] = [
  { args: "put s/a 1", prints: "OK\n" },
  { args: "put s/b 2", prints: "OK\n" },
  { args: "put s/a 3 --prev-kv", prints: "OK\ns/a\n1\n" },
  { args: "get s/a", prints: "s/a\n3\n" },
  { args: "get s/ --prefix --keys-only", prints: "s/a\n\ns/b\n\n" },
  { args: "get s/ --prefix --print-value-only --order=DESCEND", prints: "2\n3\n" },
  { args: "get s/ --prefix --sort-by=MODIFY --order=ASCEND --limit=1", prints: "s/b\n2\n" },
  { args: "get s/ --prefix --count-only -w fields", prints: /"More" : false\n"Count" : 2\n/ },
  {
    args: "get s/a -w json",
    prints:
      /^\{"header":\{"cluster_id":\d+,"member_id":\d+,"revision":\d+,"raft_term":\d+\},"kvs":\[\{"key":"cy9h","create_revision":\d+,"mod_revision":\d+,"version":2,"value":"Mw=="\}\],"count":1\}\n$/,
  },
  { args: "get s/a --consistency=s", prints: "s/a\n3\n" },
  { args: "get none", prints: "" },
  { args: "del s/b --prev-kv", prints: "1\ns/b\n2\n" },
  { args: "del none", prints: "0\n" },
  {
    args: "txn",
    input: 'value("s/a") = "3"\n\nput s/t yes\nget s/t\n\nput s/t no\n\n',
    prints: "SUCCESS\n\nOK\n\ns/t\nyes\n",
  },
  {
    args: "txn",
    input: 'mod("s/a") = "1"\nver("s/none") = "0"\n\nput s/t yes\n\nget s/t --print-value-only\n\n',
    prints: "FAILURE\n\ns/t\nyes\n",
  },
  { args: "get s/a --rev=999999999", fails: "etcdserver: mvcc: required revision is a future revision" },
  { args: "compaction 3", prints: "compacted revision 3\n" },
  { args: "compaction 3", fails: "etcdserver: mvcc: required revision has been compacted" },
  { args: "get s/a --rev=2", fails: "etcdserver: mvcc: required revision has been compacted" },
];

/** Leases, members and maintenance. */
export const CLUSTER_SESSION: readonly Typed[] = [
  { args: "lease grant 100", prints: /^lease [0-9a-f]{16} granted with TTL\(100s\)\n$/ },
  { args: "lease list", prints: /^found 1 leases\n[0-9a-f]{16}\n$/ },
  { args: "lease timetolive 4711", prints: "lease 0000000000004711 already expired\n" },
  { args: "lease revoke 4711", fails: "etcdserver: requested lease not found" },
  { args: "lease keep-alive --once 4711", fails: "etcdserver: requested lease not found" },
  { args: "lock l echo locked", prints: "locked\n" },
  { args: "get l/ --prefix", prints: "" },
  {
    args: "member list",
    prints: /^([0-9a-f]{1,16}, started, [^,\s]+, http[^,\s]*, http:\/\/127\.0\.0\.1:\d+, false\n)+$/,
  },
  {
    args: "member list -w table",
    prints: /ID .* STATUS .* NAME .* PEER ADDRS .* CLIENT ADDRS .* IS LEARNER/,
  },
  { args: "endpoint status", prints: /^127\.0\.0\.1:\d+, [0-9a-f]{1,16}, \d+\.\d+\.\d+, \d+\.\d+\.\d+, / },
  {
    args: "endpoint status -w table",
    prints: /ENDPOINT .* ID .* VERSION .* STORAGE VERSION .* DB SIZE .* IS LEADER/,
  },
  { args: "endpoint status -w json", prints: /"version":"\d+\.\d+\.\d+"/ },
  {
    args: "endpoint health",
    prints: /^127\.0\.0\.1:\d+ is healthy: successfully committed proposal: took = /,
  },
  { args: "endpoint health -w json", prints: /"health":true/ },
  { args: "endpoint hashkv", prints: /^127\.0\.0\.1:\d+, \d+, \d+\n$/ },
  { args: "alarm list", prints: "" },
  { args: "alarm disarm", prints: "" },
  { args: "defrag", prints: /^Finished defragmenting etcd member\[127\.0\.0\.1:\d+\]/ },
  { args: "move-leader 4711", fails: "etcdserver: bad leader transferee" },
  { args: "auth status", prints: /^Authentication Status: false\nAuthRevision: \d+\n$/ },
  { args: "user list", prints: "" },
  { args: "role list", prints: /^(root\n)?$/ },
];

/** Users and roles. */
export const AUTH_SESSION: readonly Typed[] = [
  { args: "user add root:pw-of-root", prints: "User root created\n" },
  { args: "user grant-role root root", prints: "Role root is granted to user root\n" },
  { args: "role add r", prints: "Role r created\n" },
  { args: "role grant-permission r readwrite app/ --prefix=true", prints: "Role r updated\n" },
  {
    args: "role get r",
    prints: "Role r\nKV Read:\n\t[app/, app0) (prefix app/)\nKV Write:\n\t[app/, app0) (prefix app/)\n",
  },
  { args: "user add u:pw-of-u", prints: "User u created\n" },
  { args: "user grant-role u r", prints: "Role r is granted to user u\n" },
  { args: "user get u", prints: "User: u\nRoles: r\n" },
  { args: "auth enable", prints: "Authentication Enabled\n" },
  { args: "get app/k", fails: "etcdserver: user name is empty" },
  { args: "--user u:pw-of-u put app/k v", prints: "OK\n" },
  { args: "--user u:pw-of-u get app/k", prints: "app/k\nv\n" },
  { args: "--user u:pw-of-u get s/a", fails: "etcdserver: permission denied" },
  {
    args: "--user u:wrong get app/k",
    fails: "etcdserver: authentication failed, invalid user ID or password",
  },
  { args: "--user root:pw-of-root user list", prints: "root\nu\n" },
  { args: "--user root:pw-of-root auth disable", prints: "Authentication Disabled\n" },
];

/** Types the commands one after the other. */
export async function typeAll(address: string, session: readonly Typed[]): Promise<void> {
  await using folder = await TemporaryFolder.make();
  for (const { args, input = "", prints = "", fails } of session) {
    await using process = start(address, args, { cwd: folder.path, input });
    const { code, stdout, stderr } = await process.end();
    const what = `etcdctl ${args}: ${stderr}`;
    if (fails !== undefined) {
      assertEquals(code === 0 ? stdout : lastError(stderr), fails, what);
    } else if (typeof prints === "string") assertEquals([code, stdout], [0, prints], what);
    else {
      assertEquals(code, 0, what);
      assertMatch(stdout, prints, what);
    }
  }
}

/** Watches, an election and a mirror, which run until they are ended. */
export async function typeLasting(address: string): Promise<void> {
  await using folder = await TemporaryFolder.make();
  const { path: cwd } = folder;
  await typeAll(address, [{ args: "put lasting/a 1", prints: "OK\n" }]);
  await using watch = start(address, "watch lasting/ --prefix --prev-kv", { cwd });
  await using elected = start(address, "elect lasting-election me", { cwd });
  await elected.waitForOutput(/^lasting-election\/[0-9a-f]+\nme\n/);
  await using other = start(address, "elect lasting-election other", { cwd });
  // A watch begins some time after the start of the program.
  await eventually("the watch prints an event", async () => {
    await typeAll(address, [{ args: "put lasting/b 2", prints: "OK\n" }]);
    return watch.printed.includes("PUT") ? true : null;
  });
  await typeAll(address, [{ args: "del lasting/a", prints: "1\n" }]);
  await watch.waitForOutput(/DELETE\nlasting\/a\n1\nlasting\/a\n\n/);
  elected.signal("SIGINT");
  await other.waitForOutput(/^lasting-election\/[0-9a-f]+\nother\n/);
}

/** Mirrors one server to another. */
export async function mirror(from: string, to: string): Promise<void> {
  await using folder = await TemporaryFolder.make();
  for (const one of [from, to]) await typeAll(one, [{ args: "del mirrored/ --prefix", prints: /^\d\n$/ }]);
  await typeAll(from, [{ args: "put mirrored/a 1", prints: "OK\n" }]);
  await using process = start(from, `make-mirror ${to} --prefix mirrored/`, { cwd: folder.path });
  const seen = async (args: string, text: string): Promise<void> => {
    await eventually(`${args} prints ${JSON.stringify(text)}`, async () => {
      await using get = start(to, args, { cwd: folder.path });
      return (await get.end()).stdout === text ? true : null;
    }, { explain: () => process.printed });
  };
  await seen("get mirrored/ --prefix", "mirrored/a\n1\n");
  await typeAll(from, [
    { args: "put mirrored/b 2", prints: "OK\n" },
    { args: "del mirrored/a", prints: "1\n" },
  ]);
  await seen("get mirrored/ --prefix", "mirrored/b\n2\n");
}

function start(
  address: string,
  args: string,
  options: { readonly cwd: string; readonly input?: string },
): Process {
  return Process.start("etcdctl", [`--endpoints=${address}`, ...args.split(" ")], {
    name: `etcdctl ${args}`,
    ...options,
  });
}

/** Returns the text of the error that etcdctl prints last, without its own words. */
function lastError(stderr: string): string {
  return /Error: .*?(etcdserver: [^)]*)\)?\s*$/.exec(stderr)?.[1]?.trim() ?? stderr;
}
