/**
 * Answers the reads of the registry of databases.
 *
 * Every cluster has the default database. Until it has a record, its signing key is derived from the id of the cluster,
 * which is no secret: the database is open then, so a token of it proves nothing.
 */
import { DEFAULT_DATABASE_ID, DEFAULT_DATABASE_NAME, isOpen, type StateMachine } from "../../kv/mod.ts";
import { sha256Of } from "../../platform/secrets.ts";
import type { RequestFrame, ServerFrame } from "../../protocol/client_frames.ts";

type ListedDatabase = ServerFrame<"databasesResult">["databases"][number];

const NO_BYTES = new Uint8Array(0);

/** Returns the answer to a request for the databases of a cluster. */
export function answerDatabases(
  { requestId, secrets }: RequestFrame<"listDatabases">,
  { registry, revision, auth }: StateMachine,
  clusterId: string,
): ServerFrame<"databasesResult"> {
  const recorded = registry.databases.map((database): ListedDatabase => ({
    ...database,
    isOpen: isOpen(database),
    uuid: database.uuid ?? defaultUuid(clusterId),
    signingKey: secrets ? database.signingKey : NO_BYTES,
    tokens: secrets ? database.tokens : database.tokens.map((token) => ({ ...token, hash: NO_BYTES })),
  }));
  const hasDefault = recorded[0]?.id === DEFAULT_DATABASE_ID;
  const databases = hasDefault ? recorded : [defaultDatabase(clusterId, secrets), ...recorded];
  return { kind: "databasesResult", requestId, revision, authenticationEnabled: auth.enabled, databases };
}

function defaultDatabase(clusterId: string, secrets: boolean): ListedDatabase {
  const signingKey = secrets ? sha256Of(`signing key of the default database of ${clusterId}`) : NO_BYTES;
  const uuid = defaultUuid(clusterId);
  return { id: DEFAULT_DATABASE_ID, name: DEFAULT_DATABASE_NAME, uuid, signingKey, isOpen: true, tokens: [] };
}

/** Returns the UUID of the default database: of version 8, which is for values that are derived in an own way. */
function defaultUuid(clusterId: string): string {
  const bytes = sha256Of(`default database of ${clusterId}`).subarray(0, 16);
  bytes[6] = (bytes[6] ?? 0) & 0x0f | 0x80;
  bytes[8] = (bytes[8] ?? 0) & 0x3f | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
