/** The command `txn`: a transaction with branches, in the grammar of `txn/grammar.ts` or as JSON. */
import { COUNTER_BYTES, counterValue } from "../../../client/transaction/counter.ts";
import type {
  Branches,
  BranchingResult,
  KeySelection,
  OperationResult,
  TransactionOperation,
} from "../../../client/transaction/types.ts";
import type { KeyValue } from "../../../kv/command.ts";
import { assertNever } from "../../../platform/assert.ts";
import {
  type Answer,
  answer,
  type AnswerText,
  type CommandContext,
  type CommandText,
  defineCommand,
  type Invocation,
  withElapsed,
} from "../../command.ts";
import { callOptions, FILE } from "../../options.ts";
import { ExitCode, UsageError } from "../../errors.ts";
import { readValueFile, readValueFrom } from "../../input.ts";
import { countOf, escapeBytes, textOfBytes, valueHead, wordAsTyped } from "../../text.ts";
import { expectedAfter, parseTransaction } from "../../txn/grammar.ts";
import { isJson, likelyCounter, resultDocuments, transactionOfJson } from "../../txn/json.ts";

type Results = readonly OperationResult<TransactionOperation>[];

export const TXN = defineCommand({
  name: "txn",
  otherNames: ["transaction", "multi", "begin", "atomic"],
  text: { usage: "<transaction>", replacedBy: FILE.name, expectedAfter },
  options: [{ ...FILE, help: "take the transaction from a file" }],
  summary: "several operations in one step, with conditions",
  details: [
    "<transaction> is: if CONDITION [and CONDITION …] then OPERATIONS [else OPERATIONS], or OPERATIONS alone.",
    "Conditions:  value KEY = VALUE; version, create-revision, mod-revision or lease KEY = NUMBER; exists KEY; absent KEY.",
    "             The sign is =, !=, < or >. All conditions are checked before any change.",
    "Operations:  put KEY VALUE; touch KEY (keeps the value); delete KEY; get KEY; sum, min or max KEY NUMBER (counters).",
    "             They are separated by ; or newlines, and run in order.",
    "Ranges:      KEY --prefix, KEY --end KEY (not included) or KEY --from-key, for conditions, delete and get.",
    "Options:     --previous behind put, touch and delete; --limit N, --reverse and --revision N behind get.",
    "             --lease ID and --expires-at TIME behind put and touch; keep in their place leaves what the key has.",
    "It is one argument in quotes, or one argument a word, or - for standard input. A key or value that begins with --",
    "goes behind --. Text that begins with { is JSON, as in the client library. Options of txn come before it.",
    "Ends with 0 when the conditions held, and with 1 when they did not, whichever branch has operations.",
  ],
  example: [
    "txn if version stock/1 > 0 then put stock/1 2; sum sold 1; get sold else get stock/1",
    "then  revision 17",
    "put stock/1: version 4",
    "sum sold: version 9",
    "get sold: 9",
  ],
  async run(invocation, context): Promise<Answer> {
    const transaction = await transactionOf(invocation, context);
    const client = await context.client();
    const result = await client.transaction({ ...transaction, ...callOptions(invocation, context) });
    return transactionAnswer(transaction, result);
  },
});

async function transactionOf(
  invocation: Invocation,
  context: CommandContext,
): Promise<Required<Branches>> {
  const text = await textOf(invocation, context);
  if (text.kind === "text" && isJson(text.text.slice(text.start))) {
    return transactionOfJson(text.text.slice(text.start));
  }
  return parseTransaction(text);
}

async function textOf({ text, options }: Invocation, context: CommandContext): Promise<CommandText> {
  const file = options.get(FILE.name);
  if (text !== null && !isDash(text)) return text;
  const bytes = file === undefined
    ? await readValueFrom(context.stdin())
    : readValueFile(file, context.environment);
  const read = textOfBytes(bytes);
  if (read === null) {
    throw new UsageError("Cannot read the transaction: it is not UTF-8. Write other bytes as \\xHH.");
  }
  return { kind: "text", text: read.replace(/^\ufeff/, "").replaceAll("\r\n", "\n"), start: 0 };
}

/** Returns whether a text is `-` alone, which means standard input. */
function isDash(text: CommandText): boolean {
  return text.kind === "text" ? text.text.slice(text.start).trim() === "-" : text.words.join(" ") === "-";
}

