/** The registry of commands, and the help, hints and completions made from it. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { commandUsage } from "../../../lib/cli/command.ts";
import { argumentHint, complete } from "../../../lib/cli/shell/completion.ts";
import { SecretArgumentError, UsageError } from "../../../lib/cli/errors.ts";
import { clientHelp, serverHelp } from "../../../lib/cli/help.ts";
import { COMMAND_NAMES, COMMANDS, findCommand, parseCommand } from "../../../lib/cli/registry.ts";
import { toolsHelp } from "../../../lib/cli/server_tools.ts";
import { tokenize } from "../../../lib/cli/tokenize.ts";
import { SERVER_OPTIONS } from "../../../lib/server/config/config.ts";

Deno.test("COMMANDS: the example of every command parses as that command", () => {
  for (const command of COMMANDS) {
    const { invocation } = parseCommand(tokenize(command.example[0] ?? "").map(({ word }) => word));
    assertEquals(invocation?.command, command);
  }
});

Deno.test("help: it names every option and every command, and no others", () => {
  for (const { name, placeholder } of SERVER_OPTIONS) {
    assert(serverHelp("").includes(`--${name} ${placeholder ?? ""}`), name);
  }
  const help = clientHelp([], COMMANDS);
  for (const { name } of COMMANDS) assertMatch(help, new RegExp(`^  ${name}\\b`, "m"));
});

Deno.test("help: no line is longer than 120 columns", () => {
  const lines = [
    serverHelp(toolsHelp()),
    clientHelp([], COMMANDS),
    ...COMMANDS.flatMap(({ details }) => details),
  ].flatMap((help) => help.split("\n"));
  assertEquals(lines.filter((line) => line.length > 120), []);
});

Deno.test("commandUsage: required and optional arguments, then the options", () => {
  const usages = COMMANDS.filter(({ name }) => ["put", "cas", "transfer-leader"].includes(name)).map(
    commandUsage,
  );
  assertEquals(usages, [
    "put <key> <value> [--file <path>] [--lease <lease>] [--ttl <time>]",
    "cas <key> <expected> <new> [--absent] [--file <path>]",
    "transfer-leader [n]",
  ]);
});

Deno.test("argumentHint: it shows the arguments that are still missing", () => {
  const table: readonly (readonly [string, string])[] = [
    ["", ""],
    ["pu", ""],
    ["put", " <key> <value> [--file <path>] [--lease <lease>] [--ttl <time>]"],
    ["put ", "<key> <value> [--file <path>] [--lease <lease>] [--ttl <time>]"],
    ["put k", " <value>"],
    ["put 'a b' ", "<value>"],
    ["put 'a b", " <value>"],
    ["put k v", ""],
    ["put k --file ", ""],
    ["put k --file f ", ""],
    ["put --file f ", "<key>"],
    ["put --timeout-ms 5 ", "<key> <value>"],
    ["put k -- ", "<value>"],
    ["cas --absent k ", "<new>"],
    ["transfer-leader ", "[n]"],
    ["status", ""],
    ["nonsense ", ""],
    ["member", " add|remove|promote|demote|replace|update"],
    ["member ", "add|remove|promote|demote|replace|update"],
    ["member ad", ""],
    ["member add", " <n> <host:port> [--learner]"],
    ["member add 4 ", "<host:port>"],
    ["snapshot ", "now|save"],
    ["watch ", "<key> [--prefix] [--from <revision>] [--only puts|deletes] [--previous] [--resync]"],
    ["watch --prefix ", "<key>"],
    ["watch --start a ", ""],
    ["lease", " grant|revoke|keep-alive|ttl|list"],
    ["lease grant ", "<ttl> [--id <lease>]"],
    ["lease ttl ", "<lease> [--keys] [--consistency linearizable|stale] [--stale]"],
    ["lock ", "<name> [--ttl <time>] [--wait <time>]"],
    ["elect ", "<name> <value> [--ttl <time>] [--wait <time>] [--observe]"],
    ["elect --observe ", "<name>"],
    ["auth", " status|sign-in|enable|disable"],
    ["user", " list|show|add|passwd|remove|grant|revoke|token"],
    ["user token ", "create|list|revoke"],
    ["user token create ada ", "<name>"],
    ["user add ", "<user> [--new-password-file <path>] [--new-password-stdin] [--no-password]"],
    ["role grant ", "<role> <right> <key> [--prefix] [--all]"],
    ["role grant app read --all", ""],
    ["help ", "[command] [word] [another]"],
    ["txn", " if|put|touch|delete|get|sum|min|max"],
    ["txn --output json put ", "<key>"],
    ["txn put k", " <value>"],
    ["txn put k v ; sum ", "<key>"],
    ["txn if value k ", "--prefix|--end|--from-key|=|!=|<|>"],
    ["txn if exists k then get k", " --prefix|--end|--from-key|--limit|--reverse|--revision|;|else"],
    ["txn put k v extra", ""],
  ];
  assertEquals(table.map(([line]) => argumentHint(line)), table.map(([, hint]) => hint));
});

Deno.test("parseCommand: a command of two words is found by both, and help by as many as there are", () => {
  const shown = (...words: readonly string[]): string => {
    const { invocation } = parseCommand(words);
    return `${invocation?.command.name} ${
      [...invocation?.args.values() ?? []].map(({ text }) => text).join(" ")
    }`;
  };
  assertEquals(
    [
      shown("member", "add", "4", "h:1"),
      shown("member", "--learner", "add", "4", "h:1"),
      shown("member", "add", "--help"),
      shown("member", "--help"),
      shown("snapshot", "now", "too", "many", "--help"),
    ],
    ["member add 4 h:1", "member add 4 h:1", "help member add", "help member", "help snapshot now"],
  );
});

Deno.test("complete: Tab offers the commands of the history, their keys and options, and no revisions", async () => {
  const keys = (): Promise<Uint8Array[]> => Promise.resolve([new TextEncoder().encode("user:1")]);
  const sources = {
    keys,
    nodes: () => Promise.resolve([]),
    leases: () => Promise.resolve([]),
    names: () => Promise.resolve([]),
  };
  const table: readonly (readonly [string, readonly string[]])[] = [
    ["hist", ["history "]],
    ["history u", ["user:1 "]],
    ["history user:1 --be", ["--before "]],
    ["history user:1 --before ", []],
    ["get user:1 --rev", ["--revision "]],
    ["list --revision ", []],
    ["com", ["compact "]],
    ["compact ", []],
  ];
  for (const [line, words] of table) assertEquals((await complete(line, sources)).words, [...words], line);
});

/** Completions from a store with some keys, and nodes 1 to 3. */
async function offered(line: string): Promise<readonly string[]> {
  const keys = ["user:1", "user:2", "two words", "käse", '"q"'].map((key) => new TextEncoder().encode(key));
  const source = (prefix: Uint8Array): Promise<Uint8Array[]> =>
    Promise.resolve(keys.filter((key) => prefix.every((byte, position) => key[position] === byte)));
  return (await complete(line, {
    keys: source,
    nodes: () => Promise.resolve([1, 2, 3]),
    leases: () => Promise.resolve([47, 4_711]),
    names: (kind) => {
      const names = {
        user: ["ada", "two words"],
        role: ["root", "app"],
        database: ["default", "shop"],
        context: ["orders", "tests"],
      };
      return Promise.resolve(names[kind]);
    },
  })).words;
}

