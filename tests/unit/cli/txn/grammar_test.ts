/** The grammar of `client txn`: what is printed is read back, and what is wrong is named with its place. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { UsageError } from "../../../../lib/cli/errors.ts";
import { escapeBytes, isArgument, textOfBytes } from "../../../../lib/cli/text.ts";
import { expectedAfter, parseTransaction } from "../../../../lib/cli/txn/grammar.ts";
import { transactionOfJson } from "../../../../lib/cli/txn/json.ts";
import type {
  Branches,
  KeySelection,
  TransactionCondition,
  TransactionOperation,
} from "../../../../lib/client/transaction/types.ts";

const utf8 = new TextEncoder();

/** Bytes that mean something in the grammar or in a shell, and any others. */
const BYTES = fc.oneof(
  fc.constantFrom(
    "if",
    "then",
    "else",
    "and",
    ";",
    "--",
    "--prefix",
    "=",
    "-",
    "",
    "#a",
    "{",
    "a b",
    "a;b",
    "'",
    '"',
    "\n",
  )
    .map((text) => utf8.encode(text)),
  fc.uint8Array({ maxLength: 6 }),
);
const NUMBER = fc.nat({ max: 1_000_000 });

const KEYS: fc.Arbitrary<KeySelection> = fc.oneof(
  fc.record({ key: BYTES }),
  fc.record({ prefix: BYTES }),
  fc.record({ start: BYTES, end: BYTES }),
  fc.record({ start: BYTES }),
);
const SIGN = fc.constantFrom("=", "!=", "<", ">" as const);

const CONDITION: fc.Arbitrary<TransactionCondition> = fc.tuple(
  KEYS,
  fc.oneof(
    fc.record({ value: BYTES, comparison: SIGN }),
    fc.record({ version: NUMBER, comparison: SIGN }),
    fc.record({ createRevision: NUMBER, comparison: SIGN }),
    fc.record({ modRevision: NUMBER, comparison: SIGN }),
    fc.record({ leaseId: NUMBER, comparison: SIGN }),
    fc.record({ exists: fc.boolean() }),
  ),
).map(([keys, target]) => ({ ...keys, ...target }));

const PREVIOUS = fc.constantFrom({}, { returnPrevious: true } as const);
const POSITIVE = fc.oneof(fc.constant("keep" as const), fc.integer({ min: 1, max: 1_000_000 }));
const LIFETIME = fc.record({ leaseId: POSITIVE, expiresAtMs: POSITIVE }, { requiredKeys: [] });
const OPERATION: fc.Arbitrary<TransactionOperation> = fc.oneof(
  fc.tuple(BYTES, BYTES, LIFETIME, PREVIOUS).map(([key, value, lifetime, previous]) => ({
    kind: "put" as const,
    key,
    value,
    ...lifetime,
    ...previous,
  })),
  fc.tuple(BYTES, LIFETIME, PREVIOUS).map(([key, lifetime, previous]) => ({
    kind: "put" as const,
    key,
    keepValue: true,
    ...lifetime,
    ...previous,
  })),
  fc.tuple(KEYS, PREVIOUS).map(([keys, previous]) => ({ kind: "delete" as const, ...keys, ...previous })),
  fc.tuple(
    KEYS,
    fc.record({ limit: fc.integer({ min: 1, max: 999 }), reverse: fc.constant(true), revision: NUMBER }, {
      requiredKeys: [],
    }),
  ).map(([keys, options]) => ({ kind: "get" as const, ...keys, ...options })),
  fc.tuple(BYTES, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }))
    .map(([key, operand]) => ({ kind: "sum" as const, key, operand })),
  fc.tuple(fc.constantFrom("min", "max" as const), BYTES, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
    .map(([kind, key, operand]) => ({ kind, key, operand })),
);

const TRANSACTION: fc.Arbitrary<Required<Branches>> = fc.record({
  checks: fc.array(CONDITION, { maxLength: 3 }),
  then: fc.array(OPERATION, { maxLength: 4 }),
  else: fc.array(OPERATION, { maxLength: 3 }),
}).map((branches) => branches.checks.length > 0 ? branches : { ...branches, else: [] })
  .filter(({ checks, then }) => checks.length > 0 || then.length > 0);

/** Returns how an operand is written: in quotes in a text, unchanged as an argument of a process. */
type Write = (word: string | Uint8Array) => string;

