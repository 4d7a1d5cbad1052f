/** The commands on databases of Deno KV and their access tokens: `denokv create`, `show`, `token` and `revoke`. */
import { DatabasesChangeRefusedError } from "../../../client/errors.ts";
import { secretBytes, sha256Of } from "../../../platform/secrets.ts";
import { integerOfText, type OptionSpec } from "../../arguments.ts";
import {
  type Answer,
  answer,
  changeAnswer,
  type Command,
  type CommandContext,
  defineCommand,
  type Invocation,
  type View,
  withElapsed,
} from "../../command.ts";
import { ExitCode, HalfwayError, UsageError } from "../../errors.ts";
import { callOptions } from "../../options.ts";
import { countOf, dim, escapeText, table, timeText } from "../../text.ts";
import { metaLine } from "../auth/auth_options.ts";
import {
  batchesOf,
  DATABASE,
  mutate,
  type NamedDatabase,
  type OpenDatabase,
  openDatabase,
} from "./access.ts";
import { prefixRange } from "./entries.ts";

/** The name of a database that is created: Tab has nothing to offer. */
const NEW_DATABASE = { name: "database", required: true } as const;
/** The database that every cluster has. */
const DEFAULT_DATABASE = "default";
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const LABEL: OptionSpec = {
  name: "label",
  placeholder: "<text>",
  help: "what lists show of it, such as its program",
};
const DEFAULT_LABEL = "unnamed";
/** The beginning of an access token, by which people and scanners of repositories recognize one. */
const TOKEN_PREFIX = "kvd_";
/** Random bytes of an access token, and of a signing key. */
const TOKEN_BYTES = 32;
const SIGNING_KEY_BYTES = 32;
/** Bytes of the hash of a token. */
const HASH_BYTES = 32;
/** Keys that are read at once. */
const PURGE_PAGE = 1_000;
const EVERY_KEY = prefixRange(new Uint8Array());

const CREATE = defineCommand({
  name: "denokv create",
  arguments: [NEW_DATABASE],
  summary: "create a Deno KV database",
  details: [
    "A name has 1 to 63 lower-case letters, digits and hyphens, and is the path in the URL. Without an access token the",
    "database takes every client while authentication is disabled, and none while it is enabled.",
  ],
  example: ["denokv create shop", "ok  database shop created"],
  async run(invocation, context): Promise<Answer> {
    const name = checkName(invocation.args.get(NEW_DATABASE.name)?.text ?? "");
    const client = await context.client();
    const uuid = crypto.randomUUID();
    const change = { kind: "create", name, uuid, signingKey: secretBytes(SIGNING_KEY_BYTES) } as const;
    const { databaseId } = await client.databases.change(change, callOptions(invocation, context));
    context.note(`in a program: ${openingOf(name)}; next: denokv token ${name}`);
    return changeAnswer({
      line: `ok  database ${name} created`,
      document: { database: name, id: databaseId, uuid },
    });
  },
});

const SHOW = defineCommand({
  name: "denokv show",
  arguments: [DATABASE],
  summary: "a database: its path, UUID and access tokens",
  details: ["The tokens themselves are not kept. Their ids are for denokv revoke."],
  example: ["denokv show shop", "path /shop", "token 1  web  2026-11-30T09:00:00.000Z"],
  async run(invocation, context): Promise<Answer> {
    const { database } = await openDatabase(invocation, context);
    return answer({
      text: (view) => ({ output: withElapsed(databaseText(database), view), note: "" }),
      json: () => databaseDocument(database),
    });
  },
});