Deno.test("complete: Tab offers databases where a command takes one that exists", async () => {
  const table: readonly (readonly [string, readonly string[]])[] = [
    ["denokv ", ["create", "show", "token", "revoke", "list", "get", "set", "delete", "import"]],
    ["denokv get ", ["default", "shop"]],
    ["denokv list s", ["shop "]],
    ["denokv list shop --rev", ["--reverse "]],
    ["denokv import shop ", []],
    ["denokv create ", []],
    ["denokv delete shop --p", ["--purge "]],
    ["help denokv to", ["token "]],
  ];
  for (const [line, words] of table) assertEquals(await offered(line), [...words], line);
});

Deno.test("complete: Tab offers the contexts that there are, and none for a new one", async () => {
  assertEquals(await offered("context use "), ["orders", "tests"]);
  assertEquals(await offered("context remove t"), ["tests "]);
  assertEquals(await offered("context show o"), ["orders "]);
  assertEquals(await offered("context add "), []);
});

Deno.test("complete: Tab offers users, roles and rights, and the words of a command of three words", async () => {
  const table: readonly (readonly [string, readonly string[]])[] = [
    ["auth ", ["status", "sign-in", "enable", "disable"]],
    ["user ", ["list", "show", "add", "passwd", "remove", "grant", "revoke", "token"]],
    ["user t", ["token "]],
    ["user token ", ["create", "list", "revoke"]],
    ["user token c", ["create "]],
    ["user token create a", ["ada "]],
    ["user add ", []],
    ["user passwd --new", ["--new-password-file", "--new-password-stdin"]],
    ["user grant t", ["two\\ words "]],
    ["user grant ada ", ["root", "app"]],
    ["role grant ", ["root", "app"]],
    ["role grant app ", ["read", "write", "admin"]],
    ["role grant app w", ["write "]],
    ["role grant app write u", ["user:1", "user:2"]],
    ["role revoke app write --a", ["--all "]],
    ["help user t", ["token "]],
    ["help user token ", ["create", "list", "revoke"]],
  ];
  for (const [line, words] of table) assertEquals(await offered(line), [...words], line);
});

