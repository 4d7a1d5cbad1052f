/**
 * The metadata exchange of KV Connect: the versions that a client speaks, and the answer in exactly the form of the
 * specification. npm's client refuses any further field, another content type, an UUID in upper case, and a time without Z.
 */
import { badRequest } from "./limits.ts";
import { createDataToken, type SigningDatabase } from "./data_tokens.ts";

/** The versions of the protocol that this server speaks, the preferred one first. */
const VERSIONS = [3, 2, 1] as const;
/** A version of the protocol. */
export type ProtocolVersion = typeof VERSIONS[number];

/** Bytes of the body of a metadata request; the usual one has 28. */
export const MAX_METADATA_BODY_BYTES = 4_096;
/**
 * Time until a metadata answer expires. Clients ask again every minute, but by their own clock they must not be
 * past it: a client whose clock is 24 hours fast asks without pause.
 */
export const METADATA_LIFETIME_MS = 24 * 60 * 60 * 1_000;

/** A database, as its clients see it. */
export interface DescribedDatabase extends SigningDatabase {
  readonly name: string;
  /** In lower case, with hyphens. */
  readonly uuid: string;
}

/** The facts of a metadata answer. */
export interface MetadataFacts {
  readonly version: ProtocolVersion;
  readonly database: DescribedDatabase;
  /** The access token by which the client came; 0 for none. */
  readonly credentialId: number;
  /** The URL of the data path: relative to that of the exchange, but absolute for version 1. */
  readonly endpoint: string;
  readonly nowMs: number;
}

/** Returns the version of the protocol for a client, by the body of its request; throws the answer 400. */
export function negotiateVersion(body: Uint8Array): ProtocolVersion {
  if (body.length === 0) return 1; // the body came with version 2
  const supported = supportedVersions(body);
  const version = VERSIONS.find((version) => supported.includes(version));
  if (version === undefined) {
    throw badRequest(
      `The server could not negotiate a protocol version. It speaks versions ${
        VERSIONS.toReversed().join(", ")
      }`,
    );
  }
  return version;
}

function supportedVersions(body: Uint8Array): readonly unknown[] {
  let request: unknown;
  try {
    request = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw badRequest("The body of the metadata request is not JSON");
  }
  if (typeof request === "object" && request !== null && "supportedVersions" in request) {
    const { supportedVersions } = request;
    if (Array.isArray(supportedVersions)) return supportedVersions;
  }
  throw badRequest("The body of the metadata request has no list of supportedVersions");
}

/** Returns a metadata answer, in JSON. */
export function encodeMetadata(
  { version, database, credentialId, endpoint, nowMs }: MetadataFacts,
): string {
  const expiresAtMs = nowMs + METADATA_LIFETIME_MS;
  return JSON.stringify({
    version,
    databaseId: database.uuid,
    endpoints: [{ url: endpoint, consistency: "strong" }],
    token: createDataToken(database, { credentialId, expiresAtMs }),
    expiresAt: new Date(expiresAtMs).toISOString(),
  });
}
