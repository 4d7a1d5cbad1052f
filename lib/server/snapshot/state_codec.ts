/**
 * The encoding of a state: canonical bytes of each record, so that a state hash is the same on every node and version, and
 * the chunks of records of a snapshot file.
 *
 *     chunk   [record…]                                       one MessagePack array
 *     record  ["header", appliedIndex, revision, logTimeMs, forgottenIndex, featureLevel, compactedRevision]
 *                                                             at feature level 1 without the last two
 *             users, roles and tokens                         see auth_record_codec.ts
 *             ["lease", leaseId, ttlMs, deadlineMs, ownerId]  from feature level 2 on; without the last one where no user
 *                                                             has granted the lease
 *             ["key", key, value, createRevision, modRevision, version, order, leaseId, expiresAtMs]
 *                                                             without the zeros at the end, from the order on
 *             ["tombstone", key, modRevision, order]          from feature level 2 on
 *             ["version", key, value | nil, createRevision, modRevision, version, order, successorRevision, successorOrder,
 *              leaseId, expiresAtMs]                          from feature level 2 on; without the last two where they are 0
 *             ["session", sessionId, openedAt, openedIndex, lastActiveIndex, lastActiveMs, acknowledgedBelow, userId]
 *                                                             without the last one where no user has the session
 *             ["answer", sessionId, sequence, result]         result: an encoded command result
 *
 * Records are checked when they are read (state_reader.ts): one that no state machine could have written is a DecodeError.
 */
import { assertNever } from "../../platform/assert.ts";
import {
  FIRST_FEATURE_LEVEL,
  type HeaderRecord,
  type Restoring,
  StateMachine,
  type StateMachineOptions,
  type StateRecord,
  type StateView,
  StoreLoadError,
} from "../../kv/mod.ts";
import { encodeResult } from "../../protocol/command.ts";
import { MessagePackReader } from "../../protocol/msgpack_reader.ts";
import { MessagePackWriter } from "../../protocol/msgpack_writer.ts";
import { SliceBudget, type YieldToEventLoop } from "../yield_to_event_loop.ts";
import { writeAuthRecord } from "./auth_record_codec.ts";
import { StateRecordReader } from "./state_reader.ts";
import { shortened } from "../../platform/errors.ts";
import { decodeConfiguration } from "../../protocol/configuration.ts";
import { DecodeError } from "../../protocol/errors.ts";
import type { SnapshotMetadata } from "../../raft/mod.ts";
import type { SnapshotHeader, SnapshotReader } from "../../storage/mod.ts";

/** Bytes of buffer that the encoder keeps between records. */
const RETAINED_BYTES = 65_536;
/** Bytes of records after which a chunk ends; its last record may exceed it. */
const CHUNK_BYTES = 262_144;

/** Returns a function that encodes records, each as a MessagePack array; its result is valid until the next call. */
export function stateRecordEncoder(): (record: StateRecord) => Uint8Array {
  const out = new MessagePackWriter();
  return (record) => {
    out.clear(RETAINED_BYTES);
    writeRecord(out, record);
    return out.view();
  };
}

/**
 * Passes all records of a state to `write`, in chunks that are valid during the call only, and yields to the event loop in
 * between. The state is that of the view; later changes do not show.
 */
export async function writeState(
  view: StateView,
  { write, yieldToEventLoop }: {
    readonly write: (chunk: Uint8Array) => Promise<void> | void;
    readonly yieldToEventLoop: YieldToEventLoop;
  },
): Promise<void> {
  const budget = new SliceBudget(yieldToEventLoop);
  const body = new MessagePackWriter();
  const out = new MessagePackWriter();
  let records = 0;
  const endChunk = async (): Promise<void> => {
    if (records === 0) return;
    out.clear(CHUNK_BYTES * 2);
    out.array(records);
    out.raw(body.view());
    await write(out.view());
    body.clear(CHUNK_BYTES * 2);
    records = 0;
  };
  for (const record of view.steps()) {
    const before = body.length;
    if (record !== null) {
      writeRecord(body, record);
      records++;
    }
    const isDue = budget.spend(body.length - before);
    if (body.length >= CHUNK_BYTES) await endChunk();
    if (isDue) await budget.yield();
  }
  await endChunk();
}

/** Returns the state of chunks, which must not change afterwards; yields in between. Rejects with DecodeError. */
export async function readState(
  chunks: AsyncIterable<Uint8Array>,
  { restoring, yieldToEventLoop }: {
    readonly restoring: Restoring;
    readonly yieldToEventLoop: YieldToEventLoop;
  },
): Promise<StateMachine> {
  const budget = new SliceBudget(yieldToEventLoop);
  const reader = new StateRecordReader();
  for await (const chunk of chunks) {
    const input = new MessagePackReader(chunk, { what: "a chunk of a snapshot", copies: false });
    const records = input.open("the chunk");
    for (let position = 0; position < records; position++) {
      const record = reader.read(input);
      consistent(() => restoring.add(record));
      if (budget.spend(Math.ceil(chunk.length / records))) await budget.yield();
    }
    input.close();
    input.end();
  }
  const finishing = restoring.finishing();
  for (;;) {
    const step = consistent(() => finishing.next());
    if (step.done === true) return step.value;
    if (budget.spend(0)) await budget.yield();
  }
}