Deno.test("parseCommand: a command of three words is found by all of them", () => {
  const shown = (...words: readonly string[]): string => {
    const { invocation } = parseCommand(words);
    return [invocation?.command.name, ...[...invocation?.args.values() ?? []].map(({ text }) => text)].join(
      " ",
    );
  };
  assertEquals(shown("user", "token", "create", "ada", "ci"), "user token create ada ci");
  assertEquals(shown("user", "token", "--ttl", "1h", "create", "ada", "ci"), "user token create ada ci");
  assertEquals(shown("user", "show", "token"), "user show token");
  assertEquals(shown("user", "token", "--help"), "help user token");
  assertEquals(shown("user", "token", "help"), "help user token");
  assertEquals(shown("denokv", "help", "--output", "json"), "help denokv");
  assertThrows(() => shown("denokv", "help", "create"), UsageError, 'There is no command "denokv help"');
  assertEquals(shown("user", "token", "list", "--help"), "help user token list");
  const refused = (...words: readonly string[]): string =>
    assertThrows(() => parseCommand(words), UsageError).message;
  assertEquals(
    refused("user", "token"),
    "user token needs a third word: create, list, revoke. Example: user token create deploy ci --ttl 720h",
  );
  assertEquals(
    refused("user", "token", "lst"),
    'There is no command "user token lst". Did you mean user token list?',
  );
  assertEquals(refused("user", "tokn"), 'There is no command "user tokn". Did you mean user token?');
});

Deno.test("parseCommand: a password behind the name of a user is refused with the reason, and not repeated", () => {
  for (const command of ["add", "passwd"]) {
    const words = ["user", command, "ada", "s3cret"];
    const { message } = assertThrows(() => parseCommand(words), SecretArgumentError);
    assert(
      message.startsWith(`user ${command} takes 1 argument, not 2. Passwords and tokens are no arguments`),
      message,
    );
    assert(!message.includes("s3cret"), message);
  }
});

Deno.test("complete: Tab offers the commands of coordination, ids of leases, and no other words in their place", async () => {
  const table: readonly (readonly [string, readonly string[]])[] = [
    ["wa", ["watch "]],
    ["watch u", ["user:1", "user:2"]],
    ["watch user:1 --only ", ["puts", "deletes"]],
    ["watch --start u", ["user:1", "user:2"]],
    ["watch --prefix us", ["user:1", "user:2"]],
    ["l", ["list", "lease", "lock"]],
    ["lease ", ["grant", "revoke", "keep-alive", "ttl", "list"]],
    ["lease k", ["keep-alive "]],
    ["lease grant ", []],
    ["lease revoke ", ["47", "4711"]],
    ["lease ttl 471", ["4711 "]],
    ["lease ttl 47 --k", ["--keys "]],
    ["put k v --lease ", ["47", "4711"]],
    ["put k v --ttl ", []],
    ["lock ", []],
    ["elect name --ob", ["--observe "]],
    ["help lease t", ["ttl "]],
    ["txn put user:1 v --l", ["--lease "]],
    ["txn put user:1 v --lease ", ["keep "]],
    ["txn if l", ["lease "]],
  ];
  for (const [line, words] of table) assertEquals(await offered(line), [...words], line);
});

Deno.test("complete: in the text of txn Tab offers its words where they can be, and keys", async () => {
  const table: readonly (readonly [string, readonly string[]])[] = [
    ["txn ", ["if", "put", "touch", "delete", "get", "sum", "min", "max"]],
    ["txn --out", ["--output "]],
    ["txn --output j", ["json "]],
    ["txn --output json g", ["get "]],
    ["txn get u", ["user:1", "user:2"]],
    ["txn get 'a' ; delete user:1", ["user:1 "]],
    ["txn put user:1 ", []],
    ["txn get k --l", ["--limit "]],
    ["txn get k --limit ", []],
    ["txn get k --end u", ["user:1", "user:2"]],
    ["txn if version k ", ["--prefix", "--end", "--from-key", "=", "!=", "<", ">"]],
    ["txn if exists k t", ["then "]],
    ["txn if exists k then get k ; e", ["else "]],
    ["txn put k v v ", []],
  ];
  for (const [line, words] of table) assertEquals(await offered(line), [...words], line);
});

