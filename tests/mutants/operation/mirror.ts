/** Mutants of the mirror of an etcd: order, completeness, and what is deleted. */
import { MIRROR } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

export const MIRROR_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/cli/mirror/mirror.ts", [MIRROR], [
    {
      id: "M3131",
      title: "after a restore of etcd the newest revision is that of before",
      failure: "an idle watch is begun again every half a minute",
      from: "        this.#newest = 0;\n",
      to: "",
    },
    {
      id: "M3100",
      title: "a watch begins one revision too late",
      failure: "a change that etcd made while the mirror was away is never made",
      from: "const from = (this.#applied ?? 0) + 1;",
      to: "const from = (this.#applied ?? -1) + 2;",
    },
    {
      id: "M3101",
      title: "an etcd with an older history is followed as if it were the same",
      failure:
        "after a restore of etcd the mirror waits for revisions to come, and keeps keys that etcd does not have",
      from: "position.clusterId !== this.#clusterId || position.revision < from - 1",
      to: "position.clusterId !== this.#clusterId",
    },
    {
      id: "M3102",
      title: "the pages of a copy are of different revisions",
      failure: "a change during the copy is in it by half, and the watch begins before it",
      from: "revision: copied?.revision ?? null }",
      to: "revision: null }",
    },
    {
      id: "M3103",
      title: "progress does not count as mirrored",
      failure: "a mirror of a prefix that changes seldom copies everything again after each interruption",
      from: 'if (message.kind === "progress") await',
      to: 'if (message.kind === "progress" && message.revision < 0) await',
    },
  ]),
  ...inFile("lib/cli/mirror/mirror_target.ts", [MIRROR], [
    {
      id: "M3104",
      title: "a copy leaves keys that etcd does not have",
      failure: "keys that were deleted during a compaction come back for readers of the mirror",
      from: "await pending.add({ key: existing.key, value: null });",
      to: "void pending;",
    },
    {
      id: "M3105",
      title: "a key that is left out keeps its old value",
      failure: "readers see an old value as if etcd had it",
      from: "return { key: named, value: isLeftOut ? null : value };",
      to: "return isLeftOut ? null : { key: named, value };",
    },
    {
      id: "M3106",
      title: "a write that the cluster did not answer is not repeated",
      failure: "an election of kvraft ends the mirror",
      from: "if (!isTransient || signal.aborted) throw error;",
      to: "if (isTransient || signal.aborted) throw error;",
    },
  ]),
  ...inFile("lib/cli/mirror/left_out_keys.ts", [MIRROR], [
    {
      id: "M3130",
      title: "a key that is only counted is one that kvraft cannot hold",
      failure: "with 65,537 keys of leases a mirror that lost nothing ends with exit code 1",
      from: "return this.#hasLostFurther ||",
      to: "return this.#further > 0 ||",
    },
  ]),
  ...inFile("lib/cli/mirror/revision_queue.ts", [MIRROR], [
    {
      id: "M3107",
      title: "a revision that comes in two messages is made in two parts",
      failure: "a reader sees half a transaction of etcd",
      from: "return isComplete ? [...complete, ...this.#flush()] : complete;",
      to: "return [...complete, ...this.#flush()];",
    },
  ]),
  ...inFile("lib/cli/mirror/etcd_gateway.ts", [MIRROR], [
    {
      id: "M3108",
      title: "a token that etcd has forgotten is used again",
      failure: "the mirror ends at the first restart of an etcd with users",
      from: "      this.#token = null;\n      await this.#signIn(signal);\n      return await request();",
      to: "      return await request();",
    },
  ]),
  ...inFile("lib/cli/commands/keys/mirror.ts", [MIRROR], [
    {
      id: "M3109",
      title: "a mirror deletes the keys of a cluster that is in use without being asked",
      failure: "a wrong --cluster loses its data",
      from: "if (!options.has(OVERWRITE.name) && !await target.isEmpty()) throw notEmpty(toPrefix);",
      to: "if (options.has(OVERWRITE.name) && !await target.isEmpty()) throw notEmpty(toPrefix);",
    },
    {
      id: "M3231",
      title: "the scheme of a member of etcd behind the first one is not looked at",
      failure: "a member written with https:// is asked without TLS, and gets the password in the clear",
      from: "if (given !== scheme) {",
      to: "if (given === address) {",
    },
  ]),
];
