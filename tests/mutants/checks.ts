/** The checks that can detect a mutant: commands that pass on the unchanged code, fast ones first. */

/** One command. */
export interface Check {
  readonly name: string;
  /** Arguments of `deno`, without the flags that every run gets (laboratory.ts). */
  readonly args: readonly string[];
  /** A check that takes longer has hung, which detects the mutant too. */
  readonly deadlineMs: number;
}

/** Default limit for mutants that loop; on an idle machine every check needs less than a tenth of it. */
const TEST_DEADLINE_MS = 120_000;
const CAMPAIGN_DEADLINE_MS = 300_000;
/** Seeds that the simulator runs for each mutant that earlier checks did not notice. */
const SIMULATED_SEEDS = "1..60";
const SIMULATED_USER_SEEDS = "1..45";
/** Runs of the hostile programs: four of each scenario. */
const HOSTILE_SEEDS = "1..20";

/** Returns the check that runs the tests of a file or folder, up to the first failure. */
export function tests(name: string, ...args: readonly string[]): Check {
  return { name, args: ["test", "--fail-fast", ...args], deadlineMs: TEST_DEADLINE_MS };
}

/** Scripts of the core: a third of a second. */
export const GOLDEN = tests("golden", "tests/golden");
/** The core's own tests without the campaign of random faults. */
export const RAFT = tests("raft", "tests/unit/raft", "--ignore=tests/unit/raft/random_test.ts");
/** Three to five cores under random faults. */
export const RANDOM = tests("random", "tests/unit/raft/random_test.ts");
/** The store and its sessions. */
export const KV = tests("kv", "tests/unit/kv");
/** The data directory and the log, with crashes at every step. */
export const STORAGE = tests("storage", "tests/unit/storage");
/** Every disk state that a power loss may leave before any disk operation. */
export const RECORDING = tests("recording", "tests/unit/storage/crash_consistency_test.ts");
/** Arbitrary bytes for every decoder of external input. */
export const FUZZ = tests("fuzz", "tests/fuzz");
/** Hostile clients and members against simulated nodes. */
export const HOSTILE: Check = {
  name: "hostile",
  args: ["run", "-A", "tests/fuzz/hostile/main.ts", "--seeds", HOSTILE_SEEDS],
  deadlineMs: CAMPAIGN_DEADLINE_MS,
};
/** Backups, restores and recoveries with real processes, whose permissions are those of the compiled form. */
export const BACKUP = tests("backup", "tests/cluster/backup_test.ts", "--filter=standard input");
/** Attempts to use paths beyond the paths that its flags name. */
export const NAMED_PATHS = tests("named paths", "tests/unit/platform/named_paths_test.ts");
/** The permissions of the executable. */
export const PERMISSIONS = tests("permissions", "tests/cluster/security/permissions_test.ts");
/** The map of whole numbers. */
export const NUMBER_MAP = tests("number map", "tests/unit/platform/number_map_test.ts");
/** Frames and their format. */
export const FRAMES = tests(
  "frames",
  "tests/unit/transport/frame_test.ts",
  "tests/unit/protocol/msgpack_test.ts",
);
/** The listener, with hostile connections. */
export const LISTENER = tests(
  "listener",
  "tests/unit/transport/listener_test.ts",
  "tests/unit/transport/pending_hellos_test.ts",
);
/** All tests of the transport. */
export const NET = tests("net", "tests/unit/platform", "tests/unit/protocol", "tests/unit/transport");
/** The web server. */
export const WEB = tests("web", "tests/unit/web");
/** The driver and its callers. */
export const SERVER = tests("server", "tests/unit/server");
/** The log that a server writes. */
export const LOG = tests("log", "tests/unit/platform/logger_test.ts");
/** The client's library. */
export const CLIENT = tests("client", "tests/unit/client");
/** Sign-ins of the client's library. */
export const SIGN_IN = tests("sign-in", "tests/unit/client/auth");
/** The command line and the shell. */
export const CLI = tests("cli", "tests/unit/cli");
/** The mirror of an etcd. */
export const MIRROR = tests("mirror", "tests/unit/cli/mirror");
/** The rules of doctor. */
export const DIAGNOSIS = tests("diagnosis", "tests/unit/diagnosis");
/** Secrets on the command line and in the shell. */
export const PROMPTS = tests(
  "prompts",
  "tests/unit/cli/secrets_test.ts",
  "tests/unit/cli/shell/shell_test.ts",
);
/** The linearizability checker on transactions with branches and on reads of the past. */
export const LINCHECK = tests("lincheck", "tests/unit/lincheck/branches_test.ts");
/** All reachable states of three cores within small bounds. */
export const MODEL: Check = {
  name: "model",
  args: ["run", "-A", "tests/model/main.ts", "--short"],
  deadlineMs: CAMPAIGN_DEADLINE_MS,
};
/** Whole clusters in virtual time. */
export const SIM: Check = {
  name: "sim",
  args: ["run", "-A", "tests/sim/main.ts", "--seeds", SIMULATED_SEEDS],
  deadlineMs: CAMPAIGN_DEADLINE_MS,
};

/** Whole clusters with users whose rights change: about ten runs. */
export const SIM_USERS: Check = {
  name: "sim-users",
  args: ["run", "-A", "tests/sim/main.ts", "--users", "--seeds", SIMULATED_USER_SEEDS],
  deadlineMs: CAMPAIGN_DEADLINE_MS,
};

/** Every check by name, for runs with a single check. */
export const ALL_CHECKS: readonly Check[] = [
  GOLDEN,
  RAFT,
  RANDOM,
  KV,
  STORAGE,
  RECORDING,
  FUZZ,
  NUMBER_MAP,
  FRAMES,
  BACKUP,
  LISTENER,
  NET,
  WEB,
  PERMISSIONS,
  LOG,
  SERVER,
  CLIENT,
  SIGN_IN,
  PROMPTS,
  MIRROR,
  CLI,
  DIAGNOSIS,
  LINCHECK,
  MODEL,
  SIM,
  SIM_USERS,
  HOSTILE,
];