/** Returns the answer: a line on the branch that ran, and then a line for each of its operations. */
export function transactionAnswer(transaction: Required<Branches>, result: BranchingResult): Answer {
  const { succeeded, revision } = result;
  const branch = transaction.checks.length === 0 ? "ok" : succeeded ? "then" : "else";
  const line = `${branch}  revision ${revision}`;
  const results: Results = result.results;
  const operations = succeeded ? transaction.then : transaction.else;
  return answer({
    text(view): AnswerText {
      const lines = [line, ...linesOf(operations, results)];
      return { output: withElapsed(lines.map((one) => `${one}\n`).join(""), view), note: "" };
    },
    json: () => ({ succeeded, revision, results: resultDocuments(results) }),
    exitCode: succeeded ? ExitCode.done : ExitCode.no,
    outcome: `The transaction was carried out: ${line}.`,
  });
}

/** Returns the lines of a branch; those of a nested transaction are indented. */
function linesOf(operations: readonly TransactionOperation[], results: Results): readonly string[] {
  const counters = new Set(operations.flatMap((operation) => {
    const isCounter = operation.kind === "sum" || operation.kind === "min" || operation.kind === "max";
    return isCounter ? [nameOf(operation.key)] : [];
  }));
  return operations.flatMap((operation, position) => {
    const result = results[position];
    return result === undefined ? [] : linesOfOperation(operation, result, counters);
  });
}

function linesOfOperation(
  operation: TransactionOperation,
  result: OperationResult<TransactionOperation>,
  counters: ReadonlySet<string>,
): readonly string[] {
  const entryLine = (entry: KeyValue): string =>
    `  ${escapeBytes(entry.key)}: ${shownValue(entry, counters)}`;
  switch (result.kind) {
    case "put":
    case "sum":
    case "min":
    case "max": {
      const name = operation.kind === "put" && operation.keepValue === true ? "touch" : result.kind;
      const line = `${name} ${keysText(operation)}: version ${result.version}`;
      if (result.kind !== "put" || result.previous === undefined) return [line];
      const before = result.previous === null
        ? "did not exist"
        : `was ${shownValue(result.previous, counters)}`;
      return [`${line}, ${before}`];
    }
    case "delete": {
      const line = `delete ${keysText(operation)}: ${countOf(result.deleted, "key")} removed`;
      return [line, ...(result.previous ?? []).map(entryLine)];
    }
    case "get": {
      const { entries, count, more } = result;
      if ("entry" in result) {
        const [entry] = entries;
        return [
          `get ${keysText(operation)}: ${entry === undefined ? "(not found)" : shownValue(entry, counters)}`,
        ];
      }
      const shown = more ? `${entries.length} of ${countOf(count, "key")}` : countOf(count, "key");
      return [`get ${keysText(operation)}: ${shown}`, ...entries.map(entryLine)];
    }
    case "transaction": {
      if (operation.kind !== "transaction") return [];
      const branch = result.succeeded ? "then" : "else";
      const inner = linesOf(operation[branch] ?? [], result.results);
      return [`transaction: ${branch}`, ...inner.map((line) => `  ${line}`)];
    }
    default:
      return assertNever(result);
  }
}

/** Returns the value of an entry; of a counter that the transaction has changed, its number. */
function shownValue({ key, value }: KeyValue, counters: ReadonlySet<string>): string {
  if (value.length === COUNTER_BYTES && counters.has(nameOf(key))) return `${counterValue(value)}`;
  const counter = likelyCounter(value);
  return counter === null ? valueHead(value) : `${valueHead(value)}, as a counter ${counter}`;
}

function keysText(operation: TransactionOperation): string {
  if (operation.kind === "transaction") return "";
  const keys: KeySelection = operation;
  if ("key" in keys) return nameOf(keys.key);
  if ("prefix" in keys) return `${nameOf(keys.prefix)} --prefix`;
  return keys.end === undefined
    ? `${nameOf(keys.start)} --from-key`
    : `${nameOf(keys.start)} --end ${nameOf(keys.end)}`;
}

/** Returns a key as it would be typed. */
function nameOf(key: string | Uint8Array): string {
  return wordAsTyped(typeof key === "string" ? new TextEncoder().encode(key) : key);
}
