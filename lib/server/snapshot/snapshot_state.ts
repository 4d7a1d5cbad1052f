/** Reads the state that a snapshot file holds, and checks that it is what the file says it is. */
import { shortened } from "../../platform/errors.ts";
import { StateMachine, type StateMachineOptions } from "../../kv/mod.ts";
import { decodeConfiguration } from "../../protocol/configuration.ts";
import { DecodeError } from "../../protocol/errors.ts";
import type { SnapshotMetadata } from "../../raft/mod.ts";
import type { SnapshotHeader, SnapshotReader } from "../../storage/mod.ts";
import type { YieldToEventLoop } from "../yield_to_event_loop.ts";
import { readState } from "./state_codec.ts";

/** A state with what it is the state of. */
export interface LoadedSnapshot {
  readonly metadata: SnapshotMetadata;
  readonly stateMachine: StateMachine;
}

/** What reading a state needs. */
export interface SnapshotStateOptions {
  /** The cluster whose snapshot it must be. */
  readonly clusterId: string;
  readonly stateMachineOptions: StateMachineOptions;
  /** Others have their turn; whoever throws here ends the reading. */
  readonly yieldToEventLoop: YieldToEventLoop;
}

/** Reads a snapshot to its end. Throws SnapshotDamagedError, and DecodeError for what is whole but not what it should be. */
export async function readSnapshotState(
  reader: SnapshotReader,
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
  await readState(reader.chunks(), { restoring, yieldToEventLoop });
  const stateMachine = restoring.finish();
  requireHeader(stateMachine, header);
  return { metadata: { index, term, configuration }, stateMachine };
}

/** Throws DecodeError unless a state is of the index and revision that the header of its snapshot says. */
export function requireHeader(state: StateMachine, { index, revision }: SnapshotHeader): void {
  if (state.appliedIndex === index && state.revision === revision) return;
  throw new DecodeError(
    `Cannot use the snapshot at ${index}: its state is of index ${state.appliedIndex} and revision ` +
      `${state.revision}, not of revision ${revision} as it says.`,
  );
}
