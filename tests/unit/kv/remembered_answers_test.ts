/** RememberedAnswers: it behaves as a map from sequences to answers, whether they fit into its table or not. */
import { assertEquals } from "@std/assert";
import type { WriteResult } from "../../../lib/kv/record.ts";
import { RememberedAnswers } from "../../../lib/kv/sessions/remembered_answers.ts";
import { SeededRandom } from "../../support/seeded_random.ts";

/** More than the slots of the table, so that some sequences have the same slot. */
const SEQUENCES = 600;

function anyAnswer(random: SeededRandom): WriteResult {
  const revision = 1 + random.below(2 ** 40);
  const put = {
    kind: "put",
    createRevision: 1 + random.below(revision),
    version: 1 + random.below(9),
  } as const;
  if (random.chance(0.3)) return { kind: "databaseWritten", revision };
  if (random.chance(0.6)) return { kind: "applied", revision, outcomes: [put] };
  if (random.chance(0.3)) return { kind: "checksFailed", revision, failedChecks: [0, 2], current: "omitted" };
  if (random.chance(0.5)) return { kind: "applied", revision, outcomes: [put, put] };
  return { kind: "applied", revision, outcomes: [{ kind: "delete", deleted: true }] };
}

function content(answers: RememberedAnswers): readonly (readonly [number, WriteResult | null])[] {
  return answers.sequences().map((sequence) => [sequence, answers.get(sequence)]);
}

Deno.test("RememberedAnswers: after any sequence of calls, and in a copy, the answers are those of a map", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new SeededRandom(seed);
    const window = [8, 100, SEQUENCES][seed % 3] ?? SEQUENCES;
    let answers = new RememberedAnswers();
    const model = new Map<number, WriteResult>();
    for (let step = 0; step < 400; step++) {
      const sequence = 1 + random.below(window) + (seed % 2) * 2 ** 40;
      assertEquals(answers.has(sequence), model.has(sequence));
      if (model.has(sequence)) {
        answers.delete(sequence);
        model.delete(sequence);
      } else {
        const answer = anyAnswer(random);
        answers.add(sequence, answer);
        model.set(sequence, answer);
      }
      assertEquals(answers.size, model.size);
      if (step % 100 !== 50) continue;
      const old = answers;
      answers = answers.copy();
      for (const sequence of old.sequences()) old.delete(sequence);
      assertEquals([old.size, old.bytes], [0, 0]);
    }
    assertEquals(content(answers), [...model].sort(([a], [b]) => a - b), `seed ${seed}`);
  }
});

Deno.test("RememberedAnswers: an answer counts for the same bytes in the table and beside it", () => {
  const answers = new RememberedAnswers();
  const put = { kind: "put", createRevision: 1, version: 1 } as const;
  for (let sequence = 1; sequence <= SEQUENCES; sequence++) {
    const applied = { kind: "applied", revision: sequence, outcomes: [put] } as const;
    answers.add(sequence, sequence % 2 === 0 ? applied : { kind: "databaseWritten", revision: sequence });
    assertEquals(answers.bytes, sequence * 96);
  }
});
