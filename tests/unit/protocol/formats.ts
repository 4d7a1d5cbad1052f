/**
 * The formats of the wire for the tests: encoder, decoder, the samples in the golden files, and arbitrary values for the
 * property tests. Samples and arbitrary values are made from the tables; values that a table cannot express are here.
 */
import { fromFileUrl, join } from "@std/path";
import fc from "fast-check";
import {
  CLIENT_REQUESTS,
  decodeClientRequest,
  decodeServerMessage,
  encodeClientRequest,
  encodeServerMessage,
  SERVER_MESSAGES,
} from "../../../lib/protocol/client_frames.ts";
import {
  COMMAND,
  decodeCommand,
  decodeResult,
  encodeCommand,
  encodeResult,
  PLAIN_COMMAND,
  RESULT,
} from "../../../lib/protocol/command.ts";
import { decodeConfiguration, encodeConfiguration } from "../../../lib/protocol/configuration.ts";
import { REFUSAL_CODES } from "../../../lib/protocol/errors.ts";
import type { Shape } from "../../../lib/protocol/field.ts";
import {
  type Caller,
  decodeHello,
  decodeHelloAnswer,
  decodePeerProof,
  encodeChallenge,
  encodeHello,
  encodePeerProof,
  encodeRefusal,
  encodeWelcome,
  type Hello,
  HELLO_ANSWERS,
  MAX_PEER_SECRETS,
  PEER_KEY_ID_BYTES,
  PEER_NONCE_BYTES,
  PEER_PROOF_BYTES,
  PEER_PROOFS,
} from "../../../lib/protocol/hello.ts";
import { MAX_MEMBERS, MAX_TERM, MAX_VOTERS } from "../../../lib/protocol/limits.ts";
import { MessagePackWriter } from "../../../lib/protocol/msgpack_writer.ts";
import { decodePeerFrame, encodePeerFrame, PEER_FRAMES } from "../../../lib/protocol/peer_frames.ts";
import type { Configuration, Entry, MemberRecord } from "../../../lib/raft/types.ts";
import {
  address,
  arbitraryOf,
  binary,
  integer,
  type Makers,
  nullable,
  record,
} from "../../support/frames/arbitraries.ts";

/** Where the golden files are. */
export const GOLDEN_FOLDER = fromFileUrl(new URL("../../golden/wire", import.meta.url));

/** One family of messages. */
export interface Format<T> {
  readonly name: string;
  readonly encode: (value: T) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => T;
  /** The union in the table; null if it is none. */
  readonly shape: Shape | null;
  /** Beginning of the names of its golden files, before the kind. */
  readonly prefix: string;
  /** Any value; its integers go up to `maxInteger`. */
  readonly arbitrary: (maxInteger: number) => fc.Arbitrary<T>;
  /** Whether a value is encoded without an optional last element, whose place others can't take. Missing: none is. */
  readonly isShort?: (value: T) => boolean;
}

/** Calls a generic function with each format: a list of formats of different types has no type of its own. */
export type FormatVisitor = <T>(format: Format<T>) => void;

/** A hello that a test has changed into one of other versions. */
export class OtherVersionsError extends Error {}

/** Shows every format to `visit`. */
export function forEachFormat(visit: FormatVisitor): void {
  visit(ofTable("peer frames", PEER_FRAMES, { encode: encodePeerFrame, decode: decodePeerFrame }));
  visit({
    ...ofTable("client requests", CLIENT_REQUESTS, {
      encode: encodeClientRequest,
      decode: decodeClientRequest,
    }),
    isShort: (request) => "visibleOnly" in request && !request.visibleOnly,
  });
  visit({
    ...ofTable("server messages", SERVER_MESSAGES, {
      encode: encodeServerMessage,
      decode: decodeServerMessage,
    }),
    isShort: (message) =>
      (message.kind === "error" || message.kind === "watchEnded") &&
        message.compactedRevision === undefined ||
      message.kind === "watchEvents" && message.events.some(({ previous }) => previous === undefined),
  });
  visit({
    ...ofTable("answers to hellos", HELLO_ANSWERS, { encode: encodeHelloAnswer, decode: decodeHelloAnswer }),
    isShort: (answer) => answer.kind !== "challenge" && answer.proof === null,
  });
  visit(ofTable("peers' proofs", PEER_PROOFS, { encode: encodePeerProof, decode: decodePeerProof }));
  visit({
    ...ofShape("commands", COMMAND.shape, { encode: encodeCommand, decode: decodeCommand }),
    prefix: "command_",
    isShort: (command) => command.kind === "transaction" && command.returnCurrent === undefined,
  });
  visit({
    ...ofShape("results", RESULT.shape, { encode: encodeResult, decode: decodeResult }),
    prefix: "result_",
    isShort: (result) => result.kind === "checksFailed" && result.current === "omitted",
  });
  visit({
    name: "configurations",
    encode: encodeConfiguration,
    decode: decodeConfiguration,
    shape: null,
    prefix: "configuration",
    arbitrary: configuration,
  });
  visit({
    name: "hellos",
    encode: (caller) => written((out) => encodeHello(out, caller)),
    decode: (bytes) => callerOf(decodeHello(bytes)),
    shape: null,
    prefix: "hello_",
    arbitrary: caller,
  });
}