function operand(bytes: string | Uint8Array, write: Write): string[] {
  const text = typeof bytes === "string" ? bytes : textOfBytes(bytes) ?? "";
  return text.startsWith("--") || text === ";" ? ["--", write(bytes)] : [write(bytes)];
}

function printKeys(keys: KeySelection, write: Write): string[] {
  if ("key" in keys) return operand(keys.key, write);
  if ("prefix" in keys) return [...operand(keys.prefix, write), "--prefix"];
  const start = operand(keys.start, write);
  return keys.end === undefined ? [...start, "--from-key"] : [...start, "--end", ...operand(keys.end, write)];
}

function printCondition(check: TransactionCondition, write: Write): string[] {
  const keys = printKeys(check, write);
  if ("exists" in check) return [check.exists ? "exists" : "absent", ...keys];
  const sign = check.comparison ?? "=";
  if ("value" in check) return ["value", ...keys, sign, ...operand(check.value, write)];
  if ("version" in check) return ["version", ...keys, sign, `${check.version}`];
  if ("createRevision" in check) return ["create-revision", ...keys, sign, `${check.createRevision}`];
  if ("leaseId" in check) return ["lease", ...keys, sign, `${check.leaseId}`];
  return ["mod-revision", ...keys, sign, `${check.modRevision}`];
}

function printOperation(operation: TransactionOperation, write: Write): string[] {
  switch (operation.kind) {
    case "put": {
      const { leaseId, expiresAtMs } = operation;
      const options = [
        ...(expiresAtMs === undefined ? [] : ["--expires-at", `${expiresAtMs}`]),
        ...(operation.returnPrevious === true ? ["--previous"] : []),
        ...(leaseId === undefined ? [] : [`--lease=${leaseId}`]),
      ];
      const key = operand(operation.key, write);
      if (operation.value === undefined) return ["touch", ...key, ...options];
      return ["put", ...key, ...operand(operation.value, write), ...options];
    }
    case "delete":
      return [
        "delete",
        ...printKeys(operation, write),
        ...(operation.returnPrevious === true ? ["--previous"] : []),
      ];
    case "get":
      return [
        "get",
        ...printKeys(operation, write),
        ...(operation.revision === undefined ? [] : [`--revision=${operation.revision}`]),
        ...(operation.reverse === true ? ["--reverse"] : []),
        ...(operation.limit === undefined ? [] : ["--limit", `${operation.limit}`]),
      ];
    case "sum":
    case "min":
    case "max":
      return [operation.kind, ...operand(operation.key, write), `${operation.operand}`];
    case "transaction":
      throw new Error("the grammar has no nested transactions");
  }
}

/** Returns the words of a transaction. */
function print(branches: Required<Branches>, write: Write): string[] {
  const operations = (list: readonly TransactionOperation[]): string[] =>
    list.flatMap((one, position) => [...(position === 0 ? [] : [";"]), ...printOperation(one, write)]);
  const { checks, then, else: otherwise } = branches;
  if (checks.length === 0) return operations(then);
  const conditions = checks.flatMap((
    one,
    position,
  ) => [position === 0 ? "if" : "and", ...printCondition(one, write)]);
  return [
    ...conditions,
    "then",
    ...operations(then),
    ...(otherwise.length === 0 ? [] : ["else", ...operations(otherwise)]),
  ];
}

/** Returns every key and value as text that is equal for equal bytes. */
function comparable(document: unknown): unknown {
  return JSON.parse(JSON.stringify(document, (_, value) => {
    if (value instanceof Uint8Array) return `bytes ${value.toHex()}`;
    return typeof value === "bigint" ? `${value}` : value;
  }));
}

const quoted: Write = (bytes) =>
  `"${escapeBytes(typeof bytes === "string" ? utf8.encode(bytes) : bytes).replaceAll(`"`, `\\"`)}"`;

Deno.test("parseTransaction: a printed text gives the same transaction, on one line and with a newline for every ;", () => {
  fc.assert(fc.property(TRANSACTION, fc.boolean(), (branches, hasLines) => {
    const words = print(branches, quoted).map((word) => word === ";" && hasLines ? "\n" : word);
    const text = words.join(" ");
    const parsed = parseTransaction({ kind: "text", text: `txn ${text}`, start: 4 });
    assertEquals(comparable(parsed), comparable(branches), text);
  }));
});

