/** All formats: every sample, arbitrary values, and damaged or arbitrary bytes. */
import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { decode, encode } from "@std/msgpack";
import fc from "fast-check";
import type { Command, PlainCommand } from "../../../lib/kv/command.ts";
import { decodeServerMessage, requestIdOf } from "../../../lib/protocol/client_frames.ts";
import {
  authorizedHead,
  decodeCommand,
  encodeCommand,
  isAuthorized,
  peekSessionStamp,
  wrapAuthorized,
} from "../../../lib/protocol/command.ts";
import { DecodeError, HandshakeError, UnknownKindError } from "../../../lib/protocol/errors.ts";
import { decodeHello, decodeHelloAnswer } from "../../../lib/protocol/hello.ts";
import { decodePeerFrame } from "../../../lib/protocol/peer_frames.ts";
import { forEachFormat, type Format, goldenBytes, goldenSamples, OtherVersionsError } from "./formats.ts";

const MAX_UINT32 = 2 ** 32 - 1;
const RUNS = 200;

forEachFormat((format) => {
  testValues(format);
  testDamage(format);
});

/** Adds the tests with values. */
function testValues<T>(format: Format<T>): void {
  Deno.test(`${format.name}: decoding what was encoded gives the same value`, () => {
    fc.assert(
      fc.property(format.arbitrary(Number.MAX_SAFE_INTEGER), (value) => {
        assertEquals(format.decode(format.encode(value)), value);
      }),
      { numRuns: RUNS },
    );
  });

  Deno.test(`${format.name}: the bytes are those that the MessagePack library makes of the same values`, () => {
    fc.assert(
      fc.property(format.arbitrary(Number.MAX_SAFE_INTEGER), (value) => {
        const bytes = format.encode(value);
        assertEquals(encode(decode(bytes)), bytes);
      }),
      { numRuns: RUNS },
    );
  });

  Deno.test(`${format.name}: an array with further elements at its end decodes to the same value`, () => {
    fc.assert(
      fc.property(format.arbitrary(MAX_UINT32), (value) => {
        fc.pre(format.isShort?.(value) !== true);
        const elements = decode(format.encode(value));
        const longer = encode([...arrayOf(elements), "new", [1, [null]], new Uint8Array(3), 1.5, -7]);
        assertEquals(format.decode(longer), value);
      }),
      { numRuns: RUNS },
    );
  });

  Deno.test(`${format.name}: a decoded frame does not change when its buffer is reused`, () => {
    if (format.name === "commands" || format.name === "results") return; // their values are views, by contract
    for (const [name, value] of goldenSamples(format)) {
      if (name === "write") continue; // its command is a view, by contract
      const buffer = format.encode(value);
      const decoded = format.decode(buffer);
      buffer.fill(0xdd);
      assertEquals(decoded, value);
    }
  });
}

/** Adds the tests with bytes that are no value. */
function testDamage<T>(format: Format<T>): void {
  Deno.test(`${format.name}: every truncation of a sample is a DecodeError that names the frame`, () => {
    for (const [name, value] of goldenSamples(format)) {
      const bytes = format.encode(value);
      for (let length = 0; length < bytes.length; length++) {
        const error = assertThrows(() => format.decode(bytes.slice(0, length)), DecodeError);
        assertEquals(/^Cannot decode [^:]+: .+\.$/.test(error.message), true, `${name}: ${error.message}`);
      }
    }
  });

  Deno.test(`${format.name}: every change of one byte of a sample gives a value or a named error`, () => {
    for (const value of goldenSamples(format).values()) {
      const bytes = format.encode(value);
      for (let position = 0; position < bytes.length; position++) {
        for (let byte = 0; byte < 256; byte++) {
          const changed = bytes.slice();
          changed[position] = byte;
          decodesOrNames(format, changed);
        }
      }
    }
  });

  Deno.test(`${format.name}: arbitrary bytes give a value or a named error`, () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => decodesOrNames(format, bytes)), {
      numRuns: RUNS,
    });
  });

  Deno.test(`${format.name}: bytes after the end are refused`, () => {
    for (const value of goldenSamples(format).values()) {
      const bytes = format.encode(value);
      assertThrows(() => format.decode(new Uint8Array([...bytes, 0])), DecodeError);
    }
  });
}