const TOKEN = defineCommand({
  name: "denokv token",
  arguments: [DATABASE],
  options: [LABEL],
  summary: "make an access token of a database, and show it once",
  details: [
    "The token is the only thing on standard output, so that it can go into a file: umask 077 first. The cluster has its",
    "hash only. From the first token on every client of the database needs one, in DENO_KV_ACCESS_TOKEN.",
  ],
  example: ["denokv token shop --label web", "kvd_q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
  async run(invocation, context): Promise<Answer> {
    const label = invocation.options.get(LABEL.name) ?? DEFAULT_LABEL;
    const open = await openDatabase(invocation, context);
    const { name, tokens } = open.database;
    const secret = secretBytes(TOKEN_BYTES).toBase64({ alphabet: "base64url", omitPadding: true });
    const token = `${TOKEN_PREFIX}${secret}`;
    const tokenId = await addToken(open, { label, hash: sha256Of(token) });
    const first = tokens.length > 0 ? "" : `; from now on every client of ${name} needs a token`;
    return answer({
      text: () => ({
        output: `${token}\n`,
        note: [
          `-- token ${tokenId} (${escapeText(label)}) of ${name}; it is not shown again${first}\n`,
          `-- in a program: const kv = ${openingOf(name)};\n`,
          "-- run it: DENO_KV_ACCESS_TOKEN=<the token> deno run --unstable-kv -A program.ts\n",
        ].join(""),
      }),
      json: () => ({ database: name, tokenId, label, token }),
      outcome: `Token ${tokenId} of ${name} was made, and is lost: denokv revoke ${name} ${tokenId}.`,
    });
  },
});

const REVOKE = defineCommand({
  name: "denokv revoke",
  arguments: [DATABASE, { name: "id", required: true }],
  summary: "revoke an access token of a database",
  details: [
    "What clients send by it from then on is refused, on every node; their watches end. denokv show has the ids.",
  ],
  example: ["denokv revoke shop 1", "ok  token 1 of shop revoked"],
  async run(invocation, context): Promise<Answer> {
    const range = { name: "<id>", min: 1, max: 2 ** 32 - 1 };
    const tokenId = integerOfText(invocation.args.get("id")?.text ?? "", range);
    const { client, database: { name, tokens }, options } = await openDatabase(invocation, context);
    await client.databases.change({ kind: "removeToken", name, tokenId }, options);
    if (tokens.every(({ id }) => id === tokenId)) {
      context.note(
        `${name} has no token now, and takes no client until it has one: denokv token ${name}`,
      );
    }
    return changeAnswer({
      line: `ok  token ${tokenId} of ${name} revoked`,
      document: { database: name, tokenId },
    });
  },
});

export const DENOKV_DATABASE_COMMANDS: readonly Command[] = [CREATE, SHOW, TOKEN, REVOKE];

/** Returns the answer of `denokv list`: all databases. */
export async function listDatabases(invocation: Invocation, context: CommandContext): Promise<Answer> {
  const misplaced = invocation.command.options.find(({ name }) => invocation.options.has(name));
  if (misplaced !== undefined) {
    throw new UsageError(`--${misplaced.name} is for the keys of a <database>, and none is given.`);
  }
  const client = await context.client();
  const { databases: all } = await client.databases.databases({
    ...callOptions(invocation, context),
    secrets: false,
  });
  return answer({
    text: (view) => ({
      output: databaseList(all, view),
      note: metaLine(view, countOf(all.length, "database")),
    }),
    json: () => ({ databases: all.map(databaseDocument) }),
  });
}

/** Removes a database, with `isPurged` after its tokens and keys. */
export async function removeDatabase(
  invocation: Invocation,
  context: CommandContext,
  { isPurged }: { readonly isPurged: boolean },
): Promise<Answer> {
  const open = await openDatabase(invocation, context);
  const { database: { name } } = open;
  if (name === DEFAULT_DATABASE) {
    // Here too, because a purge would have deleted its keys before the cluster refuses the removal.
    throw new HalfwayError(
      `Cannot delete the database ${name}: every cluster has it. To delete one of its keys: denokv delete ${name} <key>`,
      { code: "databasesChangeRefused", exitCode: ExitCode.no },
    );
  }
  const keys = isPurged ? await purge(open) : 0;
  await remove(open);
  const line = isPurged
    ? `ok  database ${name} deleted, with ${countOf(keys, "key")}`
    : `ok  database ${name} deleted`;
  return changeAnswer({ line, document: { database: name, keys } });
}

/**
 * Removes the tokens, so that programs stop writing, and deletes all keys by a token that no client has. Returns the number of
 * keys.
 */
async function purge(open: OpenDatabase): Promise<number> {
  const { client, database: { id, name, tokens }, options } = open;
  for (const { id: tokenId } of tokens) {
    await client.databases.change({ kind: "removeToken", name, tokenId }, options);
  }
  const credentialId = await addToken(open, { label: "purge", hash: secretBytes(HASH_BYTES) });
  const purging = { ...open, credentialId };
  let count = 0;
  for (;;) {
    const range = { ...EVERY_KEY, limit: PURGE_PAGE, reverse: false };
    const { ranges: [page = []] } = await client.databases.read(id, [range], options);
    for (const keys of batchesOf(page)) {
      await mutate(purging, keys.map(({ key }) => ({ kind: "delete", key })));
      count += keys.length;
    }
    if (page.length === 0) return count;
  }
}

/** Adds an access token, of which only the hash is known here; returns its id. */
async function addToken(
  { client, database: { name }, options }: OpenDatabase,
  token: { readonly label: string; readonly hash: Uint8Array },
): Promise<number> {
  const { tokenId } = await client.databases.change({
    kind: "addToken",
    name,
    ...token,
    createdAtMs: Date.now(),
    signingKey: secretBytes(SIGNING_KEY_BYTES),
  }, options);
  return tokenId;
}

function checkName(name: string): string {
  if (NAME.test(name)) return name;
  throw new UsageError(
    "The name of a database has 1 to 63 lower-case letters, digits and hyphens, and begins with no hyphen. Example: shop",
  );
}

/** Removes an empty database. */
async function remove({ client, database: { name }, options }: OpenDatabase): Promise<void> {
  try {
    await client.databases.change({ kind: "remove", name }, options);
  } catch (error) {
    if (!(error instanceof DatabasesChangeRefusedError) || error.reason !== "databaseNotEmpty") throw error;
    const message =
      `Cannot delete the database ${name}: it has keys. To delete it with them: denokv delete ${name} --purge`;
    throw new HalfwayError(message, { code: error.code, exitCode: ExitCode.no, cause: error });
  }
}

/** Returns the expression by which a program opens a database. */
function openingOf(name: string): string {
  return `await Deno.openKv("http://<host:port of --denokv>${urlPathOf(name)}")`;
}

/** Returns what follows the address in the URL of a database. */
function urlPathOf(name: string): string {
  return name === DEFAULT_DATABASE ? "" : `/${name}`;
}

function databaseDocument({ id, name, uuid, tokens }: NamedDatabase): unknown {
  return {
    id,
    name,
    path: urlPathOf(name) || "/",
    uuid,
    tokens: tokens.map((token) => ({ id: token.id, label: token.label, createdAtMs: token.createdAtMs })),
  };
}

function databaseText({ name, uuid, tokens }: NamedDatabase): string {
  const rows = tokens.map((
    { id, label, createdAtMs },
  ) => [`token ${id}`, escapeText(label), timeText(createdAtMs)]);
  const lines = [`path ${urlPathOf(name) || "/"}`, `uuid ${escapeText(uuid)}`, ...table(rows)];
  if (tokens.length === 0) lines.push("no access token: denokv token makes one");
  return lines.map((line) => `${line}\n`).join("");
}

function databaseList(all: readonly NamedDatabase[], view: View): string {
  const cells = all.map(({ name, uuid, tokens }) => [escapeText(name), `${tokens.length}`, escapeText(uuid)]);
  const [header = "", ...rows] = table([["database", "tokens", "uuid"], ...cells]);
  const lines = view.isTerminal ? [dim(header, view), ...rows] : cells.map((row) => row.join("\t"));
  return lines.map((line) => `${line}\n`).join("");
}
