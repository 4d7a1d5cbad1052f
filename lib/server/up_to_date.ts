/** How requests wait until the state of this node contains every write that was acknowledged before. */
import type { Driver } from "./driver.ts";
import type { Replica, TakeReadiness } from "./replica.ts";

/** Calls `answer` once: with true when the state is up to date, with false when no leader confirms it. */
export function whenUpToDate(
  { driver, replica }: {
    readonly driver: Pick<Driver, "readIndex">;
    readonly replica: Pick<Replica, "awaitRead">;
  },
  answer: TakeReadiness,
): void {
  const asked = driver.readIndex();
  if (asked.kind === "refused") return answer(false);
  replica.awaitRead(asked.readId, answer);
}