Deno.test("a hello and a welcome of version 0.1.0, which say nothing of a feature level, know the first one", () => {
  // The last bytes are the level and, in a hello, nil for the URL; the first byte is the number of elements.
  const shortened = (name: string, elements: number): Uint8Array => {
    const bytes = goldenBytes(name).slice(0, -elements);
    bytes[0] = (bytes[0] ?? 0) - elements;
    return bytes;
  };
  const hello = decodeHello(shortened("hello_provingPeer", 2));
  const answer = decodeHelloAnswer(shortened("welcome", 1));
  assert(hello.kind === "hello" && hello.caller.role === "peer" && answer.kind === "welcome");
  assertEquals([hello.caller.featureLevel, answer.featureLevel], [1, 1]);
});

Deno.test("all formats: an array that claims more elements than there are bytes is refused before allocation", () => {
  const bomb = new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff, 14]);
  forEachFormat((format) => {
    assertThrows(() => format.decode(bomb), DecodeError, "claims more elements than there are bytes");
  });
});

Deno.test("all formats: a million nested arrays are a DecodeError, not an overflow of the stack", () => {
  const nested = new Uint8Array(1_000_000).fill(0x91);
  forEachFormat((format) => void assertThrows(() => format.decode(nested), DecodeError));
  // The same in unknown elements at the end, which are skipped.
  const behind = new Uint8Array([0x93, 3, ...nested.subarray(0, 100_000), 0, 0]);
  assertEquals(decodePeerFrame(behind), { kind: "ping" });
});

Deno.test("decodePeerFrame: an unknown kind is named with its number; requestIdOf reads its request id", () => {
  const payload = encode([200, 77, "unknown"]);
  const error = assertThrows(() => decodePeerFrame(payload), UnknownKindError);
  assertEquals(error.message, "Cannot decode a peer's frame: kind 200 is not known to this version.");
  assertEquals(
    [error.kind, requestIdOf(payload), requestIdOf(encode([200])), requestIdOf(encode([200, -1]))],
    [
      200,
      77,
      0,
      0,
    ],
  );
});

Deno.test("decodeServerMessage: an unknown error code reads as internal, with its message", () => {
  assertEquals(decodeServerMessage(encode([76, 5, "tooColdOutside", "Wear a hat.", "not-applied", null])), {
    kind: "error",
    requestId: 5,
    code: "internal",
    message: "Wear a hat.",
    outcome: "not-applied",
    leader: null,
  });
});

Deno.test("decodeHello: a hello of other versions gives these, and its other fields are not read", () => {
  assertEquals(decodeHello(encode([0, "kvraft", 999, 1000, "unknown"])), {
    kind: "otherVersions",
    minVersion: 999,
    maxVersion: 1000,
  });
});

Deno.test("decodeHelloAnswer: a cluster id that is too long for the headers of files is refused", () => {
  const welcome = (clusterId: string): Uint8Array =>
    encode([1, 1, clusterId, 1, null, 1, 1, [], [1, 1, 1], 7]);
  assertEquals(decodeHelloAnswer(welcome("a".repeat(256))).kind, "welcome");
  assertThrows(
    () => decodeHelloAnswer(welcome("a".repeat(257))),
    DecodeError,
    "must not be longer than 256 characters",
  );
});

Deno.test("decodePeerFrame: a heartbeatResponse of a version without leases promises 0 ms", () => {
  const older = encode([17, 1, 2, 7, 41]);
  const response = {
    kind: "heartbeatResponse",
    from: 1,
    to: 2,
    term: 7,
    round: 41,
    promisedMs: 0,
    hasDiskSpace: true,
  } as const;
  assertEquals(decodePeerFrame(older), response);
});

