/** The properties of the machine that the figures depend on. */
import { join } from "@std/path";

const SYNCS = 300;
const SYNCED_BYTES = 4_096;
const FILE_BYTES = 8_388_608;

/** A machine. */
export interface Machine {
  readonly system: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Load average of the last minute before the run: shows other work on the machine. */
  readonly loadAverage: number;
  /** Median time of an fdatasync after 4 KiB have been overwritten. */
  readonly syncMs: number;
}

/** Returns the properties of this machine; the disk is that of `folder`. */
export async function machineOf(folder: string): Promise<Machine> {
  return {
    system: `${Deno.build.os} ${Deno.osRelease()} ${Deno.build.arch}`,
    cpu: cpuName(),
    cores: navigator.hardwareConcurrency,
    memoryBytes: Deno.systemMemoryInfo().total,
    loadAverage: Deno.loadavg()[0] ?? 0,
    syncMs: await syncMs(folder),
  };
}

function cpuName(): string {
  try {
    return /^model name\s*: (.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? "unknown";
  } catch {
    return "unknown";
  }
}

async function syncMs(folder: string): Promise<number> {
  const path = join(folder, "sync-time");
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  file.writeSync(new Uint8Array(FILE_BYTES));
  await file.syncData();
  file.seekSync(0, Deno.SeekMode.Start);
  const times: number[] = [];
  for (let round = 0; round < SYNCS; round++) {
    const startedAt = performance.now();
    file.writeSync(new Uint8Array(SYNCED_BYTES).fill(round));
    await file.syncData();
    times.push(performance.now() - startedAt);
  }
  Deno.removeSync(path);
  return times.sort((a, b) => a - b)[SYNCS / 2] ?? 0;
}
