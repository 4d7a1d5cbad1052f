/** Requests to the port of Deno KV: paths, methods, headers and bodies, from correct to hostile. */
import type { SeededRandom } from "../../support/seeded_random.ts";
import { type Endpoint, ENDPOINTS, hostileBody, randomBytes } from "./bodies.ts";

/** A request before it is written in a version of HTTP. */
export interface HostileRequest {
  readonly method: string;
  readonly path: string;
  /** Name and value of each field, in order. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Uint8Array<ArrayBuffer>;
}

/** The facts that a program learns by a metadata request. */
export interface KnownDatabase {
  readonly databaseId: string;
  /** The data token. */
  readonly token: string;
}

const METHODS = [
  "GET",
  "PUT",
  "HEAD",
  "OPTIONS",
  "DELETE",
  "CONNECT",
  "TRACE",
  "post",
  "P\x01ST",
  "",
  "M".repeat(40),
];
const PATHS = [
  "/",
  "//",
  "/kv",
  "/kv/",
  "/kv/snapshot_read/",
  "/kv/snapshot_reads",
  "/default",
  "/default/kv/watch",
  "/hostile",
  "/hostile/kv/atomic_write",
  "/%2e%2e/kv/watch",
  "/../../etc/passwd",
  "/kv/watch?x=1",
  "/kv/watch#x",
  "*",
  "http://example.com/kv/watch",
  "/\u00e4",
  "/" + "a".repeat(9_000),
  "/__proto__",
  "/constructor/kv/watch",
];
const METADATA_BODIES = [
  `{"supportedVersions":[1,2,3]}`,
  `{"supportedVersions":[3]}`,
  `{"supportedVersions":[]}`,
  `{"supportedVersions":[4,99]}`,
  `{"supportedVersions":"3"}`,
  `{"supportedVersions":[null,{},[3],"3",1e400]}`,
  `{"__proto__":{"supportedVersions":[3]}}`,
  `{"supportedVersions":[${"1,".repeat(1_500)}1]}`,
  "[".repeat(4_000),
  "",
  "null",
  "3",
  "\xff\xfe",
];

/** Returns a request; a third are correct but for their body. */
export function hostileRequest(random: SeededRandom, known: KnownDatabase): HostileRequest {
  const method = random.chance(0.9) ? "POST" : random.pick(METHODS);
  if (random.chance(0.15)) return metadataRequest(random, method);
  const endpoint = random.pick(ENDPOINTS);
  const path = random.chance(0.85) ? `/kv/${endpoint}` : random.pick(PATHS);
  return { method, path, fields: dataFields(random, known), body: hostileBody(endpoint, random) };
}

/** Returns a correct request to an endpoint, with a body that may be hostile. */
export function dataRequest(
  endpoint: Endpoint,
  { databaseId, token }: KnownDatabase,
  body: Uint8Array<ArrayBuffer>,
): HostileRequest {
  const fields = [
    ["authorization", `Bearer ${token}`],
    ["content-type", "application/x-protobuf"],
    ["x-denokv-version", "3"],
    ["x-denokv-database-id", databaseId],
  ] as const;
  return { method: "POST", path: `/kv/${endpoint}`, fields, body };
}

function metadataRequest(random: SeededRandom, method: string): HostileRequest {
  const body = random.chance(0.8)
    ? bytesOf(random.pick(METADATA_BODIES))
    : randomBytes(random, random.below(5_000));
  const fields: [string, string][] = [["content-type", "application/json"]];
  if (random.chance(0.8)) fields.push(["authorization", authorization(random, "any-token")]);
  return { method, path: random.chance(0.8) ? "/" : random.pick(PATHS), fields, body };
}

function dataFields(random: SeededRandom, { databaseId, token }: KnownDatabase): [string, string][] {
  const fields: [string, string][] = [];
  if (random.chance(0.97)) fields.push(["authorization", authorization(random, token)]);
  if (random.chance(0.95)) fields.push(["content-type", "application/x-protobuf"]);
  if (random.chance(0.95)) {
    fields.push([
      "x-denokv-version",
      random.chance(0.95) ? "3" : random.pick(["1", "2", "4", "-1", "", "3, 3"]),
    ]);
  }
  if (random.chance(0.95)) {
    const id = random.chance(0.95)
      ? databaseId
      : random.pick([databaseId.toUpperCase(), "", "x", "0".repeat(2_000)]);
    fields.push(["x-denokv-database-id", id]);
  }
  if (random.chance(0.1)) fields.push(hostileField(random));
  return fields;
}

/** A bearer token: mostly the right one, else a wrong, cut or changed one. */
function authorization(random: SeededRandom, token: string): string {
  if (random.chance(0.9)) return `Bearer ${token}`;
  const at = random.below(token.length + 1);
  return random.pick([
    `Bearer ${token.slice(0, at)}`,
    `Bearer ${token.slice(0, at)}A${token.slice(at + 1)}`,
    `Bearer ${token}${token}`,
    `bearer ${token}`,
    `Basic ${token}`,
    "Bearer ",
    "Bearer",
    "",
    `Bearer ${"A".repeat(7_000)}`,
    `Bearer v1.${"=".repeat(75)}`,
    `Bearer \u00ff`,
  ]);
}

function hostileField(random: SeededRandom): [string, string] {
  return random.pick<[string, string]>([
    ["content-length", random.pick(["-1", "0", "99999999999999999999", "1, 2", "+5", "0x10", "5 "])],
    ["transfer-encoding", random.pick(["chunked", "gzip", "chunked, chunked", "identity", " chunked"])],
    ["connection", random.pick(["close", "upgrade", "keep-alive, te", "content-length"])],
    ["upgrade", random.pick(["h2c", "websocket"])],
    ["expect", random.pick(["100-continue", "200-ok"])],
    ["host", random.pick(["", "a, b", "[::1]:x"])],
    ["content-encoding", "gzip"],
    ["te", "trailers"],
    ["x", "y".repeat(20_000)],
    ["bad name", "x"],
    ["x-control", "a\x01b"],
    ["x-newline", "a\r\nx-injected: 1"],
    ["", "empty name"],
  ]);
}

/** Returns the bytes of a text, one for each character below 256. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0) & 255);
}