Deno.test("decodePeerFrame: a frame that breaks a rule is refused with the field and the rule", () => {
  const noop = [4, 2, 1, new Uint8Array()];
  const append = (entries: (number | Uint8Array)[][], prevLogTerm = 2): Uint8Array =>
    encode([14, 1, 2, 3, 3, prevLogTerm, 0, entries]);
  const refusals: readonly [Uint8Array, string][] = [
    [encode([18, 1, 1, 3]), "timeoutNow: to must not be the sender"],
    [encode([18, 0, 1, 3]), "timeoutNow: from must be an integer from 1 to"],
    [encode([18, 1, 2, 0]), "timeoutNow: term must be an integer from 1 to"],
    [encode([18, 1, 2, 1.5]), "timeoutNow: term must be an integer from 1 to"],
    [encode([18, 1, 2, 2 ** 60]), "timeoutNow: term must be an integer from 1 to"],
    [encode([18, 1, 2]), "timeoutNow: term is missing"],
    [encode([10, 1, 2, 3, 5, 0]), "preVote: lastLogTerm must be 0 for index 0, and only then"],
    [encode([10, 1, 2, 3, 0, 1]), "preVote: lastLogTerm must be 0 for index 0, and only then"],
    [encode([10, 1, 2, 3, 5, 4]), "preVote: lastLogTerm must not be above the message's term"],
    [append([[5, 2, 1, new Uint8Array()]]), "entries must follow prevLogIndex one by one"],
    [append([noop, noop]), "entries must follow prevLogIndex one by one"],
    [append([[4, 1, 1, new Uint8Array()]]), "entries must have terms that do not fall"],
    [append([[4, 4, 1, new Uint8Array()]]), "entries must not have terms above the message's"],
    [
      append([[4, 2, 9, new Uint8Array()]]),
      "entry kind must be 1 for noop, 2 for command, or 3 for configuration, not 9",
    ],
    [append([[4, 2, 1, new Uint8Array(1)]]), "entry data must be empty for a no-op"],
    [append([[4, 2, 3, new Uint8Array([0x90])]]), "Cannot decode a configuration: voters is missing"],
    [append([noop], 4), "prevLogTerm must not be above the message's term"],
    [encode([15, 1, 2, 3, [2, 5, 6, 1]]), "conflictIndex must not be above prevLogIndex"],
    [encode([15, 1, 2, 3, [3]]), "result kind 3 is not known"],
    [encode([32, 0, 5, 1, 9, 0, new Uint8Array(1)]), "snapshotChunk: term must be an integer from 1 to"],
    [encode([32, 3, 0, 1, 9, 0, new Uint8Array(1)]), "snapshotChunk: index must be an integer from 1 to"],
    [encode([32, 3, 5, 4, 9, 0, new Uint8Array(1)]), "snapshotTerm must not be above the message's term"],
    [encode([32, 3, 5, 1, 9, 9, new Uint8Array(1)]), "data must end within totalBytes"],
    [encode([32, 3, 5, 1, 2 ** 30, 0, new Uint8Array(262_145)]), "data must not be longer than 262144 bytes"],
    [encode([33, 3, 5, 1, 9, 10]), "nextOffset must not be above totalBytes"],
  ];
  for (const [bytes, expected] of refusals) assertThrows(() => decodePeerFrame(bytes), DecodeError, expected);
});

