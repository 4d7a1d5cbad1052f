/** A snapshot file that lies anywhere: a backup, or one in a data folder that is only looked at. */
import { StateMachine } from "../kv/mod.ts";
import { decodeConfiguration } from "../net/configuration_codec.ts";
import type { Configuration } from "../raft/mod.ts";
import { type Disk, readSnapshotStream, type SnapshotHeader } from "../storage/mod.ts";
import { readState } from "./state_codec.ts";

/** A file that is open. */
export interface StateFile {
  readonly header: SnapshotHeader;
  readonly configuration: Configuration;
  readonly bytes: number;
  /** What the state is made of, each verified; to be read once. Throws SnapshotDamagedError. */
  chunks(): AsyncIterable<Uint8Array>;
  /** The state; reads the chunks. Throws SnapshotDamagedError and DecodeError. */
  load(): Promise<StateMachine>;
}

/** Opens a file, hands it to `use`, and closes it. Throws SnapshotDamagedError for what is no snapshot. */
export async function withStateFile<T>(
  { disk, path }: { readonly disk: Disk; readonly path: string },
  use: (file: StateFile) => Promise<T>,
): Promise<T> {
  const file = disk.open(path, "read");
  try {
    const bytes = file.size();
    const source = {
      file: path,
      bytes,
      read: (into: Uint8Array, offset: number): Promise<number> => file.read(into, offset),
    };
    const { header, chunks } = await readSnapshotStream(source);
    const load = async (): Promise<StateMachine> => {
      const restoring = StateMachine.restoring();
      await readState(chunks(), { restoring, pause: () => Promise.resolve() });
      return restoring.finish();
    };
    return await use({
      header,
      configuration: decodeConfiguration(header.configuration),
      bytes,
      chunks,
      load,
    });
  } finally {
    file.close();
  }
}
