/** Waiting that can be ended. */
import type { Clock } from "./clock.ts";

/** Resolves after `durationMs`, or as soon as `signal` is aborted; leaves neither timer nor listener behind. */
export async function pause(
  durationMs: number,
  { clock, signal }: { readonly clock: Pick<Clock, "after">; readonly signal: AbortSignal },
): Promise<void> {
  if (signal.aborted) return;
  const done = Promise.withResolvers<void>();
  const wake = (): void => done.resolve();
  const timer = clock.after(durationMs, wake);
  signal.addEventListener("abort", wake);
  await done.promise;
  timer.cancel();
  signal.removeEventListener("abort", wake);
}
