/**
 * The permissions of Deno that this program runs with, and their reduction once its flags are read.
 *
 * Deno can only take permissions away: an entry of a list (`--allow-read=/,/var/lib/kvraft`) or all of a kind, no part of
 * an entry, and nothing of a permission without a list. So the compiled program has the whole file system as one entry and
 * the usual places as others. If its flags name nothing but usual places, it revokes the first, and Deno itself refuses
 * everything else from then on. Otherwise only the program does (lib/platform/named_paths.ts).
 */
import { resolve } from "@std/path";
import { isWithin, type NamedPaths, realPath } from "../../platform/named_paths.ts";
import { EVERYWHERE, USUAL_PLACES } from "./usual_places.ts";

/** Revokes what a program does not need that from now on uses the network and these paths only. */
export function narrowPermissions({ reads, writes }: NamedPaths): void {
  for (const name of ["env", "run", "ffi", "sys", "import"] as const) Deno.permissions.revokeSync({ name });
  narrow("read", [...reads, ...writes]);
  narrow("write", writes);
}

function narrow(name: "read" | "write", paths: readonly string[]): void {
  if (paths.length === 0) {
    Deno.permissions.revokeSync({ name });
    return;
  }
  const places = USUAL_PLACES[name].map((place) => resolve(place));
  // Deno compares paths as they are given; the files that they lead to must be below a usual place for its checks, too.
  const needed = [...paths, ...paths.map(realPath)];
  if (!needed.every((path) => places.some((place) => isWithin(path, place)))) return;
  const used = places.filter((place) => needed.some((path) => isWithin(path, place)));
  const unused = places.filter((place) => !used.some((one) => isWithin(place, one)));
  // Revoking a path revokes the entries that contain it.
  for (const path of [EVERYWHERE, ...unused]) Deno.permissions.revokeSync({ name, path });
}
