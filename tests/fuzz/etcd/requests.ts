/** Requests to the port for etcd's clients: over gRPC and the JSON gateway, from correct to hostile. */
import { encodeMessage, type Message, messagesOf } from "../../support/etcd/messages.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { randomBytes } from "../denokv/bodies.ts";
import { varint } from "../denokv/http2_speaker.ts";
import { bytesOf, type HostileRequest } from "../denokv/requests.ts";
import { joined, mutated } from "../mutator.ts";
import { texts } from "../target.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Methods that hostile programs call: none that changes members, users or the leader. */
const METHODS = [
  "etcdserverpb.KV/Range",
  "etcdserverpb.KV/RangeStream",
  "etcdserverpb.KV/Put",
  "etcdserverpb.KV/DeleteRange",
  "etcdserverpb.KV/Txn",
  "etcdserverpb.KV/Compact",
  "etcdserverpb.Watch/Watch",
  "etcdserverpb.Lease/LeaseGrant",
  "etcdserverpb.Lease/LeaseRevoke",
  "etcdserverpb.Lease/LeaseKeepAlive",
  "etcdserverpb.Lease/LeaseTimeToLive",
  "etcdserverpb.Lease/LeaseLeases",
  "etcdserverpb.Maintenance/Status",
  "etcdserverpb.Maintenance/Hash",
  "etcdserverpb.Maintenance/Snapshot",
  "etcdserverpb.Auth/Authenticate",
  "v3lockpb.Lock/Lock",
  "v3lockpb.Lock/Unlock",
  "v3electionpb.Election/Campaign",
  "v3electionpb.Election/Observe",
  "v3electionpb.Election/Leader",
  "v3electionpb.Election/Proclaim",
  "etcdserverpb.KV/Nothing",
  "nothing.Nothing/Nothing",
] as const;
const GATEWAY_PATHS = [
  "/v3/kv/range",
  "/v3/kv/txn",
  "/v3/watch",
  "/v3/lease/grant",
  "/v3/lock/lock",
  "/v3/none",
];
const OTHER_PATHS = [
  "/metrics",
  "/health",
  "/version",
  "/livez",
  "/readyz?verbose",
  "/",
  "*",
  "/../etc/passwd",
];
const JSON_BODIES = [
  "[".repeat(100_000),
  `{"a":`.repeat(10_000),
  `{"compare":[${"{},".repeat(50_000)}{}]}`,
  `{"key":"${"A".repeat(100_000)}"}`,
  "1".repeat(100_000),
  `{"create_request":{"key":"aG9zdGlsZQ=="}}`,
  `{"__proto__":{"key":"YQ=="},"constructor":1}`,
  `{"ID":"99999999999999999999","TTL":1e400}`,
  "\xff\xfe",
  "",
];
const NUMBERS = [0, 1, 2, 3, 100, 10_001, 2 ** 31, 2 ** 53 - 1, -1, -(2 ** 53) + 1];
const LENGTHS = [0, 1, 8, 30, 30, 30, 4_096, 4_097, 70_000];
const TOKENS = texts("\x0a\x00", "\x12\x02\x22\x00", "\xff\xff\xff\xff\xff\xff\xff\xff", "\0\0\0\0\0");
/** A little more than a server takes. */
const LARGE_BYTES = 2_097_153;

/** Returns a request; half of those over gRPC have a body that should be served. */
export function hostileRequest(random: SeededRandom): HostileRequest {
  if (random.chance(0.1)) return jsonRequest(random);
  const method = random.pick(METHODS);
  return grpcRequest(method, bodyOf(method, random), random);
}

/** Returns a request over gRPC with a body. */
export function grpcRequest(method: string, body: Bytes, random: SeededRandom): HostileRequest {
  const fields: [string, string][] = [["content-type", "application/grpc"], ["te", "trailers"]];
  if (random.chance(0.2)) fields.push(["hasleader", "true"]);
  if (random.chance(0.1)) fields.push(["token", random.pick(["", "x", `kvt_${"a".repeat(43)}`, "a.1"])]);
  if (random.chance(0.1)) fields.push(["grpc-timeout", random.pick(["1n", "0S", "99999999H", "1", "-1S"])]);
  return { method: "POST", path: `/${method}`, fields, body };
}

/** Returns one message with its prefix. */
export function framed(message: Uint8Array): Bytes {
  const prefix = new Uint8Array(5);
  new DataView(prefix.buffer).setUint32(1, message.length);
  return joined(prefix, message);
}

/** Returns a message for a method that is correct in form. */
export function validMessage(method: string, random: SeededRandom): Bytes {
  const [type] = messagesOf(method);
  try {
    return Uint8Array.from(encodeMessage(type, fieldsOf(type, random)));
  } catch {
    return new Uint8Array(0);
  }
}