Deno.test("peekSessionStamp: it reads the stamp of every command with a session, and of no other", () => {
  const session = { sessionId: 2 ** 52, sequence: 7, acknowledgedBelow: 3, openedAt: 9 };
  const key = new Uint8Array([1]);
  const withSession: readonly Extract<Command, { readonly session: unknown }>[] = [
    { kind: "transaction", session, checks: [], mutations: [{ kind: "delete", key }] },
    { kind: "branchingTransaction", session, conditions: [], then: [], else: [] },
    { kind: "grantLease", session, leaseId: 1, ttlMs: 1_000 },
    { kind: "revokeLease", session, leaseId: 1 },
    { kind: "changeAuth", session, change: { kind: "addRole", role: "a" } },
    {
      kind: "databaseWrite",
      session,
      databaseId: 1,
      credentialId: 2,
      checks: [],
      mutations: [{ kind: "delete", key }],
    },
    { kind: "changeDatabases", session, change: { kind: "remove", name: "a" } },
  ];
  for (const command of withSession) {
    assertEquals(peekSessionStamp(encodeCommand(command)), session, command.kind);
    const wrapped = wrapAuthorized(authorizedHead(IDENTITY), encodeCommand(command));
    assertEquals(peekSessionStamp(wrapped), { ...session, userId: IDENTITY.userId }, command.kind);
    assertEquals(peekSessionStamp(encodeCommand({ ...command, session: null })), null, command.kind);
  }
  const others: readonly Command[] = [
    { kind: "keepLeasesAlive", leaseIds: [1] },
    { kind: "deleteExpired", untilMs: 1 },
    { kind: "expireSessions", elapsedMs: 1 },
  ];
  for (const command of others) assertEquals(peekSessionStamp(encodeCommand(command)), null, command.kind);
  assertEquals(peekSessionStamp(key), null);
});

/** An identity whose numbers have different lengths. */
const IDENTITY = { userId: 2 ** 40, credential: 0, authRevision: 300 };

Deno.test("wrapAuthorized: the bytes are those of the command with its identity, at any length", () => {
  for (const length of [0, 100, 70_000]) {
    const command: PlainCommand = {
      kind: "transaction",
      session: null,
      checks: [],
      mutations: [{ kind: "put", key: new Uint8Array([1]), value: new Uint8Array(length) }],
    };
    const bytes = wrapAuthorized(authorizedHead(IDENTITY), encodeCommand(command));
    assertEquals(bytes, encodeCommand({ kind: "authorized", identity: IDENTITY, command }));
    assertEquals(isAuthorized(bytes), true);
    assertEquals(isAuthorized(encodeCommand(command)), false);
  }
});

/** One that is read by the reader of identities, and one that is left to the general reader. */
const IDENTITIES = [{ userId: 3, credential: 200, authRevision: 300 }, IDENTITY];

Deno.test("decodeCommand: an identity around a command that has one already is refused", () => {
  const command: PlainCommand = { kind: "keepLeasesAlive", leaseIds: [1, 2, 3, 4, 5, 6, 7, 8, 9] };
  for (const head of IDENTITIES.map(authorizedHead)) {
    const once = wrapAuthorized(head, encodeCommand(command));
    assertEquals(decodeCommand(once).kind, "authorized");
    assertThrows(() => decodeCommand(wrapAuthorized(head, once)), DecodeError, "12 is not known");
  }
});

Deno.test("decodeCommand: an identity in front of what is not exactly one command is refused", () => {
  const command = encodeCommand({ kind: "keepLeasesAlive", leaseIds: [1, 2, 3, 4, 5, 6, 7, 8, 9] });
  const longer = new Uint8Array([...command, 0xc0]);
  const nils = new Uint8Array(20).fill(0xc0);
  const wrong = [longer, command.subarray(0, command.length - 1), new Uint8Array(), nils, nils.subarray(19)];
  for (const head of IDENTITIES.map(authorizedHead)) {
    assertEquals(decodeCommand(wrapAuthorized(head, command)).kind, "authorized");
    for (const bytes of wrong) {
      assertThrows(() => decodeCommand(wrapAuthorized(head, bytes)), DecodeError, "Cannot decode a command");
    }
  }
});

