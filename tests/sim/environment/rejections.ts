/** Unhandled rejections of simulated processes: each of them would end a real process. */
import type { Simulation } from "../simulation.ts";

/** Makes every unhandled rejection a violation of the simulation until it is disposed of. */
export function watchRejections(simulation: Simulation): Disposable {
  const onRejection = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    const { reason } = event;
    simulation.violated(
      `a promise was rejected and nothing handled it: ${reason instanceof Error ? reason.stack : reason}`,
    );
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  return { [Symbol.dispose]: () => globalThis.removeEventListener("unhandledrejection", onRejection) };
}