/** Returns the samples of a format: the values in its golden files, by the names of these. */
export function goldenSamples<T>(format: Format<T>): ReadonlyMap<string, T> {
  const samples = new Map<string, T>();
  for (const file of [...Deno.readDirSync(GOLDEN_FOLDER)].map(({ name }) => name).sort()) {
    const name = file.replace(/\.hex$/, "");
    if (isOf(format, name)) samples.set(name, format.decode(goldenBytes(name)));
  }
  return samples;
}

/** Returns the bytes in a golden file. */
export function goldenBytes(name: string): Uint8Array {
  const text = Deno.readTextFileSync(join(GOLDEN_FOLDER, `${name}.hex`));
  return Uint8Array.from(text.trim().split(/\s+/), (byte) => Number.parseInt(byte, 16));
}

function isOf<T>({ shape, prefix }: Format<T>, name: string): boolean {
  if (prefix !== "" || shape?.kind !== "variants") return name.startsWith(prefix);
  return shape.variants.has(name.replace(/_.*/, ""));
}

interface Table<T> {
  readonly frames: Extract<Shape, { readonly kind: "variants" }>["variants"];
  readonly encode: (out: MessagePackWriter, message: T) => void;
}

function ofTable<T>(
  name: string,
  { frames }: Table<never>,
  { encode, decode }: {
    readonly encode: (out: MessagePackWriter, message: T) => void;
    readonly decode: (payload: Uint8Array) => T;
  },
): Format<T> {
  return ofShape(name, { kind: "variants", variants: frames }, {
    encode: (message) => written((out) => encode(out, message)),
    decode,
  });
}

function ofShape<T>(
  name: string,
  shape: Shape,
  codec: Pick<Format<T>, "encode" | "decode">,
): Format<T> {
  return {
    name,
    ...codec,
    shape,
    prefix: "",
    // The shape is that of the table that gives the type.
    arbitrary: (maxInteger) => arbitraryOf(shape, maxInteger, MAKERS) as fc.Arbitrary<T>,
  };
}

/** Values that a shape does not give: entries that follow the log of their frame, and codes that are read as text. */
const MAKERS: Makers = {
  appendEntries: (maxInteger) =>
    fc.tuple(envelope(maxInteger), integer({ max: maxInteger }), integer({ max: maxInteger }), entrySeeds())
      .map(([head, index, leaderCommit, seeds]) => {
        const prevLogIndex = Math.min(index, maxInteger - seeds.length);
        const prevLogTerm = prevLogIndex === 0 ? 0 : 1 + prevLogIndex % head.term;
        const entries = entriesBehind({ prevLogIndex, prevLogTerm, term: head.term }, seeds);
        return { kind: "appendEntries", ...head, prevLogIndex, prevLogTerm, leaderCommit, entries };
      }),
  embeddedCommand: (maxInteger) => arbitraryOf(PLAIN_COMMAND.shape, maxInteger),
  refusal: () =>
    record({
      kind: fc.constant("refusal"),
      code: fc.constantFrom(...REFUSAL_CODES),
      message: fc.string(),
      proof: nullable(fixed(PEER_PROOF_BYTES)),
    }),
};

/** Any bytes, so many of them. */
function fixed(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length });
}

function encodeHelloAnswer(out: MessagePackWriter, answer: ReturnType<typeof decodeHelloAnswer>): void {
  switch (answer.kind) {
    case "welcome":
      return encodeWelcome(out, answer);
    case "refusal":
      return encodeRefusal(out, answer);
    case "challenge":
      return encodeChallenge(out, answer);
  }
}

const MAX_NODE_ID = 9;

/** Two different nodes and a term. */
function envelope(maxInteger: number): fc.Arbitrary<{ from: number; to: number; term: number }> {
  return fc.tuple(
    fc.integer({ min: 1, max: MAX_NODE_ID }),
    fc.integer({ min: 1, max: MAX_NODE_ID - 1 }),
    integer({ min: 1, max: Math.min(maxInteger, MAX_TERM) }),
  ).map(([from, distance, term]) => ({ from, to: (from + distance - 1) % MAX_NODE_ID + 1, term }));
}

