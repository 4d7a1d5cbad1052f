/**
 * Promises that something else settles, and waiting that can be ended. The client library runs in Node 20, which has no
 * `Promise.withResolvers`; what that library imports uses {@link withResolvers}.
 */
import type { Clock } from "./clock.ts";

/** Returns a promise and the functions that settle it. */
export function withResolvers<T>(): PromiseWithResolvers<T> {
  if (Promise.withResolvers !== undefined) return Promise.withResolvers();
  let resolve: PromiseWithResolvers<T>["resolve"] = () => {};
  let reject: PromiseWithResolvers<T>["reject"] = () => {};
  const promise = new Promise<T>((...settlers) => [resolve, reject] = settlers);
  return { promise, resolve, reject };
}

/** Resolves after `durationMs`, or as soon as `signal` is aborted; leaves neither timer nor listener behind. */
export async function pause(
  durationMs: number,
  { clock, signal }: { readonly clock: Pick<Clock, "after">; readonly signal: AbortSignal },
): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = withResolvers<void>();
  const timer = clock.after(durationMs, resolve);
  const onAbort = (): void => resolve();
  signal.addEventListener("abort", onAbort);
  await promise;
  timer.cancel();
  signal.removeEventListener("abort", onAbort);
}

/** Resolves to the value of `promise`, or to null as soon as `signal` is aborted; leaves no listener behind. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | null> {
  if (signal.aborted) return null;
  const { promise: aborted, resolve } = withResolvers<null>();
  const onAbort = (): void => resolve(null);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Returns a signal that is aborted as soon as one of `signals` is, with its reason. Its owner calls `release`, after which
 * nothing listens to them. (`AbortSignal.any` keeps listeners of signals that live longer.)
 */
export function linkedSignal(
  signals: readonly AbortSignal[],
): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const releases = signals.map((signal) => {
    const onAbort = (): void => controller.abort(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    return (): void => signal.removeEventListener("abort", onAbort);
  });
  return { signal: controller.signal, release: () => releases.forEach((release) => release()) };
}
