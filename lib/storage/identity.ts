/**
 * Whose data directory it is. The file `identity` says so in JSON, so that an operator can read it:
 * `{"formatVersion":1,"clusterId":"7f3a…","nodeId":2,"checksum":…}`.
 */
import { crc32 } from "node:zlib";

/** Whose data this is. */
export interface Identity {
  /** The cluster, as its configuration names it (16 hex characters). */
  readonly clusterId: string;
  /** The node within the cluster. */
  readonly nodeId: number;
}

/** Version of everything in the data directory. It grows when an older kvraft could not read the directory any more. */
export const FORMAT_VERSION = 1;

/** Most bytes of an identity file. To see that one is longer, hand over at least one byte more. */
export const MAX_IDENTITY_BYTES = 4096;

/** What an identity file turned out to be. */
export type DecodedIdentity =
  | { readonly kind: "identity"; readonly identity: Identity }
  | { readonly kind: "newerFormat"; readonly formatVersion: number }
  | { readonly kind: "damaged"; readonly reason: string };

/** The content of the identity file. */
export function encodeIdentity(identity: Identity): Uint8Array {
  const { clusterId, nodeId } = identity;
  const checksum = checksumOf(identity);
  return new TextEncoder().encode(
    JSON.stringify({ formatVersion: FORMAT_VERSION, clusterId, nodeId, checksum }) + "\n",
  );
}

/** Without it a flipped bit would make the folder look like somebody else's (found by the simulator). */
function checksumOf({ clusterId, nodeId }: Identity): number {
  return crc32(`${FORMAT_VERSION} ${clusterId} ${nodeId}`);
}

/** Reads the content of an identity file. Fields it does not know are ignored; a newer version is found before anything else is asked of it. */
export function decodeIdentity(bytes: Uint8Array): DecodedIdentity {
  if (bytes.length > MAX_IDENTITY_BYTES) return { kind: "damaged", reason: "it is too long" };
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return { kind: "damaged", reason: "it is not JSON" };
  }
  if (typeof value !== "object" || value === null) {
    return { kind: "damaged", reason: "it is not a JSON object" };
  }
  const formatVersion = "formatVersion" in value ? value.formatVersion : null;
  if (!isPositiveInteger(formatVersion)) return { kind: "damaged", reason: "formatVersion is not a version" };
  if (formatVersion > FORMAT_VERSION) return { kind: "newerFormat", formatVersion };
  const clusterId = "clusterId" in value ? value.clusterId : null;
  const nodeId = "nodeId" in value ? value.nodeId : null;
  if (typeof clusterId !== "string" || clusterId === "") {
    return { kind: "damaged", reason: "clusterId is not a cluster id" };
  }
  if (!isPositiveInteger(nodeId)) return { kind: "damaged", reason: "nodeId is not a node id" };
  const identity = { clusterId, nodeId };
  if (!("checksum" in value) || value.checksum !== checksumOf(identity)) {
    return { kind: "damaged", reason: "its checksum does not hold" };
  }
  return { kind: "identity", identity };
}

function isPositiveInteger(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}
