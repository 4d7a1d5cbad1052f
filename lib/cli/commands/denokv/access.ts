/** Arguments of the commands on databases of Deno KV, and their calls. */
import type { DatabaseMutation } from "../../../kv/databases/database_command.ts";
import { AuthenticationError } from "../../../client/errors.ts";
import type { CallOptions } from "../../../client/types.ts";
import { assert } from "../../../platform/assert.ts";
import type { ArgumentSpec, CommandContext, Invocation, StoreClient } from "../../command.ts";
import { ExitCode, HalfwayError } from "../../errors.ts";
import { callOptions } from "../../options.ts";
import { enumeration } from "../../text.ts";

/** A database, completed by Tab. */
export const DATABASE: ArgumentSpec = { name: "database", required: true, completion: "database" };
/** A key within a database. */
export const DATABASE_KEY: ArgumentSpec = { name: "key", required: true };

/** The credential of a write that comes by no access token. */
const NO_CREDENTIAL = 0;

/** A database, as a client lists it. */
export type NamedDatabase = Awaited<ReturnType<StoreClient["databases"]["databases"]>>["databases"][number];

/** An open database: the client, and the options of its requests. */
export interface OpenDatabase {
  readonly client: StoreClient;
  readonly database: NamedDatabase;
  /** The access token by which it is written: while authentication is disabled, a client may name any of them. */
  readonly credentialId: number;
  readonly options: CallOptions;
}

/** Connects, and returns the database that the argument {@link DATABASE} names. */
export async function openDatabase(invocation: Invocation, context: CommandContext): Promise<OpenDatabase> {
  const name = invocation.args.get(DATABASE.name)?.text ?? "";
  const client = await context.client();
  const options = callOptions(invocation, context);
  const { databases: all, authenticationEnabled } = await client.databases.databases({
    ...options,
    secrets: false,
  });
  const database = all.find((candidate) => candidate.name === name);
  if (database !== undefined) {
    const credentialId = authenticationEnabled ? NO_CREDENTIAL : database.tokens[0]?.id ?? NO_CREDENTIAL;
    return { client, database, credentialId, options };
  }
  throw new HalfwayError(
    `There is no database ${name}; the cluster has ${enumeration(all.map((known) => known.name))}. ` +
      `Create it: denokv create ${name}`,
    { code: "databaseNotFound", exitCode: ExitCode.no },
  );
}

/** Makes some mutations in one revision, and returns it. */
export async function mutate(
  { client, database, credentialId, options }: OpenDatabase,
  mutations: readonly DatabaseMutation[],
): Promise<number> {
  try {
    const write = { checks: [], mutations };
    const result = await client.databases.write(database.id, credentialId, write, options);
    assert(result.kind === "databaseWritten", "a write without checks and sums is made or refused");
    return result.revision;
  } catch (error) {
    const isClosed = !database.isOpen && database.tokens.length === 0;
    if (!(error instanceof AuthenticationError) || error.user !== null || !isClosed) throw error;
    throw new HalfwayError(
      `The database ${database.name} has had access tokens, and has none now: no client may write in it. ` +
        `Make one: denokv token ${database.name}`,
      { code: error.code, exitCode: ExitCode.denied, cause: error },
    );
  }
}

/** The limits of one write of every cluster (lib/kv/databases/database_command.ts). */
const MAX_MUTATIONS = 1_000;
const MAX_KEY_BYTES = 81_920;
const MAX_BYTES = 819_200;

/** Splits keys and values, in order, into parts of which one write can have each. */
export function* batchesOf<Entry extends { readonly key: Uint8Array; readonly value: Uint8Array }>(
  entries: Iterable<Entry>,
): Generator<readonly Entry[]> {
  let batch: Entry[] = [];
  let [keyBytes, bytes] = [0, 0];
  for (const entry of entries) {
    const [added, all] = [entry.key.length, entry.key.length + entry.value.length];
    if (batch.length === MAX_MUTATIONS || keyBytes + added > MAX_KEY_BYTES || bytes + all > MAX_BYTES) {
      yield batch;
      batch = [];
      [keyBytes, bytes] = [0, 0];
    }
    batch.push(entry);
    keyBytes += added;
    bytes += all;
  }
  if (batch.length > 0) yield batch;
}