Deno.test("parseTransaction: printed arguments of a process give the same transaction", () => {
  const plain: Write = (bytes) => typeof bytes === "string" ? bytes : textOfBytes(bytes) ?? "";
  fc.assert(fc.property(TRANSACTION, (branches) => {
    const isPlain = !JSON.stringify(comparable(branches)).match(/bytes [0-9a-f]*/g)
      ?.some((match) => !isArgument(Uint8Array.fromHex(match.slice(6))));
    fc.pre(isPlain);
    const words = print(branches, plain);
    assertEquals(
      comparable(parseTransaction({ kind: "words", words })),
      comparable(branches),
      words.join(" "),
    );
  }));
});

Deno.test("parseTransaction: any text is parsed or refused by a UsageError, and so are its beginnings", () => {
  const word = fc.constantFrom(
    "if",
    "value",
    "k",
    "=",
    "v",
    "then",
    "put",
    "get",
    "--prefix",
    ";",
    "\n",
    "else",
    "sum",
    "'",
    "9",
    "--",
  );
  fc.assert(fc.property(fc.array(word, { maxLength: 14 }), (words) => {
    const source = { kind: "text", text: words.join(" "), start: 0 } as const;
    assert(expectedAfter(source).every((one) => one !== ""));
    try {
      parseTransaction(source);
    } catch (error) {
      assert(error instanceof UsageError, String(error));
    }
  }));
});

Deno.test("expectedAfter: a text that ends in front of an expected word goes on with it", () => {
  fc.assert(fc.property(TRANSACTION, fc.nat(), (branches, cut) => {
    const words = print(branches, quoted);
    const at = cut % words.length;
    const expected = expectedAfter({ kind: "text", text: words.slice(0, at).join(" "), start: 0 });
    const next = words[at] ?? "";
    const isKnown = expected.includes(next) || expected.some((one) =>
      one.startsWith("<") && one.length > 1
    ) ||
      expected.some((one) => next.startsWith(`${one}=`));
    assert(isKnown || next === "--", `${words.join(" ")} at ${at}: ${expected.join(" ")}`);
  }));
});

/** Returns the message of a refused text, without its beginning. */
function refusal(text: string): string {
  const { message } = assertThrows(() => parseTransaction({ kind: "text", text, start: 0 }), UsageError);
  return message.replace("Cannot read the transaction: ", "").replace(" See help txn.", "");
}

Deno.test("parseTransaction: a message names the word, its place and what is expected", () => {
  const table: readonly (readonly [string, string])[] = [
    ["", "it ends where if, put, touch, delete, get, sum, min or max is expected."],
    [
      "gett a",
      'at column 1 is "gett", where if, put, touch, delete, get, sum, min or max is expected. Did you mean get?',
    ],
    ["put a", "it ends where <value> is expected."],
    ["put a ; put b c", 'at column 7 is ";", where <value> is expected.'],
    ["put a 1 put b 2", 'at column 9 is "put", where --lease, --expires-at, --previous or ; is expected.'],
    ["put a 1\n\nget", "it ends where <key> is expected."],
    [
      "put a 1\n  gte b",
      'at line 2, column 3 is "gte", where put, touch, delete, get, sum, min or max is expected. Did you mean get?',
    ],
    ["put a\n1", "at line 1, column 6 is the end of the line, where <value> is expected."],
    ["if exists a", "it ends where --prefix, --end, --from-key, and or then is expected."],
    [
      "if version a=3 then",
      'at column 16 is "then", where --prefix, --end, --from-key, =, !=, < or > is expected. Put blanks around the sign.',
    ],
    [
      "if version a == 3 then",
      'at column 14 is "==", where --prefix, --end, --from-key, =, !=, < or > is expected. Did you mean =?',
    ],
    ["if version a = x then", 'at column 16 is "x", where an integer from 0 up is expected.'],
    [
      "if version a = 9007199254740992 then",
      'at column 16 is "9007199254740992", where an integer from 0 up is expected.',
    ],
    [
      "get a else get b",
      'at column 7 is "else", where --prefix, --end, --from-key, --limit, --reverse, --revision or ; is expected. else needs if … then before it.',
    ],
    [
      "get a --limt 5",
      'at column 7 is "--limt", where --prefix, --end, --from-key, --limit, --reverse, --revision or ; is expected. Did you mean --limit?',
    ],
    ["get a --limit 0", 'at column 15 is "0", where an integer from 1 up is expected.'],
    [
      "get a --prefix --end b",
      'at column 16 is "--end", where --limit, --reverse, --revision or ; is expected.',
    ],
    [
      "put --previous a b",
      'at column 5 is "--previous", where <key> is expected. Options come behind the key; before a key or value that begins with --, write --.',
    ],
    ["min a -1", 'at column 7 is "-1", where an integer from 0 to 18446744073709551615 is expected.'],
    [
      "sum a 18446744073709551616",
      'at column 7 is "18446744073709551616", where an integer from -9223372036854775808 to 18446744073709551615 is expected.',
    ],
  ];
  for (const [text, message] of table) assertEquals(refusal(text), message, text);
  const { message } = assertThrows(
    () => parseTransaction({ kind: "words", words: ["put", "a", "1;", "get", "b"] }),
    UsageError,
  );
  assertEquals(
    message,
    'Cannot read the transaction: at word 4 is "get", where --lease, --expires-at, --previous or ; is expected. See help txn.',
  );
});

