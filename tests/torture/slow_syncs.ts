/** A disk whose syncs take long: a library that a process loads, which delays each of its syncs. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { Process, runs } from "../support/processes/process.ts";

/** Makes every sync of a process take a fifth of a second longer. */
const SLOW_SYNC = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
int fdatasync(int fd) { usleep(200000); return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(fd); }
int fsync(int fd) { usleep(200000); return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(fd); }
`;

/** Returns the environment of a process with slow syncs, whose library is put in `folder`; null without a C compiler. */
export async function slowSyncs(folder: string): Promise<Readonly<Record<string, string>> | null> {
  if (!runs("cc", "--version")) return null;
  const library = join(folder, "slow_sync.so");
  await Deno.writeTextFile(`${library}.c`, SLOW_SYNC);
  await using compiling = Process.start("cc", ["-shared", "-fPIC", "-o", library, `${library}.c`, "-ldl"], {
    cwd: folder,
  });
  assertEquals((await compiling.end()).code, 0);
  return { LD_PRELOAD: library };
}
