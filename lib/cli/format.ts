/**
 * Answers as text.
 *
 * Three readers: a script (bare, stable lines), a person who ran one command at a terminal, and the shell's user, who
 * also gets revision and time and only the head of what is long.
 */
import type { Answer, Health } from "./answer.ts";
import { benchAsText } from "./commands/bench_report.ts";
import { checkAsText } from "./commands/check_report.ts";
import type { ExportReport } from "./commands/export.ts";
import type { ImportReport } from "./commands/import.ts";
import { diskNote, membersTable, stateText } from "./commands/members.ts";
import {
  columnsOf,
  countOf,
  dim,
  duration,
  escapeBytes,
  escapeText,
  fit,
  isPrintable,
  perSecond,
  sizeText,
  table,
  textOfBytes,
  withThousands,
} from "./text.ts";
import type { ClusterStatus, NodeView, SnapshotInfo } from "../client/types.ts";
import type { KeyValue } from "../kv/command.ts";
import { assertNever } from "../platform/assert.ts";

/** Characters of a value that the shell shows before it cuts. */
const HEAD_CHARACTERS = 400;
/** Bytes of a value that are looked at for its head. */
const HEAD_BYTES = 4 * HEAD_CHARACTERS;
/** Narrowest column for values in a table. */
const MIN_VALUE_COLUMNS = 16;
/** Widest column for keys in a table. */
const MAX_KEY_COLUMNS = 40;

const utf8 = new TextEncoder();

/** Who reads. */
export interface Reader {
  /** Whether it is a person at a terminal. */
  readonly isTerminal: boolean;
  /** Whether to use colour. */
  readonly color: boolean;
  readonly columns: number;
  /** Whether other answers follow on the same output, so that a value needs a newline behind it. */
  readonly isOneOfMany?: boolean;
}

/** What goes where. */
export interface Shown {
  /** To standard output. */
  readonly output: string | Uint8Array;
  /** To standard error: what is no part of the data. */
  readonly note: string;
}

/** An answer of a single command. */
export function answerAsText(answer: Answer, reader: Reader): Shown {
  switch (answer.kind) {
    case "get":
      if (answer.entry === null) return { output: "", note: "(not found)\n" };
      return { output: valueAsText(answer.entry.value, { raw: answer.raw, reader }), note: "" };
    case "list": {
      const { entries } = answer.result;
      const more = nextPageNote(answer);
      if (reader.isTerminal) {
        return { output: entries.length === 0 ? "" : listTable(entries, reader), note: more };
      }
      return { output: entries.map(listLine).join(""), note: more };
    }
    case "put":
      return { output: `revision ${answer.revision}\n`, note: "" };
    case "delete":
    case "cas":
    case "status":
    case "members":
    case "health":
    case "membership":
    case "snapshot":
    case "transferLeader":
    case "bench":
    case "check":
    case "help":
    case "quit":
      return { output: plainText(answer), note: "" };
    case "snapshotSaved":
    case "exported":
    case "imported":
      return { output: "", note: plainText(answer) };
    default:
      return assertNever(answer);
  }
}

/** An answer in the shell; `elapsedMs` is how long it took. */
export function answerInShell(
  answer: Answer,
  { reader, elapsedMs }: { readonly reader: Reader; readonly elapsedMs: number },
): string {
  const took = duration(elapsedMs);
  const grey = (text: string): string => dim(text, reader);
  switch (answer.kind) {
    case "put":
      return `ok  ${grey(`revision ${answer.revision}, ${took}`)}\n`;
    case "get": {
      if (answer.entry === null) return `(not found)  ${grey(took)}\n`;
      const { value, modRevision, version } = answer.entry;
      const meta = grey(`revision ${modRevision}, version ${version}, ${took}`);
      const shown = answer.raw ? textOfBytes(value) ?? escapeBytes(value) : valueHead(value);
      return `${shown}\n${meta}\n`;
    }
    case "list": {
      const { entries, revision } = answer.result;
      const meta = grey(`${countOf(entries.length, "key")}, revision ${revision}, ${took}`);
      return `${entries.length === 0 ? "" : listTable(entries, reader)}${nextPageNote(answer)}${meta}\n`;
    }
    case "delete":
    case "cas":
    case "health":
    case "membership":
    case "snapshot":
    case "transferLeader":
      return `${plainText(answer).trimEnd()}  ${grey(took)}\n`;
    case "status":
    case "members":
      return `${plainText(answer)}${grey(took)}\n`;
    case "snapshotSaved":
    case "exported":
    case "imported":
    case "bench":
    case "check":
    case "help":
    case "quit":
      return plainText(answer);
    default:
      return assertNever(answer);
  }
}

