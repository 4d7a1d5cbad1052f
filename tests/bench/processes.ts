/** Memory and CPU time of a process, as Linux reports them. Zeros where there is no /proc. */

/** The unit of CPU times in /proc, the same on every Linux that Deno runs on. */
const MS_OF_TICK = 10;

/** Resident memory. */
export function residentBytesOf(pid: number): number {
  try {
    const [, kilobytes = "0"] = /^VmRSS:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ??
      [];
    return Number(kilobytes) * 1_024;
  } catch {
    return 0;
  }
}

/** User and system time of all threads. */
export function cpuMsOf(pid: number): number {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // Fields 14 and 15; the second, the program's name in brackets, may have blanks in it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * MS_OF_TICK;
  } catch {
    return 0;
  }
}