Deno.test("decodeCommand: identities of integers of every length are read, also after each other", () => {
  const integers = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
  const commands: readonly PlainCommand[] = [
    { kind: "compact", revision: 1 },
    { kind: "keepLeasesAlive", leaseIds: [1, 2, 3, 4, 5, 6, 7, 8, 9] },
  ];
  const wanted = integers.flatMap((userId) =>
    integers.flatMap((credential) =>
      [0, 77, 300, 2 ** 40].flatMap((authRevision) =>
        commands.map((command): Command => (
          { kind: "authorized", identity: { userId, credential, authRevision }, command }
        ))
      )
    )
  );
  assertEquals(wanted.map((command) => decodeCommand(encodeCommand(command))), wanted);
  const command: PlainCommand = { kind: "keepLeasesAlive", leaseIds: [1, 2, 3, 4, 5, 6, 7, 8, 9] };
  for (const [userId, credential, authRevision] of [[1, 1, 1], [2, 1, 1], [2, 3, 1], [2, 3, 4]] as const) {
    const one: Command = { kind: "authorized", identity: { userId, credential, authRevision }, command };
    assertEquals(decodeCommand(encodeCommand(one)), one, "only one integer differs from the identity before");
  }
});

Deno.test("decodeCommand: an identity is read in every format that MessagePack has for its integers", () => {
  const identity = { userId: 5, credential: 6, authRevision: 7 };
  const command: PlainCommand = { kind: "keepLeasesAlive", leaseIds: [1, 2, 3, 4, 5, 6, 7, 8, 9] };
  const formats = (value: number): readonly number[][] => [
    [value],
    [0xcc, value],
    [0xcd, 0, value],
    [0xce, 0, 0, 0, value],
    [0xcf, 0, 0, 0, 0, 0, 0, 0, value],
    [0xd0, value],
  ];
  for (const [position, credential] of formats(6).entries()) {
    const head = [0x95, 12, ...formats(5)[5 - position] ?? [], ...credential, 7];
    const bytes = wrapAuthorized(new Uint8Array(head), encodeCommand(command));
    assertEquals(decodeCommand(bytes), { kind: "authorized", identity, command });
  }
  const negative = wrapAuthorized(new Uint8Array([0x95, 12, 5, 0xff, 7]), encodeCommand(command));
  assertThrows(() => decodeCommand(negative), DecodeError, "credential must be an integer");
});

Deno.test("decodeCommand: more operations than a transaction may have are refused", () => {
  const mutations = Array.from({ length: 129 }, () => [2, new Uint8Array(1)]);
  assertThrows(
    () => decodeCommand(encode([1, null, [], mutations])),
    DecodeError,
    "must not have more than 128",
  );
});

Deno.test("decodeCommand: transactions within each other are refused beyond 4 levels, however deep they are", () => {
  // 91 94 07 90: a list of one operation, a transaction without conditions.
  const nested = (levels: number): Uint8Array =>
    new Uint8Array([
      ...[0x95, 6, 0xc0, 0x90],
      ...Array.from({ length: levels - 1 }, () => [0x91, 0x94, 7, 0x90]).flat(),
      ...Array<number>(levels + 1).fill(0x90),
    ]);
  assertEquals(decodeCommand(nested(4)).kind, "branchingTransaction");
  for (const levels of [5, 6, 100_000]) {
    assertThrows(
      () => decodeCommand(nested(levels)),
      DecodeError,
      "must not be nested in more than 4 levels",
    );
  }
});

Deno.test("decodeCommand: conditions and operations of all nested transactions together are at most 512", () => {
  const condition = [2, [1, new Uint8Array(1)], 1, 0];
  const remove = [2, [1, new Uint8Array(1)], false];
  const command = (count: number): Uint8Array =>
    encode([6, null, [condition], [[7, Array(63).fill(condition), [], Array(count).fill(remove)]], [remove]]);
  assertEquals(decodeCommand(command(446)).kind, "branchingTransaction");
  assertThrows(
    () => decodeCommand(command(447)),
    DecodeError,
    "must not have more than 512 elements, nested ones included",
  );
});

/** Decodes bytes; an error must be one of the protocol's. */
function decodesOrNames<T>(format: Format<T>, bytes: Uint8Array): void {
  try {
    format.decode(bytes);
  } catch (error) {
    if (error instanceof HandshakeError || error instanceof OtherVersionsError) return;
    assertInstanceOf(error, DecodeError);
  }
}

function arrayOf(value: unknown): (number | string | Uint8Array)[] {
  if (!Array.isArray(value)) throw new TypeError("a frame is an array");
  return value;
}
