/** Bodies of KV Connect requests: valid ones, valid protobuf with hostile fields, and mutations of both. */
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { assertNever } from "../../../lib/platform/assert.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { LYING_LENGTHS, mutated } from "../mutator.ts";
import { texts } from "../target.ts";

/** The endpoints of the data path. */
export const ENDPOINTS = ["snapshot_read", "atomic_write", "watch"] as const;
/** One of {@link ENDPOINTS}. */
export type Endpoint = typeof ENDPOINTS[number];

type Bytes = Uint8Array<ArrayBuffer>;

/** Lengths of keys and values around the limits of Deno KV, mostly short. */
const LENGTHS = [0, 1, 2, 7, 8, 9, 30, 30, 30, 30, 2_048, 2_049, 2_050, 65_536, 65_537] as const;
/** Numbers of 32 and 64 bits that decoders treat differently. */
const NUMBERS = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 100, 1_000, 1_001, 2 ** 31 - 1, -1, -(2 ** 31)] as const;
const TIMES = [
  "0",
  "-1",
  "1",
  "1700000000000",
  "8640000000000001",
  "9223372036854775807",
  "-9223372036854775808",
];
const WIRE_TYPES = 6;
const MAX_FIELD = 20;
const RANDOM_BYTES = 100;
/** Bytes of a body, beyond which only small values follow: somewhat more than the server takes. */
const MAX_BODY_BYTES = 1_500_000;
/** Keys that the stock client uses, so that hostile writes are refused or harmless: they lie in another part of the tuple space. */
const TOKENS = texts("\x02hostile\0", "\xff\x0f", "\xff\x10", "\x0a", "\x12", "\x22\x0a", "\0\0\0\0");

/** Returns the body of a request to an endpoint: in a third of the cases one that the server should serve. */
export function hostileBody(endpoint: Endpoint, random: SeededRandom): Bytes {
  const valid = validBody(endpoint, random);
  if (random.chance(0.35)) return valid;
  if (random.chance(0.5)) {
    const corpus = [valid, ...ENDPOINTS.map((other) => validBody(other, random))];
    return mutated({ corpus, tokens: TOKENS }, random);
  }
  return random.chance(0.7) ? strangeMessage(random, 0) : randomBytes(random, random.below(600));
}

function validBody(endpoint: Endpoint, random: SeededRandom): Bytes {
  switch (endpoint) {
    case "snapshot_read":
      return snapshotRead(random);
    case "atomic_write":
      return atomicWrite(random);
    case "watch":
      return watch(random);
    default:
      return assertNever(endpoint);
  }
}

function snapshotRead(random: SeededRandom): Bytes {
  const writer = new BinaryWriter();
  const ranges = count(random, 100);
  for (let range = 0; range < ranges; range++) {
    writer.tag(1, 2).fork();
    writer.tag(1, 2).bytes(key(random)).tag(2, 2).bytes(
      random.chance(0.3) ? randomBytes(random, 3) : key(random),
    );
    writer.tag(3, 0).int32(random.chance(0.5) ? 1 + random.below(10) : random.pick(NUMBERS));
    writer.tag(4, 0).bool(random.chance(0.5)).join();
  }
  return owned(writer.finish());
}

function atomicWrite(random: SeededRandom): Bytes {
  const writer = new BinaryWriter();
  const checks = count(random, 100);
  for (let check = 0; check < checks; check++) {
    const length = random.chance(0.8) ? random.pick([0, 10]) : random.below(20);
    writer.tag(1, 2).fork().tag(1, 2).bytes(key(random)).tag(2, 2).bytes(randomBytes(random, length)).join();
  }
  const mutations = count(random, 1_000);
  let bytes = 0;
  for (let mutation = 0; mutation < mutations; mutation++) {
    writer.tag(2, 2).fork().tag(1, 2).bytes(key(random));
    const data = bytes > MAX_BODY_BYTES || random.chance(0.6) ? randomBytes(random, 8) : value(random);
    bytes += data.length;
    writer.tag(2, 2).fork().tag(1, 2).bytes(data).tag(2, 0).int32(
      random.chance(0.8) ? 1 + random.below(3) : random.pick(NUMBERS),
    )
      .join();
    writer.tag(3, 0).int32(random.chance(0.8) ? random.pick([1, 2, 3, 4, 5, 9]) : random.pick(NUMBERS));
    if (random.chance(0.3)) writer.tag(4, 0).int64(random.pick(TIMES));
    if (random.chance(0.2)) {
      writer.tag(5, 2).bytes(value(random)).tag(6, 2).bytes(value(random)).tag(7, 0).bool(true);
    }
    writer.join();
  }
  if (random.chance(0.05)) writer.tag(3, 2).bytes(randomBytes(random, 20));
  return owned(writer.finish());
}

function watch(random: SeededRandom): Bytes {
  const writer = new BinaryWriter();
  const keys = count(random, 100);
  for (let number = 0; number < keys; number++) writer.tag(1, 2).fork().tag(1, 2).bytes(key(random)).join();
  return owned(writer.finish());
}

/** Fields of arbitrary numbers and wire types, some with lengths beyond the end. */
function strangeMessage(random: SeededRandom, depth: number): Bytes {
  const writer = new BinaryWriter();
  for (let fields = random.below(10); fields >= 0; fields--) {
    const wireType = random.below(WIRE_TYPES);
    writer.tag(1 + random.below(random.chance(0.8) ? 9 : MAX_FIELD), wireType);
    if (wireType === 0) writer.uint64(`${Math.floor(random.next() * 2 ** 53)}`);
    else if (wireType === 1) writer.raw(randomBytes(random, 8));
    else if (wireType === 5) writer.raw(randomBytes(random, 4));
    else if (wireType === 2 && random.chance(0.1)) writer.uint32(random.pick(LYING_LENGTHS));
    else if (wireType === 2 && depth < 20) writer.bytes(strangeMessage(random, depth + 1));
  }
  return owned(writer.finish());
}

/** Most messages have a few parts; some have as many as are allowed, or one more. */
function count(random: SeededRandom, limit: number): number {
  return random.chance(0.9) ? random.below(4) : random.pick([0, limit, limit + 1, 2 * limit]);
}

/** A Deno key whose first element is the text "hostile", or bytes that are no key. */
function key(random: SeededRandom): Bytes {
  if (random.chance(0.1)) return randomBytes(random, random.pick(LENGTHS));
  return owned(new TextEncoder().encode(`\x02hostile\0\x02${random.below(20)}\0`));
}

function value(random: SeededRandom): Bytes {
  const bytes = randomBytes(random, random.pick(LENGTHS));
  if (random.chance(0.5)) bytes.set([0xff, random.pick([0x0d, 0x0f, 0x10])].slice(0, bytes.length));
  return bytes;
}

/** Returns random bytes; many are a repetition of some. */
export function randomBytes(random: SeededRandom, length: number): Bytes {
  const some = Uint8Array.from({ length: Math.min(length, RANDOM_BYTES) }, () => random.below(256));
  if (length === some.length) return some;
  const bytes = new Uint8Array(length);
  for (let offset = 0; offset < length; offset += some.length) {
    bytes.set(some.subarray(0, length - offset), offset);
  }
  return bytes;
}

function owned(bytes: Uint8Array): Bytes {
  return Uint8Array.from(bytes);
}