Deno.test("parseTransaction: comments, blank lines and quotes over lines", () => {
  const text =
    "# sells one piece\nif exists a\n\n  and absent b --prefix\nthen\n  # counted\n  sum sold -1;;\n  put 'a\nb' \"\\n;\"\nelse\n";
  assertEquals(
    comparable(parseTransaction({ kind: "text", text, start: 0 })),
    comparable({
      checks: [{ key: utf8.encode("a"), exists: true }, { prefix: utf8.encode("b"), exists: false }],
      then: [
        { kind: "sum", key: utf8.encode("sold"), operand: -1n },
        { kind: "put", key: utf8.encode("a\nb"), value: utf8.encode("\n;") },
      ],
      else: [],
    }),
  );
});

/** Returns a transaction as JSON. */
function json(document: unknown): string {
  return JSON.stringify(document, (_, value) => {
    if (typeof value === "bigint") return `${value}`;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, field]) =>
        field instanceof Uint8Array ? [`${name}Base64`, field.toBase64()] : [name, field]
      ),
    );
  });
}

Deno.test("transactionOfJson: what is written as JSON is read back, nested transactions too", () => {
  fc.assert(fc.property(TRANSACTION, TRANSACTION, (outer, inner) => {
    const nested = { ...outer, then: [...outer.then, { kind: "transaction", ...inner }] };
    assertEquals(comparable(transactionOfJson(json(nested))), comparable(nested));
  }));
});

Deno.test("transactionOfJson: a message names the field", () => {
  const table: readonly (readonly [string, RegExp])[] = [
    ["{", /it is not JSON/],
    ["[]", /: it is no object\./],
    [`{"than":[]}`, /it has a field "than", which means nothing there/],
    [`{"then":{}}`, /: then: it is no list/],
    [`{"then":[5]}`, /: then\[0\]: it is no object/],
    [`{"then":[{"kind":"set"}]}`, /: then\[0\]\.kind: it is not one of put, delete/],
    [`{"then":[{"kind":"put","key":"a"}]}`, /: then\[0\]: it has neither value nor valueBase64/],
    [`{"then":[{"kind":"put","key":"a","value":"1","valueBase64":""}]}`, /both value and valueBase64/],
    [
      `{"then":[{"kind":"put","key":"a","value":"1","returnPrevius":true}]}`,
      /then\[0\]: it has a field "returnPrevius"/,
    ],
    [`{"then":[{"kind":"get","keyBase64":"*"}]}`, /then\[0\]: its keyBase64 is not base64/],
    [`{"then":[{"kind":"get","key":"a","limit":1.5}]}`, /then\[0\]\.limit: it is no integer/],
    [`{"then":[{"kind":"sum","key":"a","operand":1.5}]}`, /then\[0\]\.operand: it is neither/],
    [`{"else":[{"kind":"transaction","then":[{}]}]}`, /: else\[0\]\.then\[0\]\.kind/],
    [`{"checks":[{"key":"a"}]}`, /: checks\[0\]: it has none of value, version/],
    [
      `{"checks":[{"key":"a","version":1,"comparison":"=="}]}`,
      /checks\[0\]\.comparison: it is not one of =, !=/,
    ],
    [
      `{"checks":[{"key":"a","prefix":"b","exists":true}]}`,
      /checks\[0\]: it has a field "key", which means nothing/,
    ],
    [`{"then":[${`{"kind":"transaction","then":[`.repeat(20)}${"]}".repeat(20)}]}`, /more than 16 levels/],
  ];
  for (const [text, pattern] of table) {
    const { message } = assertThrows(() => transactionOfJson(text), UsageError);
    assert(pattern.test(message), `${text}: ${message}`);
  }
});
