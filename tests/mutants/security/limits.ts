/** Mutants of the limits that keep hostile clients from excluding others, of modes of files, and of permissions. */
import { CLI, NAMED_PATHS, NET, PERMISSIONS, SERVER, tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

/** Mutants of limits on connections. */
export const LIMIT_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/transport/connected_clients.ts", [NET], [
    {
      id: "M935",
      title: "clients are not counted by their address",
      failure: "one machine takes every place, and no other client is served",
      from: "this.#counts.set(source, (this.#counts.get(source) ?? 0) + 1);",
      to: "this.#counts.set(source, 1);",
    },
    {
      id: "M936",
      title: "an address at its limit takes the places of other addresses",
      failure: "a machine that connects again and again disconnects idle clients of all others",
      from: "(client) => !isSourceFull || sourceOf(client.remote) === source",
      to: "() => true",
    },
  ]),
  ...inFile("lib/transport/pending_hellos.ts", [NET], [
    {
      id: "M938",
      title: "of silent connections the oldest is closed, whichever machine opened it",
      failure:
        "a machine that opens many shuts out every client whose hello takes longer than the grace time",
      from: "if (source.count <= most) continue;",
      to: "if (chosen !== null) continue;",
    },
  ]),
  ...inFile("lib/transport/http_server.ts", [NET], [
    {
      id: "M939",
      title: "one address may have every HTTP request under way",
      failure: "a program that asks for /ready again and again makes a supervisor restart the node",
      from: " || ofSource >= MAX_HTTP_REQUESTS_PER_ADDRESS) return BUSY;",
      to: ") return BUSY;",
    },
    {
      id: "M2990",
      title: "one address may have every stream",
      failure: "a machine with many open pages keeps the status page from all other clients",
      from: "ofSource < MAX_HTTP_STREAMS_PER_ADDRESS;",
      to: "ofSource < Infinity;",
    },
  ]),
  ...inFile("lib/transport/http_stream.ts", [NET], [
    {
      id: "M2991",
      title: "parts of a stream wait however little its client reads",
      failure: "a viewer that does not read fills the memory of the node, a page a second",
      from: "if (this.#isSending) return false;",
      to: "",
    },
    {
      id: "M2992",
      title: "a stream whose client does not read stays open",
      failure: "viewers that are asleep keep the streams from all others",
      from: "HTTP_ANSWER_TIMEOUT_MS, () => this.close());",
      to: "HTTP_ANSWER_TIMEOUT_MS, () => {});",
    },
  ]),
  ...inFile("lib/server/auth/web_users.ts", [SERVER], [
    {
      id: "M2993",
      title: "a user of the status page that was removed is remembered",
      failure: "every former user sees the cluster for as long as the node runs",
      from: "known !== undefined && known.user(this.#auth) !== null",
      to: "known !== undefined",
    },
    {
      id: "M3230",
      title: "the name and the password share one limit at the status page",
      failure: "a user with a long password signs in everywhere but there",
      from: "user.length > MAX_AUTH_NAME_CHARACTERS || password.length > MAX_SECRET_CHARACTERS",
      to: "text.length > MAX_SECRET_CHARACTERS",
    },
  ]),
  ...inFile("lib/server/status_page/viewers.ts", [SERVER], [
    {
      id: "M2994",
      title: "a stream goes on when its user is removed",
      failure: "an open page shows the cluster to a user that may not see it any more",
      from: "if (!isAllowed()) writer.close();",
      to: "void isAllowed;",
    },
    {
      id: "M2996",
      title: "reports are collected when the last viewer has left",
      failure: "every node asks every other one each second, for as long as it runs",
      from: "if (this.#open.size === 0) this.#cancel();",
      to: "",
    },
  ]),
  ...inFile("lib/server/status_page/status_page.ts", [SERVER], [
    {
      id: "M2995",
      title: "the pages are served by every name",
      failure:
        "a web site reads the status of the cluster through the browser of an operator (DNS rebinding)",
      from: "if (host !== null && (isAddressOrLocal(host) || isOwnName(host))) return null;",
      to: "if (host !== null || isOwnName === undefined) return null;",
    },
  ]),
  ...inFile("lib/transport/client_connection.ts", [NET], [
    {
      id: "M937",
      title: "a client that only waits for the events of its watches counts as idle",
      failure: "watches end whenever a node has many clients",
      from: "this.#unanswered > 0 || this.#isWatching() ? 0",
      to: "this.#unanswered > 0 ? 0",
    },
    {
      id: "M942",
      title: "a client that never signs in keeps its place as long as it sends requests",
      failure: "programs without a password keep every user out",
      from: "this.#channel.checks >= SIGN_IN_CHECKS ? Infinity : 0",
      to: "this.#channel.idleChecks >= SIGN_IN_CHECKS ? Infinity : 0",
    },
  ]),
  ...inFile("lib/cli/environment.ts", [CLI], [
    {
      id: "M940",
      title: "a report of a check has the mode that the umask leaves",
      failure: "every user of the machine reads keys and values of the history",
      from: "Deno.writeTextFileSync(path, text, { mode: OWNERS_FILE });",
      to: "Deno.writeTextFileSync(path, text);",
    },
  ]),
  ...inFile("lib/cli/processes/permissions.ts", [PERMISSIONS], [
    {
      id: "M2965",
      title: "a node whose data is in a usual place keeps its permission for all files",
      failure: "an error in kvraft gives an attacker the keys of other programs",
      from: "if (!needed.every((path) =>",
      to: "if (needed.length > 0 || !needed.every((path) =>",
    },
    {
      id: "M2966",
      title: "a node keeps the permission for usual places that it does not use",
      failure: "an error in kvraft gives an attacker the certificates' keys of another node",
      from: "for (const path of [EVERYWHERE, ...unused])",
      to: "for (const path of [EVERYWHERE])",
    },
    {
      id: "M2967",
      title: "a node may still read the environment while it serves",
      failure: "an error in kvraft gives an attacker what other programs pass in it",
      from: 'for (const name of ["env", "run",',
      to: 'for (const name of ["run",',
    },
  ]),
  ...inFile("lib/platform/named_paths.ts", [NAMED_PATHS], [
    {
      id: "M2968",
      title: "symbolic links are not followed before a path is compared",
      failure: "a link in a data directory has a node overwrite files of its user elsewhere",
      from: "const real = realPath(absolute);",
      to: "const real = absolute;",
    },
    {
      id: "M2969",
      title: "a link without a target counts as the name that it has",
      failure: "a link in a data directory has a node create files elsewhere",
      from: "return target === null ?",
      to: "return target !== undefined ?",
    },
    {
      id: "M2970",
      title: "a directory contains what begins with its name",
      failure: "the tools may write in the data directory of another node",
      from: 'return between.split(/[\\\\/]/)[0] !== ".." && !isAbsolute(between);',
      to: "return path.startsWith(directory);",
    },
  ]),
  ...inFile("lib/server/config/paths.ts", [tests("config paths", "tests/unit/server/config_paths_test.ts")], [
    {
      id: "M2971",
      title: "relative paths in a configuration file continue the working directory",
      failure: "a service does not find the certificates beside its configuration, or finds others",
      from: "join(dirname(path), setting.text)",
      to: "setting.text",
    },
    {
      id: "M2972",
      title: "a node that a service manager starts in / takes the default data directory",
      failure: "data is in /data/node-1, which no operator named",
      from: "return dirname(workingDirectory) === workingDirectory;",
      to: 'return workingDirectory === "";',
    },
  ]),
];