/** Returns the first record of a state, which has its own numbers; reads no more of it. Rejects with DecodeError. */
export async function readStateHeader(chunks: AsyncIterable<Uint8Array>): Promise<HeaderRecord> {
  for await (const chunk of chunks) {
    const input = new MessagePackReader(chunk, { what: "a chunk of a snapshot", copies: false });
    if (input.open("the chunk") === 0) break;
    const record = new StateRecordReader().read(input);
    if (record[0] === "header") return record;
  }
  throw new DecodeError("Cannot use the snapshot: its state has no header.");
}

/** Makes a DecodeError of records that are no state together. */
function consistent<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof StoreLoadError) throw new DecodeError(error.message);
    throw error;
  }
}

function writeRecord(out: MessagePackWriter, record: StateRecord): void {
  out.array(record.length);
  out.string(record[0]);
  switch (record[0]) {
    case "header":
    case "lease":
    case "session": {
      const [, ...numbers] = record;
      for (const number of numbers) if (number !== undefined) out.integer(number);
      break;
    }
    case "key": {
      const [, key, value, ...numbers] = record;
      out.binary(key);
      out.binary(value);
      for (const number of numbers) if (number !== undefined) out.integer(number);
      break;
    }
    case "tombstone": {
      const [, key, ...numbers] = record;
      out.binary(key);
      for (const number of numbers) out.integer(number);
      break;
    }
    case "version": {
      const [, key, value, ...numbers] = record;
      out.binary(key);
      if (value === null) out.nil();
      else out.binary(value);
      for (const number of numbers) if (number !== undefined) out.integer(number);
      break;
    }
    case "answer": {
      const [, sessionId, sequence, answer] = record;
      out.integer(sessionId);
      out.integer(sequence);
      out.binary(encodeResult(answer));
      break;
    }
    case "auth":
    case "role":
    case "grant":
    case "user":
    case "token":
      writeAuthRecord(out, record);
      break;
    default:
      assertNever(record);
  }
}

/** A state with the metadata of its snapshot. */
export interface LoadedSnapshot {
  readonly metadata: SnapshotMetadata;
  readonly stateMachine: StateMachine;
}

/** The dependencies of reading a snapshot. */
export interface SnapshotStateOptions {
  /** The cluster of the snapshot. */
  readonly clusterId: string;
  readonly stateMachineOptions: StateMachineOptions;
  /** Yields to the event loop; an error that it throws ends the reading. */
  readonly yieldToEventLoop: YieldToEventLoop;
}

/** Reads a whole snapshot. Rejects with SnapshotDamagedError, and with DecodeError for undamaged but invalid content. */
export async function readSnapshotState(
  reader: Pick<SnapshotReader, "header" | "chunks">,
  { clusterId, stateMachineOptions, yieldToEventLoop }: SnapshotStateOptions,
): Promise<LoadedSnapshot> {
  const { header } = reader;
  const { index, term } = header;
  if (header.clusterId !== clusterId) {
    throw new DecodeError(
      `Cannot use the snapshot at ${index}: it is of cluster ${
        shortened(header.clusterId)
      }, not of ${clusterId}.`,
    );
  }
  const configuration = decodeConfiguration(header.configuration);
  const restoring = StateMachine.restoring(stateMachineOptions);
  const stateMachine = await readState(reader.chunks(), { restoring, yieldToEventLoop });
  requireHeader(stateMachine, header);
  return { metadata: { index, term, configuration }, stateMachine };
}

/** Returns the version of the snapshot format for states of a feature level. */
export function formatVersionOf(featureLevel: number): number {
  return featureLevel === FIRST_FEATURE_LEVEL ? 1 : 2;
}

/** Throws DecodeError unless a state has the index, revision and format version in the header of its snapshot. */
export function requireHeader(state: StateMachine, { index, revision, formatVersion }: SnapshotHeader): void {
  if (formatVersionOf(state.featureLevel) !== formatVersion) {
    throw new DecodeError(
      `Cannot use the snapshot at ${index}: its state is of feature level ${state.featureLevel}, which format version ` +
        `${formatVersion} does not have.`,
    );
  }
  if (state.appliedIndex === index && state.revision === revision) return;
  throw new DecodeError(
    `Cannot use the snapshot at ${index}: its state is of index ${state.appliedIndex} and revision ` +
      `${state.revision}, not of revision ${revision} as its header says.`,
  );
}
