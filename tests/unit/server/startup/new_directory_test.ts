/** makeDirectory: a server can start from the directory, and a directory of another node is not changed. */
import { assertEquals, assertRejects } from "@std/assert";
import { StateMachine } from "../../../../lib/kv/mod.ts";
import { foundingConfiguration } from "../../../../lib/server/membership/members.ts";
import {
  DirectoryInUseError,
  makeDirectory,
  type NewDirectory,
} from "../../../../lib/server/startup/new_directory.ts";
import { recoverState } from "../../../../lib/server/startup/recovered_state.ts";
import { SERVER_LIMITS, stateMachineOptionsOf } from "../../../../lib/server/config/server_limits.ts";
import { writeState } from "../../../../lib/server/snapshot/state_codec.ts";
import { DataDirectory } from "../../../../lib/storage/mod.ts";
import { MemoryDisk } from "../../../support/fakes/memory_disk.ts";

const FOUNDERS = [{ id: 1, address: "n1:7001" }];
const INDEX = 7;
const TERM = 3;

function folderAt(disk: MemoryDisk, path: string): NewDirectory {
  const machine = new StateMachine(stateMachineOptionsOf(SERVER_LIMITS));
  const mutations = [{ kind: "put", key: new Uint8Array([1]), value: new Uint8Array([2]) }] as const;
  for (let index = 1; index <= INDEX; index++) {
    machine.apply(index, { kind: "transaction", session: null, checks: [], mutations });
  }
  const view = machine.snapshot();
  return {
    disk,
    path,
    random: () => 0.5,
    identity: { clusterId: "0123456789abcdef", clusterName: "kvraft", nodeId: 1, founders: FOUNDERS },
    index: INDEX,
    term: TERM,
    revision: view.revision,
    formatVersion: 1,
    configuration: foundingConfiguration(FOUNDERS),
    advice: "Do it again.",
    isNamedLater: false,
    writeChunks: async (write) =>
      await writeState(view, { write, yieldToEventLoop: () => Promise.resolve() }),
  };
}

Deno.test("makeDirectory: a server starts from a directory that was made with a state, also after a loss of power", async () => {
  const made = new MemoryDisk();
  await makeDirectory(folderAt(made, "/data"));
  const disk = made.crash(() => false);

  const directory = await DataDirectory.open({ disk, path: "/data" });
  const { identity } = directory;
  if (identity === null) throw new Error("the folder has no identity");
  const silent = (): void => {};
  const { stateMachine, recovered, log } = await recoverState({
    disk,
    directory,
    identity,
    segmentBytes: 4_096,
    entryCacheBytes: 1_024,
    stateMachineOptions: stateMachineOptionsOf(SERVER_LIMITS),
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    yieldToEventLoop: () => Promise.resolve(),
  });
  await log.close();
  directory.close();

  const { compacted, lastIndex, hardState } = recovered;
  assertEquals({ compacted, lastIndex, hardState }, {
    compacted: { index: INDEX, term: TERM },
    lastIndex: INDEX,
    hardState: { term: TERM, vote: null, commitIndex: INDEX },
  });
  assertEquals({ keys: stateMachine.keyCount, appliedIndex: stateMachine.appliedIndex }, {
    keys: 1,
    appliedIndex: INDEX,
  });
});

Deno.test("makeDirectory: a directory that has an identity is refused", async () => {
  const disk = new MemoryDisk();
  await makeDirectory(folderAt(disk, "/data"));
  await assertRejects(
    () => makeDirectory(folderAt(disk, "/data")),
    DirectoryInUseError,
    "it is that of node 1",
  );
});
