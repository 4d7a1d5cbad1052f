/** Short forms in which the tests of the state machine are written. */
import type {
  Check,
  CommandResult,
  ListQuery,
  Mutation,
  SessionStamp,
  Transaction,
} from "../../../lib/kv/command.ts";
import type { StateRecord } from "../../../lib/kv/record.ts";
import { StateMachine } from "../../../lib/kv/state_machine.ts";
import type { StateMachineOptions } from "../../../lib/kv/state_records.ts";

/** The UTF-8 bytes of a text. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A put of two texts. */
export function put(key: string, value: string): Mutation {
  return { kind: "put", key: bytes(key), value: bytes(value) };
}

/** A delete of a text. */
export function remove(key: string): Mutation {
  return { kind: "delete", key: bytes(key) };
}

/** A transaction; without checks and session unless they are given. */
export function transaction(
  mutations: readonly Mutation[],
  options: { readonly checks?: readonly Check[]; readonly session?: SessionStamp } = {},
): Transaction {
  return { kind: "transaction", session: options.session ?? null, checks: options.checks ?? [], mutations };
}

/** A stamp of session 7, opened at index 0, its first write, nothing acknowledged; and what differs from that. */
export function stamp(differences: Partial<SessionStamp> = {}): SessionStamp {
  return { sessionId: 7, sequence: 1, acknowledgedBelow: 1, openedAt: 0, ...differences };
}

/** A listing of everything, and what differs from that. */
export function query(differences: Partial<ListQuery> = {}): ListQuery {
  return {
    prefix: bytes(""),
    start: null,
    end: null,
    after: null,
    reverse: false,
    limit: 100,
    ...differences,
  };
}

/** A state machine that counts the indexes itself. */
export class Replica {
  readonly machine: StateMachine;

  constructor(options: StateMachineOptions = {}) {
    this.machine = new StateMachine(options);
  }

  /** Applies a command as the next entry. */
  apply(command: Parameters<StateMachine["apply"]>[1]): CommandResult {
    return this.machine.apply(this.machine.appliedIndex + 1, command);
  }

  /** Applies entries that change nothing until `index` is applied. */
  skipTo(index: number): void {
    while (this.machine.appliedIndex < index) this.machine.applyNoop(this.machine.appliedIndex + 1);
  }

  /** The whole state. */
  records(): readonly StateRecord[] {
    return [...this.machine.snapshot().records()];
  }
}
