/** Operations, answers and states in the words of the page: short, exact, and with nothing unprintable in them. */
import { assertNever } from "../platform/assert.ts";
import {
  type Check,
  type Entry,
  type KeyRange,
  type Mutation,
  type Operation,
  valueAfter,
} from "./history.ts";
import { type Condition, type KeyState, UNSEEN_REVISION } from "./model.ts";
import { operationsOf } from "./transactions/program.ts";
import type {
  BranchCondition,
  Branches,
  BranchesResult,
  BranchOperation,
  BranchOutcome,
  Comparison,
  KeySet,
} from "./transactions/transaction.ts";
import type { Misfit } from "./verdict.ts";

/** Characters of a key or value that are shown; the rest is counted. */
const MAX_SHOWN_CHARACTERS = 40;

const SHORT_NAMES: Readonly<Record<Operation["kind"], string>> = {
  get: "get",
  put: "put",
  delete: "del",
  compareAndSet: "cas",
  transaction: "txn",
  branchingTransaction: "txn",
  list: "list",
};

/** A key or value as a person can read it: what is no printable ASCII appears as `\x00` … `\xff`. */
export function shown(text: string): string {
  const head = text.slice(0, MAX_SHOWN_CHARACTERS).replace(
    /[^\x20-\x7e]|\\/g,
    (character) =>
      character === "\\" ? "\\\\" : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  const rest = text.length - MAX_SHOWN_CHARACTERS;
  return rest > 0 ? `${head}… (${rest} bytes more)` : head;
}

/** A value in quotes. */
export function quoted(value: string): string {
  return `"${shown(value)}"`;
}

/** Returns the request as text: `put k = "v"`. */
export function requestText(operation: Operation): string {
  switch (operation.kind) {
    case "get":
      return `get ${shown(operation.key)}${asOfText(operation.revision)}`;
    case "delete":
      return `delete ${shown(operation.key)}`;
    case "put":
      return `put ${shown(operation.key)} = ${quoted(operation.value)}${leaseText(operation.leaseId)}`;
    case "compareAndSet": {
      const expected = operation.expect === null ? "nothing" : quoted(operation.expect);
      return `cas ${shown(operation.key)}: ${expected} to ${quoted(operation.value)}`;
    }
    case "transaction": {
      const checks = operation.checks.map(checkText);
      const then = operation.mutations.map(mutationText).join(", ");
      return checks.length === 0
        ? `transaction: ${then}`
        : `transaction: if ${checks.join(" and ")}: ${then}`;
    }
    case "branchingTransaction":
      return `transaction: ${branchesText(operation.transaction)}`;
    case "list":
      return `list ${rangeText(operation.range)}${asOfText(operation.revision)}`;
    default:
      return assertNever(operation);
  }
}

/** Returns the answer as text: `revision 7`. Of a list, the entries of `keys`; the others are counted. */
export function answerText(operation: Operation, keys: readonly string[]): string {
  switch (operation.outcome.kind) {
    case "notApplied":
      return "certainly did not happen";
    case "unknown":
      return "no answer: it may have happened at any time after its call, or never";
    case "answered":
      return resultText(operation, keys);
    default:
      return assertNever(operation.outcome);
  }
}

/** Request and answer in as few characters as distinguish it, as far as they concern `keys`. */
export function labelOf(operation: Operation, keys: readonly string[]): string {
  const key = keys.length > 1 && "key" in operation ? shown(operation.key) : "";
  return [SHORT_NAMES[operation.kind], key, subjectOf(operation, keys), shortAnswer(operation)]
    .filter((part) => part !== "").join(" ");
}

/** Returns the state of a key as text. */
export function stateText(state: KeyState | null): string {
  if (state === null) return "does not exist";
  const { value, createRevision, modRevision, version } = state;
  return `${quoted(value)}, revision ${numberText(modRevision)}, created at ${numberText(createRevision)}, ` +
    `version ${version}`;
}

/** An entry as it was seen; what was not recorded is left out. */
export function entryText(entry: Entry | null): string {
  if (entry === null) return "does not exist";
  const { value, createRevision, modRevision, version } = entry;
  return [
    quoted(value),
    modRevision === null ? null : `revision ${modRevision}`,
    createRevision === null ? null : `created at ${createRevision}`,
    version === null ? null : `version ${version}`,
  ].filter((part) => part !== null).join(", ");
}

/** Returns the state of a key as text, with the key where that is not clear from the context. */
export function keyStateText(key: string, state: KeyState | null, { withKey }: { withKey: boolean }): string {
  return withKey ? `${shown(key)}: ${stateText(state)}` : stateText(state);
}

/** Why an operation does not fit a state, as a sentence. `nameOf` names another operation of the history. */
export function misfitText(misfit: Misfit, nameOf: (operation: number) => string): string {
  switch (misfit.kind) {
    case "condition":
      return conditionText(misfit.condition);
    case "result":
      return `It would have left ${shown(misfit.condition.key)} as ${stateText(misfit.actual)}. ${
        conditionText(misfit.condition)
      }`;
    case "noneExists":
      return `It returned that more keys follow, and none of ${misfit.keys.map(shown).join(", ")} exists.`;
    case "order":
      return misfit.operation === null
        ? `Revision ${misfit.revision}, which was seen, has to come before it, and no operation can have made it.`
        : `Revision ${misfit.revision} has to come before it: ${nameOf(misfit.operation)}.`;
    case "passed":
      return `A greater revision than its own, ${misfit.revision}, was reached before.`;
    case "tooSoon":
      return `The store had at most revision ${misfit.greatest} when it returned; the writes before it need a greater one.`;
    case "transaction":
      return `It would have done something else than it returned: ${misfit.why}.`;
    case "later":
      return "It fits here, but then nothing that follows does.";
    default:
      return assertNever(misfit);
  }
}

function conditionText(condition: Condition): string {
  const key = shown(condition.key);
  switch (condition.kind) {
    case "entry":
      return condition.entry === null
        ? `It returned that ${key} does not exist.`
        : `It returned ${key} = ${entryText(condition.entry)}.`;
    case "exists":
      return `It returned that ${key} ${condition.exists ? "existed" : "did not exist"}.`;
    case "value":
      return `It returned that ${key} ${condition.holds ? "had" : "did not have"} the value ${
        quoted(condition.value)
      }.`;
    case "modRevision":
      return `It returned that revision ${condition.modRevision} ${
        condition.holds ? "was" : "was not"
      } the last of ${key}.`;
    case "never":
      return `Its answer is impossible: ${condition.why}.`;
    default:
      return assertNever(condition);
  }
}

function resultText(operation: Operation, keys: readonly string[]): string {
  if (operation.outcome.kind !== "answered") return "";
  switch (operation.kind) {
    case "get":
      return operation.outcome.result === null ? "does not exist" : entryText(operation.outcome.result);
    case "put":
      return revisionText(operation.outcome.result.revision);
    case "delete": {
      const { deleted, revision } = operation.outcome.result;
      return `${deleted ? "deleted" : "there was nothing"}, ${revisionText(revision)}`;
    }
    case "compareAndSet": {
      const { succeeded, current, revision } = operation.outcome.result;
      return `${succeeded ? "done" : "failed"}: now ${entryText(current)}; ${revisionText(revision)}`;
    }
    case "transaction": {
      const { succeeded, failedChecks, revision } = operation.outcome.result;
      const failed = `failed: checks ${failedChecks.map((position) => position + 1).join(", ")}`;
      return `${succeeded ? "done" : failed}; ${revisionText(revision)}`;
    }
    case "branchingTransaction":
      return branchesResultText(operation.outcome.result);
    case "list": {
      const { entries, more, revision } = operation.outcome.result;
      const listed = entries.filter(({ key }) => keys.includes(key));
      const others = entries.length - listed.length;
      return [
        ...listed.map((entry) => `${shown(entry.key)} = ${entryText(entry)}`),
        ...(entries.length === 0 ? ["no keys"] : []),
        ...(others === 0
          ? []
          : [`${others} ${listed.length === 0 ? "" : "other "}${others === 1 ? "key" : "keys"}`]),
        ...(more ? ["more follow"] : []),
        revisionText(revision),
      ].join("; ");
    }
    default:
      return assertNever(operation);
  }
}

/** Returns what a write changes, besides the name of its key. */
function subjectOf(operation: Operation, keys: readonly string[]): string {
  switch (operation.kind) {
    case "put":
    case "compareAndSet":
      return shown(operation.value);
    case "transaction":
      return operation.mutations.filter(({ key }) => keys.includes(key)).map((mutation) => {
        const after = valueAfter(mutation);
        const value = after === null ? "delete" : shown(after);
        return keys.length > 1 ? `${shown(mutation.key)}=${value}` : value;
      }).join(" ");
    case "branchingTransaction": {
      const own = operationsOf(operation.transaction).filter((each) =>
        "key" in each ? keys.includes(each.key) : each.kind !== "transaction"
      );
      return own.map(operationText).join("; ");
    }
    case "get":
    case "delete":
    case "list":
      return "";
    default:
      return assertNever(operation);
  }
}

function shortAnswer(operation: Operation): string {
  switch (operation.outcome.kind) {
    case "answered":
      return shortResult(operation);
    case "notApplied":
      return "→ not done";
    case "unknown":
      return "?";
    default:
      return assertNever(operation.outcome);
  }
}

function shortResult(operation: Operation): string {
  if (operation.outcome.kind !== "answered") return "";
  switch (operation.kind) {
    case "get": {
      const entry = operation.outcome.result;
      return entry === null ? "→ nothing" : atRevision(`→ ${shown(entry.value)}`, entry.modRevision);
    }
    case "put":
      return atRevision("", operation.outcome.result.revision);
    case "delete": {
      const { deleted, revision } = operation.outcome.result;
      return atRevision(deleted ? "" : "→ nothing", revision);
    }
    case "compareAndSet":
    case "transaction": {
      const { succeeded, revision } = operation.outcome.result;
      return atRevision(succeeded ? "" : "→ no", revision);
    }
    case "branchingTransaction": {
      const { result } = operation.outcome;
      const answer = result.kind === "failed" ? "→ failed" : result.succeeded ? "" : "→ else";
      return atRevision(answer, result.revision);
    }
    case "list": {
      const { entries, revision } = operation.outcome.result;
      return atRevision(`→ ${entries.length}`, revision);
    }
    default:
      return assertNever(operation);
  }
}

function atRevision(answer: string, revision: number | null): string {
  return revision === null ? answer : `${answer} @${revision}`.trimStart();
}

function revisionText(revision: number | null): string {
  return revision === null ? "revision not recorded" : `revision ${revision}`;
}

function numberText(revision: number): string {
  return revision === UNSEEN_REVISION ? "unknown" : String(revision);
}

function checkText(check: Check): string {
  const key = shown(check.key);
  switch (check.kind) {
    case "exists":
      return `${key} ${check.exists ? "exists" : "does not exist"}`;
    case "value":
      return `${key} = ${quoted(check.value)}`;
    case "modRevision":
      return `${key} is at revision ${check.modRevision}`;
    default:
      return assertNever(check);
  }
}

function mutationText(mutation: Mutation): string {
  const value = valueAfter(mutation);
  return `${mutation.kind} ${shown(mutation.key)}${value === null ? "" : ` = ${quoted(value)}`}`;
}

function rangeText({ prefix, start, end, after, reverse }: KeyRange): string {
  return [
    prefix === "" ? "all keys" : `${shown(prefix)}…`,
    start === null ? null : `from ${shown(start)}`,
    end === null ? null : `before ${shown(end)}`,
    after === null ? null : `behind ${shown(after)}`,
    reverse ? "downwards" : null,
  ].filter((part) => part !== null).join(" ");
}

function leaseText(leaseId: number | undefined): string {
  return leaseId === undefined ? "" : ` with lease ${leaseId}`;
}

function asOfText(revision: number | undefined): string {
  return revision === undefined ? "" : ` at revision ${revision}`;
}

const COMPARISON_SIGNS: Readonly<Record<Comparison, string>> = {
  equal: "=",
  notEqual: "≠",
  less: "<",
  greater: ">",
};

function branchesText({ conditions, then, else: otherwise }: Branches): string {
  const parts = [
    conditions.length === 0 ? "" : `if ${conditions.map(branchConditionText).join(" and ")}`,
    then.length === 0 ? "" : then.map(operationText).join("; "),
    otherwise.length === 0 ? "" : `else ${otherwise.map(operationText).join("; ")}`,
  ];
  return parts.filter((part) => part !== "").join(": ");
}

function branchConditionText(condition: BranchCondition): string {
  const sign = COMPARISON_SIGNS[condition.comparison];
  const other = condition.kind === "value" ? quoted(condition.value) : String(condition.number);
  return `${condition.kind} of ${keySetText(condition.keys)} ${sign} ${other}`;
}

function operationText(operation: BranchOperation): string {
  switch (operation.kind) {
    case "put": {
      const value = operation.value === null ? "its value" : quoted(operation.value);
      return `put ${shown(operation.key)} = ${value}`;
    }
    case "delete":
    case "get":
      return `${operation.kind} ${keySetText(operation.keys)}`;
    case "sum":
    case "min":
    case "max":
      return `${operation.kind} ${shown(operation.key)}`;
    case "transaction":
      return `(${branchesText(operation)})`;
    default:
      return assertNever(operation);
  }
}

function keySetText(keys: KeySet): string {
  if (keys.kind === "key") return shown(keys.key);
  return `${shown(keys.start)}…${keys.end === null ? "" : shown(keys.end)}`;
}

function branchesResultText(result: BranchesResult): string {
  if (result.kind === "failed") return `failed: ${result.reason}; ${revisionText(result.revision)}`;
  const branch = result.succeeded ? "conditions held" : "conditions did not hold";
  return [branch, ...result.outcomes.map(outcomeText), revisionText(result.revision)].join("; ");
}

function outcomeText(outcome: BranchOutcome): string {
  switch (outcome.kind) {
    case "put":
      return `put, version ${outcome.version ?? "not recorded"}`;
    case "delete":
      return `${outcome.deleted} deleted`;
    case "get":
      return outcome.entries.length === 0
        ? "no keys"
        : outcome.entries.map((entry) => `${shown(entry.key)} = ${entryText(entry)}`).join(", ");
    case "transaction":
      return `(${[outcome.succeeded ? "then" : "else", ...outcome.outcomes.map(outcomeText)].join("; ")})`;
    default:
      return assertNever(outcome);
  }
}