/** What a command did whose answer could not be written. */
export function outcomeText(answer: Answer): string {
  switch (answer.kind) {
    case "put":
      return `The write was applied: revision ${answer.revision}.`;
    case "delete":
    case "cas":
    case "membership":
    case "snapshot":
    case "transferLeader":
    case "imported":
      return `The command was carried out: ${plainText(answer).trim()}.`.replace(/\.\.$/, ".");
    case "bench":
    case "check":
      return "The run came to its end, and its report is lost.";
    case "get":
    case "list":
    case "status":
    case "members":
    case "health":
    case "snapshotSaved":
    case "exported":
    case "help":
    case "quit":
      return "Nothing was changed; what was written is not everything.";
    default:
      return assertNever(answer);
  }
}

function plainText(answer: Exclude<Answer, { kind: "put" | "get" | "list" }>): string {
  switch (answer.kind) {
    case "delete": {
      const { deleted, revision } = answer.result;
      return `${deleted ? "deleted" : "(not found)"}, revision ${revision}\n`;
    }
    case "cas": {
      const { succeeded, current, revision } = answer.result;
      if (succeeded) return `succeeded, revision ${revision}\n`;
      return current === null
        ? "failed: the key does not exist\n"
        : `failed: the key has the value ${valueHead(current.value)}, revision ${current.modRevision}\n`;
    }
    case "status":
      return statusTable(answer.status);
    case "members":
      return membersTable(answer.rows);
    case "health":
      return healthText(answer.health);
    case "membership":
      return `${escapeText(answer.sentence)}\n`;
    case "snapshot":
      return snapshotText(answer.info);
    case "snapshotSaved":
      return savedText(answer);
    case "exported":
      return exportedText(answer.report);
    case "imported":
      return importedText(answer.report);
    case "transferLeader":
      return `leader n${answer.leader}\n`;
    case "bench":
      return benchAsText(answer.report);
    case "check":
      return checkAsText(answer.report);
    case "help":
      return answer.text;
    case "quit":
      return "";
    default:
      return assertNever(answer);
  }
}

function valueAsText(value: Uint8Array, { raw, reader }: { raw: boolean; reader: Reader }): Uint8Array {
  const isNewlineAdded = reader.isTerminal || reader.isOneOfMany === true;
  if (raw || !isNewlineAdded) return value;
  const text = reader.isTerminal ? textOfBytes(value) : null;
  const isSafe = !reader.isTerminal || (text !== null && isPrintable(text));
  const shown = isSafe ? value : utf8.encode(escapeBytes(value));
  const line = new Uint8Array(shown.length + 1);
  line.set(shown);
  line[shown.length] = 0x0a;
  return line;
}

/** A value for the shell: whole when it is short text, else its head, escaped where it must be, and its size. */
function valueHead(value: Uint8Array): string {
  const text = value.length <= HEAD_BYTES ? textOfBytes(value) : null;
  const isText = text !== null && isPrintable(text);
  if (isText && text.length <= HEAD_CHARACTERS) return text;
  const escaped = isText ? text : escapeBytes(value.subarray(0, HEAD_BYTES));
  const isWhole = value.length <= HEAD_BYTES && escaped.length <= HEAD_CHARACTERS;
  const head = isWhole ? escaped : `${escaped.slice(0, HEAD_CHARACTERS).toWellFormed()}…`;
  return `${head} (${countOf(value.length, "byte")})`;
}

function listLine({ key, value }: KeyValue): string {
  return `${escapeBytes(key)}\t${escapeBytes(value)}\n`;
}