function jsonRequest(random: SeededRandom): HostileRequest {
  const fields = [["content-type", "application/json"]] as const;
  if (random.chance(0.3)) {
    return { method: "GET", path: random.pick(OTHER_PATHS), fields, body: new Uint8Array(0) };
  }
  const body = bytesOf(random.pick(JSON_BODIES));
  return { method: "POST", path: random.pick(GATEWAY_PATHS), fields, body };
}

function bodyOf(method: string, random: SeededRandom): Bytes {
  const kind = random.below(20);
  if (kind === 0) return framed(repeated(random.pick([[0x0a, 0], [0x12, 2, 0x22, 0], [0x2a, 1, 7]])));
  if (kind === 1) return framed(nested(random.below(2_000)));
  if (kind === 2) return randomBytes(random, random.below(600));
  const messages = Array.from({ length: random.chance(0.8) ? 1 : random.below(50) }, () => {
    const message = validMessage(method, random);
    return framed(random.chance(0.6) ? message : mutated({ corpus: [message], tokens: TOKENS }, random));
  });
  const body = joined(...messages);
  return random.chance(0.8) ? body : mutated({ corpus: [body], tokens: TOKENS }, random);
}

/** Returns a field as often as it fits in a message a little larger than the largest. */
function repeated(field: readonly number[]): Bytes {
  const bytes = new Uint8Array(LARGE_BYTES - LARGE_BYTES % field.length);
  for (let at = 0; at < bytes.length; at += field.length) bytes.set(field, at);
  return bytes;
}

/** Returns transactions within each other. */
function nested(levels: number): Bytes {
  let bytes: Bytes = new Uint8Array(0);
  for (let level = 0; level < levels; level++) {
    const inner = joined(new Uint8Array([0x22, ...varint(bytes.length)]), bytes);
    bytes = joined(new Uint8Array([0x12, ...varint(inner.length)]), inner);
  }
  return bytes;
}

function fieldsOf(type: string, random: SeededRandom): Message {
  const number = (): number => random.pick(NUMBERS);
  const keys = {
    key: key(random),
    range_end: random.chance(0.5) ? "" : random.pick(["\0", "hostilf", key(random)]),
  };
  switch (type) {
    case "RangeRequest":
      return {
        ...keys,
        limit: number(),
        revision: random.chance(0.8) ? 0 : number(),
        sort_order: random.below(4),
        sort_target: random.below(6),
        keys_only: random.chance(0.2),
        count_only: random.chance(0.2),
        min_mod_revision: random.chance(0.8) ? 0 : number(),
      };
    case "PutRequest":
      return {
        key: key(random),
        value: text(random),
        lease: random.chance(0.8) ? 0 : number(),
        prev_kv: true,
      };
    case "DeleteRangeRequest":
      return { ...keys, prev_kv: random.chance(0.5) };
    case "TxnRequest":
      return txnOf(random, 0);
    case "WatchRequest":
      return random.pick<Message>([
        { create_request: { ...keys, start_revision: number(), prev_kv: true, fragment: true } },
        { create_request: { ...keys, filters: Array.from({ length: random.below(100) }, number) } },
        { cancel_request: { watch_id: number() } },
        { progress_request: {} },
      ]);
    case "LeaseGrantRequest":
      return { TTL: number(), ID: random.chance(0.5) ? 0 : number() };
    case "LeaseTimeToLiveRequest":
      return { ID: number(), keys: true };
    case "LockRequest":
    case "CampaignRequest":
    case "LeaderRequest":
      return { name: random.chance(0.9) ? key(random) : "n".repeat(500_000) };
    case "CompactionRequest":
      return { revision: random.pick([0, -1, 1, 2 ** 53 - 1]) };
    default:
      return {};
  }
}

function txnOf(random: SeededRandom, levels: number): Message {
  const operation = (): Message =>
    random.pick<() => Message>([
      () => ({ request_put: fieldsOf("PutRequest", random) }),
      () => ({ request_range: fieldsOf("RangeRequest", random) }),
      () => ({ request_delete_range: fieldsOf("DeleteRangeRequest", random) }),
      () => levels > 4 ? {} : { request_txn: txnOf(random, levels + 1) },
    ])();
  const list = (make: () => Message): readonly Message[] =>
    Array.from({ length: random.chance(0.9) ? random.below(3) : random.below(140 >> 2 * levels) }, make);
  return {
    compare: list(() => ({
      target: random.below(6),
      result: random.below(5),
      key: key(random),
      range_end: "\0",
    })),
    success: list(operation),
    failure: list(operation),
  };
}

function key(random: SeededRandom): string {
  const key = `hostile/${random.below(20)}`;
  if (random.chance(0.85)) return key;
  return random.pick([
    "",
    "\0",
    "\xff".repeat(8),
    `${"\xff".repeat(8)}x`,
    `${"\xff".repeat(7)}`,
    text(random),
  ]);
}

function text(random: SeededRandom): string {
  return "x".repeat(random.pick(LENGTHS));
}
