/** Mutants of the check of watches: each accepts something wrong, or refuses something right. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const WATCHES = tests("watches", "tests/unit/lincheck/watches");
const WATCHERS = tests(
  "watchers",
  "tests/unit/loadgen/watching",
  "tests/unit/cli/commands/check_watch_test.ts",
);

/** The mutants of `lib/lincheck/watches` and of the watchers of a workload. */
export const WATCH_CHECK_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/lincheck/watches/coverage.ts", [WATCHES], [
    {
      id: "M840",
      title: "a reset does not end what a watch covers",
      failure: "changes that were compacted are missed in a watch that cannot show them",
      from:
        "if (after !== null) intervals.push({ after, upTo });\n      [after, upTo] = [revision, revision];",
      to: "after ??= revision;\n      upTo = revision;",
    },
    {
      id: "M841",
      title: "two watches that cover neighbouring revisions leave a gap between them",
      failure: "a version that is too high by one is found right after a watch was started again",
      from: "last.upTo < interval.after",
      to: "last.upTo <= interval.after",
    },
  ]),
  ...inFile("lib/lincheck/watches/form.ts", [WATCHES], [
    {
      id: "M842",
      title: "a revision may be shown twice",
      failure: "a watch that doubles a revision is found right",
      from: 'const isInOrder = kind === "events" ? revision > upTo : revision >= upTo;',
      to: "const isInOrder = revision >= upTo;",
    },
    {
      id: "M843",
      title: "a watch from the present on may begin before its request",
      failure: "a node that lags shows old events as new ones, and is found right",
      from: 'const isOld = kind === "events" ? revision <= reached : revision < reached;',
      to: "const isOld = revision < 0 && reached > 0;",
    },
  ]),
  ...inFile("lib/lincheck/watches/agreement.ts", [WATCHES, WATCHERS], [
    {
      id: "M844",
      title: "a watch need not show what answers alone say",
      failure: "an acknowledged write that no watch shows is not missed",
      from: "return claimed.find((kind) => passes(only, kind)) ?? null;",
      to: 'return claimed.length > 1_000 ? "put" : null;',
    },
  ]),
  ...inFile("lib/lincheck/watches/authors.ts", [WATCHES], [
    {
      id: "M846",
      title: "a write of unknown outcome may make several revisions",
      failure: "a retry that is applied a second time is not found",
      from: "if (earlier !== undefined) {",
      to: "if (earlier === revision) {",
    },
  ]),
  ...inFile("lib/lincheck/watches/effects.ts", [WATCHES], [
    {
      id: "M845",
      title: "a write that was certainly not applied may be the author of an event",
      failure: "a refused write that took effect nevertheless is not found",
      from: 'case "notApplied":\n      return { kind: "nothing" };',
      to: 'case "notApplied":\n      return { kind: "possible", revision: null };',
    },
  ]),
  ...inFile("lib/lincheck/watches/timeline.ts", [WATCHES], [
    {
      id: "M847",
      title: "a previous value may be of any earlier revision",
      failure: "a watch that shows an old previous value is found right",
      from: "if (modRevision !== before.revision) {",
      to: "if (modRevision > before.revision) {",
    },
  ]),
  ...inFile("lib/lincheck/watches/leases.ts", [WATCHES], [
    {
      id: "M848",
      title: "a lease may end before its time to live has passed",
      failure: "a leader that ends leases early is found right",
      from: "if (seenAt >= earliest.at) return;",
      to: "if (seenAt >= 0) return;",
    },
    {
      id: "M849",
      title: "the end of a lease may leave some of its keys",
      failure: "a key that outlives its lease is not found",
      from: "if (state === null || !state.isCurrent || state.entry?.leaseId !== leaseId) continue;",
      to: "if (state === null || state.isCurrent || state.entry?.leaseId !== leaseId) continue;",
    },
  ]),
  ...inFile("lib/lincheck/watches/evidence.ts", [WATCHES], [
    {
      id: "M850",
      title: "what a watch showed before the answer is not part of the history",
      failure: "a read that misses a write which a watch has already shown is found right",
      from: "if (returnedAt !== null && returnedAt <= first.receivedAt) return [];",
      to: "if (maker !== null || returnedAt !== null) return [];",
    },
    {
      id: "M851",
      title: "a lease cannot end after the last revision of a watch",
      failure: "a key that is absent because its lease ended unseen is found wrong",
      from: "if (next !== undefined && states.at(",
      to: "if (next === undefined || states.at(",
    },
  ]),
  ...inFile("lib/lincheck/watches/resets.ts", [WATCHES], [
    {
      id: "M852",
      title: "a reset may leave out keys",
      failure: "a watch that resumes with an incomplete state is found right",
      from: "if (state.entry !== null && state.isCurrent) {",
      to: "if (state.entry !== null && !state.isCurrent) {",
    },
  ]),
  ...inFile("lib/loadgen/watching/watched_workload.ts", [WATCHERS], [
    {
      id: "M853",
      title: "a workload begins before its watchers",
      failure: "the first changes are not checked",
      from: "await watchers.begun(BEGIN_MS);",
      to: "",
    },
  ]),
];