/** An entry before its index and its term are known. */
interface EntrySeed {
  readonly termStep: number;
  readonly kind: Entry["kind"];
  readonly data: Uint8Array;
}

function entrySeeds(): fc.Arbitrary<EntrySeed[]> {
  const termStep = fc.integer({ min: 0, max: 2 });
  const seed: fc.Arbitrary<EntrySeed> = fc.oneof(
    record({ termStep, kind: fc.constantFrom("noop", "command"), data: binary() }),
    record({
      termStep,
      kind: fc.constant("configuration"),
      data: configuration(Number.MAX_SAFE_INTEGER).map(encodeConfiguration),
    }),
  );
  return fc.array(seed, { maxLength: 20 });
}

function entriesBehind(
  log: { readonly prevLogIndex: number; readonly prevLogTerm: number; readonly term: number },
  seeds: readonly EntrySeed[],
): readonly Entry[] {
  let term = Math.max(1, log.prevLogTerm);
  return seeds.map(({ termStep, kind, data }, position) => {
    term = Math.min(log.term, term + termStep);
    return {
      index: log.prevLogIndex + 1 + position,
      term,
      kind,
      data: kind === "noop" ? new Uint8Array() : data,
    };
  });
}

function caller(maxInteger: number): fc.Arbitrary<Caller> {
  return fc.oneof(
    record({ role: fc.constant("client"), clusterId: nullable(fc.string()) }),
    record({
      role: fc.constant("peer"),
      clusterId: fc.string(),
      nodeId: integer({ min: 1, max: maxInteger }),
      lane: fc.constantFrom("control", "bulk", "probe"),
      dataId: integer({ max: maxInteger }),
      address: address(),
      featureLevel: integer({ min: 1, max: maxInteger }),
      etcdUrl: nullable(address().map((text) => `http://${text}`)),
      credentials: nullable(record({
        keyIds: fc.array(fixed(PEER_KEY_ID_BYTES), { minLength: 1, maxLength: MAX_PEER_SECRETS }),
        nonce: fixed(PEER_NONCE_BYTES),
        expectedNodeId: integer({ min: 1, max: maxInteger }),
      })),
    }),
  );
}

/** The parts that a member may have in a joint change. */
const PARTS = ["voter", "learner", "leaving", "staying", "demoted"] as const;
type Part = typeof PARTS[number];

/** Any valid configuration. */
function configuration(maxInteger: number): fc.Arbitrary<Configuration> {
  const ids = fc.uniqueArray(integer({ min: 1, max: maxInteger }), { maxLength: 2 * MAX_MEMBERS });
  const details = record<Omit<MemberRecord, "id">>({
    address: address(),
    dataId: nullable(integer({ max: maxInteger })),
    autoPromote: fc.boolean(),
    replaces: nullable(integer({ min: 1, max: maxInteger })),
  });
  const parts = fc.array(record({ part: fc.constantFrom(...PARTS), details }), {
    maxLength: 2 * MAX_VOTERS - 1,
  });
  return fc.tuple(ids, parts).map(([some, seeds]) => assemble(some, seeds));
}

/** As many members as there are seeds, the first a voter; the remaining ids are those of removed nodes. */
function assemble(
  ids: readonly number[],
  seeds: readonly { readonly part: Part; readonly details: Omit<MemberRecord, "id"> }[],
): Configuration {
  const voters: number[] = [];
  const learners: number[] = [];
  const votersOutgoing: number[] = [];
  const members: MemberRecord[] = [];
  for (const [position, { part, details }] of seeds.entries()) {
    const id = ids[position];
    if (id === undefined) break;
    const mayVote = voters.length < MAX_VOTERS && votersOutgoing.length < MAX_VOTERS;
    const role = position === 0 ? "voter" : mayVote ? part : "learner";
    if (role === "voter" || role === "staying") voters.push(id);
    if (role === "learner" || role === "demoted") learners.push(id);
    if (role === "leaving" || role === "staying" || role === "demoted") votersOutgoing.push(id);
    members.push({ id, ...details, replaces: details.replaces === id ? null : details.replaces });
  }
  const ascending = (some: readonly number[]): number[] => some.toSorted((a, b) => a - b);
  return {
    confState: {
      voters: ascending(voters),
      learners: ascending(learners),
      votersOutgoing: ascending(votersOutgoing),
    },
    members: members.toSorted((a, b) => a.id - b.id),
    removedIds: ascending(ids.slice(members.length)),
  };
}

/** Returns what `write` writes. */
export function written(write: (out: MessagePackWriter) => void): Uint8Array {
  const out = new MessagePackWriter();
  write(out);
  return out.copy();
}

function callerOf(hello: Hello): Caller {
  if (hello.kind === "otherVersions") throw new OtherVersionsError();
  return hello.caller;
}