Deno.test("complete: Tab offers commands, options, node ids, and keys quoted as they must be typed", async () => {
  const table: readonly (readonly [string, readonly string[]])[] = [
    ["", COMMAND_NAMES],
    ["g", ["get "]],
    ["ex", ["export", "exit"]],
    ["nonsense ", []],
    ["get u", ["user:1", "user:2"]],
    ["get user:1", ["user:1 "]],
    ["get two\\ w", ["two\\ words "]],
    [`get "two w`, [`"two words" `]],
    ["get k", ["käse "]],
    ["get x", []],
    ["get ", ["user:1", "user:2", "two\\ words", "käse", '\\"q\\"']],
    ["put user:1 ", []],
    ["list u", ["user:1", "user:2"]],
    ["list --li", ["--limit "]],
    ["get user:1 --", [
      "--raw",
      "--revision",
      "--consistency",
      "--stale",
      "--key-base64",
      "--escapes",
      "--output",
      "--timeout-ms",
      "--help",
    ]],
    ["help p", ["put "]],
    ["help member r", ["remove", "replace"]],
    ["help put ", []],
    ["mem", ["members", "member"]],
    ["member ", ["add", "remove", "promote", "demote", "replace", "update"]],
    ["member pr", ["promote "]],
    ["member fly ", []],
    ["member remove 4 --f", ["--force "]],
    ["snapshot s", ["save "]],
    ["export us", ["user:1", "user:2"]],
    ["get --consistency ", ["linearizable", "stale"]],
    ["get --consistency s", ["stale "]],
    ["get --consistency=l", ["--consistency=linearizable "]],
    ["get --consistency stale u", ["user:1", "user:2"]],
    ["get --timeout-ms 5 u", ["user:1", "user:2"]],
    ["get --timeout-ms ", []],
    ["list --limit ", []],
    ["list --after u", ["user:1", "user:2"]],
    ["status --output ", ["text", "json"]],
    ["put -- u", ["user:1", "user:2"]],
    ["get -- --", []],
    ["member remove ", ["1", "2", "3"]],
    ["member remove n2", ["n2 "]],
    ["member update ", ["1", "2", "3"]],
    ["member update 1 ", []],
    ["member replace ", ["1", "2", "3"]],
    ["member replace 1 ", []],
    ["member add ", []],
    ["transfer-leader ", ["1", "2", "3"]],
    ["snapshot save ", ["1", "2", "3"]],
  ];
  for (const [line, words] of table) assertEquals(await offered(line), [...words], line);
});

Deno.test("parseCommand: a command name of another store is answered with the command for it", () => {
  const meant = (word: string): string => {
    const { message } = assertThrows(() => parseCommand([word, "k"]), UsageError);
    return / Did you mean (.*)\?$/.exec(message)?.[1] ?? message;
  };
  assertEquals(
    ["set", "SET", "del", "rm", "ls", "keys", "exists", "GET", "backup", "lsit", "constructor"].map(meant),
    ["put", "put", "delete", "delete", "list", "list", "get", "get", "snapshot save", "list"].concat(
      `There is no command "constructor". help lists the commands.`,
    ),
  );
});

Deno.test("COMMANDS: a name of another store belongs to one command, and is not a command itself", () => {
  const names = COMMANDS.flatMap(({ otherNames }) => otherNames);
  for (const name of names) assertEquals(findCommand([name]), null, name);
  assertEquals(new Set(names).size, names.length);
});

Deno.test("parseCommand: an option of another command is answered with the commands that have it", () => {
  const refusal = (...words: readonly string[]): string =>
    assertThrows(() => parseCommand(words), UsageError).message;
  assertEquals(
    refusal("get", "k", "--clients", "3"),
    "get has no option --clients; bench and check have. See help get.",
  );
  assertEquals(refusal("get", "k", "--absent"), "get has no option --absent; cas has. See help get.");
  assertEquals(
    refusal("get", "k", "--clients"),
    "get has no option --clients; bench and check have. See help get.",
  );
  assertEquals(
    refusal("get", "app/", "--prefix"),
    "get has no option --prefix: list <prefix> reads all keys with a prefix. See help get.",
  );
  assertEquals(
    refusal("txn", "if absent a then put a b", "--timeout-ms", "3000"),
    '"--timeout-ms" is behind the text of txn, which is one argument in quotes or one argument a word. ' +
      "Options of txn come before its text.",
  );
  assertEquals(refusal("--file", "f"), "--file is an option of put, cas and txn; name the command.");
});
