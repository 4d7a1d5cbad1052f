/**
 * The owner of a data directory. The file `identity` has it as JSON, so that an operator can read it:
 * `{"formatVersion":1,"clusterId":"7f3a…","clusterName":"kvraft","nodeId":2,"dataId":…,"founders":[…],"checksum":…}`.
 */
import { crc32 } from "node:zlib";

/** One of the nodes that a cluster began with. */
export interface Founder {
  /** The node. */
  readonly id: number;
  /** host:port at which the others dialled it then. */
  readonly address: string;
}

/** The owner of a data directory. Written once; what changes later (members, addresses) is in the replicated configuration. */
export interface Identity {
  /** The cluster (16 hex characters). */
  readonly clusterId: string;
  /** The cluster's name, chosen by its operators. */
  readonly clusterName: string;
  /** The node within the cluster. */
  readonly nodeId: number;
  /** Random id of the directory, by which a node with another, empty directory is detected. */
  readonly dataId: number;
  /** The configuration before the first entry; empty for a node that joined a cluster. */
  readonly founders: readonly Founder[];
}

/** The owner of a log, as its files state it. */
export type LogOwner = Pick<Identity, "clusterId" | "nodeId">;

/** Version of all formats in the data directory. It is increased when older versions cannot read the directory any more. */
export const FORMAT_VERSION = 1;

/** Maximum bytes of an identity file. To detect a longer one, read at least one byte more. */
export const MAX_IDENTITY_BYTES = 16_384;

/** The result of decoding an identity file. */
export type DecodedIdentity =
  | { readonly kind: "identity"; readonly identity: Identity }
  | { readonly kind: "newerFormat"; readonly formatVersion: number }
  | { readonly kind: "damaged"; readonly reason: string };

/** The content of the identity file. */
export function encodeIdentity(identity: Identity): Uint8Array {
  const { clusterId, clusterName, nodeId, dataId } = identity;
  const founders = identity.founders.map(({ id, address }) => ({ id, address }));
  const checksum = checksumOf(identity);
  const fields = {
    formatVersion: FORMAT_VERSION,
    clusterId,
    clusterName,
    nodeId,
    dataId,
    founders,
    checksum,
  };
  return new TextEncoder().encode(JSON.stringify(fields) + "\n");
}

/** Without it a flipped bit would make the directory look like another node's (found by the simulator). */
function checksumOf({ clusterId, clusterName, nodeId, dataId, founders }: Identity): number {
  const addresses = founders.flatMap(({ id, address }) => [id, address]);
  return crc32(JSON.stringify([FORMAT_VERSION, clusterId, clusterName, nodeId, dataId, ...addresses]));
}

/** Decodes an identity file. Unknown fields are ignored; the version is checked before any other field. */
export function decodeIdentity(bytes: Uint8Array): DecodedIdentity {
  if (bytes.length > MAX_IDENTITY_BYTES) return { kind: "damaged", reason: "it is too long" };
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return { kind: "damaged", reason: "it is not JSON" };
  }
  const fields = fieldsOf(value);
  if (fields === null) return { kind: "damaged", reason: "it is not a JSON object" };
  const formatVersion = fields.get("formatVersion");
  if (!isPositiveInteger(formatVersion)) return { kind: "damaged", reason: "formatVersion is not a version" };
  if (formatVersion > FORMAT_VERSION) return { kind: "newerFormat", formatVersion };
  const identity = readIdentity(fields);
  if (typeof identity === "string") return { kind: "damaged", reason: identity };
  if (fields.get("checksum") !== checksumOf(identity)) {
    return { kind: "damaged", reason: "its checksum does not hold" };
  }
  return { kind: "identity", identity };
}

/** The identity, or what is wrong with it. */
function readIdentity(fields: ReadonlyMap<string, unknown>): Identity | string {
  const clusterId = fields.get("clusterId");
  const clusterName = fields.get("clusterName");
  const nodeId = fields.get("nodeId");
  const dataId = fields.get("dataId");
  const listed = fields.get("founders");
  if (typeof clusterId !== "string" || clusterId === "") return "clusterId is not a cluster id";
  if (typeof clusterName !== "string") return "clusterName is not a name";
  if (!isPositiveInteger(nodeId)) return "nodeId is not a node id";
  if (!isPositiveInteger(dataId)) return "dataId is not the number of a data directory";
  if (!Array.isArray(listed)) return "founders is not a list";
  const founders: Founder[] = [];
  for (const each of listed) {
    const founder = fieldsOf(each);
    const id = founder?.get("id");
    const address = founder?.get("address");
    if (!isPositiveInteger(id) || typeof address !== "string") return "founders are not nodes with addresses";
    founders.push({ id, address });
  }
  return { clusterId, clusterName, nodeId, dataId, founders };
}

function fieldsOf(value: unknown): ReadonlyMap<string, unknown> | null {
  return typeof value === "object" && value !== null ? new Map<string, unknown>(Object.entries(value)) : null;
}

function isPositiveInteger(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}
