/** Dependent steps of a test. */

/** Runs a step; later steps depend on it, so its failure ends the test. */
export async function step(t: Deno.TestContext, name: string, run: () => Promise<void>): Promise<void> {
  if (!await t.step(name, run)) throw new Error(`What follows builds upon the step that failed: ${name}`);
}