function listTable(entries: readonly KeyValue[], reader: Reader): string {
  const keys = entries.map(({ key }) => fit(escapeBytes(key), MAX_KEY_COLUMNS));
  const revisions = entries.map(({ modRevision }) => String(modRevision));
  const others = Math.max(...keys.map(columnsOf)) + Math.max("revision".length, ...revisions.map(columnsOf)) +
    4;
  const room = Math.max(MIN_VALUE_COLUMNS, reader.columns - others);
  const rows = entries.map(({ value }, position) => [
    keys[position] ?? "",
    revisions[position] ?? "",
    fitValue(value, room),
  ]);
  const [header = "", ...lines] = table([["key", "revision", "value"], ...rows]);
  return [dim(header, reader), ...lines].map((line) => `${line}\n`).join("");
}

/** A value in a cell: its head, and its size when that is not all. */
function fitValue(value: Uint8Array, columns: number): string {
  const text = escapeBytes(value.subarray(0, HEAD_BYTES));
  if (value.length <= HEAD_BYTES && columnsOf(text) <= columns) return text;
  const size = ` (${countOf(value.length, "byte")})`;
  return `${fit(`${text}…`, columns - size.length)}${size}`;
}

/** `-- 2 of more; list --after user:2`, or nothing when this was all. */
function nextPageNote({ result: { entries, cursor }, nextPage }: Extract<Answer, { kind: "list" }>): string {
  const last = entries.at(-1);
  return cursor === null || last === undefined ? "" : `-- ${entries.length} of more; ${nextPage(last.key)}\n`;
}

/** `healthy: a linearizable read took 1.2 ms`. */
function healthText(health: Health): string {
  if (health.isHealthy) return `healthy: a linearizable read took ${duration(health.elapsedMs)}\n`;
  return `not healthy: ${escapeText(health.reason)}\n`;
}

function statusTable({ leader, term, nodes }: ClusterStatus): string {
  const header = ["node", "address", "role", "term", "commit", "applied", "version"];
  const first = leader === null ? `no leader, term ${term}` : `leader n${leader}, term ${term}`;
  const reasons = nodes.flatMap((node) =>
    node.reachable ? [] : [`${nodeName(node)}: ${escapeText(node.reason)}`]
  );
  return [first, ...table([header, ...nodes.map(statusRow)]), ...reasons].map((line) => `${line}\n`).join("");
}

function statusRow(node: NodeView): string[] {
  const name = nodeName(node);
  const address = escapeText(node.address);
  if (!node.reachable) return [name, address, stateText(node.state)];
  const numbers = [node.term, node.commitIndex, node.appliedIndex].map(String);
  return [name, address, `${node.role}${diskNote(node.disk)}`, ...numbers, escapeText(node.version)];
}

function nodeName({ id }: NodeView): string {
  return id === null ? "?" : `n${id}`;
}

/** After `snapshot now`. */
export function snapshotText({ nodeId, index, term, revision, bytes }: SnapshotInfo): string {
  return `n${nodeId} took a snapshot: revision ${revision}, index ${index}, term ${term}, ${
    sizeText(bytes)
  }\n`;
}

/** After `snapshot save`. */
export function savedText({ info, elapsedMs }: Extract<Answer, { kind: "snapshotSaved" }>): string {
  const { nodeId, revision, bytes } = info;
  return `saved revision ${revision} of n${nodeId}: ${sizeText(bytes)} in ${duration(elapsedMs)}\n`;
}

/** After `export`: also whether it is of one moment. */
export function exportedText({ keys, bytes, firstRevision, lastRevision, elapsedMs }: ExportReport): string {
  const what = `exported ${countOf(keys, "key")}, ${sizeText(bytes)}, in ${duration(elapsedMs)}`;
  if (firstRevision === lastRevision) return `${what}, all at revision ${lastRevision}\n`;
  return `${what}\nThe store changed meanwhile, from revision ${firstRevision} to ${lastRevision}: these writes may be in ` +
    "it or not. For one moment of the store use snapshot save.\n";
}

/** After `import`. */
export function importedText({ keys, bytes, elapsedMs }: ImportReport): string {
  const rate = withThousands(perSecond(keys, elapsedMs));
  return `imported ${countOf(keys, "key")}, ${sizeText(bytes)}, in ${duration(elapsedMs)} (${rate}/s)\n`;
}
