/** cluster.sh in a copy of the checkout, called from another folder, on free ports. */
import { assert, assertEquals } from "@std/assert";
import { dirname } from "@std/path";
import { copyCheckout } from "../support/checkout.ts";
import { eventually } from "../support/eventually.ts";
import { openPaths } from "../support/processes/file_modes.ts";
import { type Finished, Process, runs, skip } from "../support/processes/process.ts";
import { step } from "../support/step.ts";
import { freePorts, TemporaryFolder } from "../support/temporary.ts";

const SCRIPT_DEADLINE_MS = 120_000;

/** A copy of the checkout with a cluster of its own. */
class Copy implements AsyncDisposable {
  readonly basePort = freePorts(4);
  readonly #folder: TemporaryFolder;

  private constructor(folder: TemporaryFolder) {
    this.#folder = folder;
  }

  static async make(): Promise<Copy> {
    const folder = await TemporaryFolder.make();
    copyCheckout(folder.path);
    return new Copy(folder);
  }

  get path(): string {
    return this.#folder.path;
  }

  /** Runs ./cluster.sh with these arguments; it must exit with `code`. */
  async run(args: readonly string[], { code = 0 }: { code?: number } = {}): Promise<Finished> {
    // With a umask that withholds nothing, so that files are private only because the script makes them so.
    const script = ["-c", 'umask 000; exec bash "$@"', "bash", `${this.path}/cluster.sh`, ...args];
    await using process = Process.start("bash", script, {
      cwd: "/",
      env: this.#env,
    });
    const finished = await process.end({ deadlineMs: SCRIPT_DEADLINE_MS });
    assertEquals(finished.code, code, `cluster.sh ${args.join(" ")}\n${process.printed}`);
    return finished;
  }

  /** Runs a line of a shell in the copy. */
  async shell(line: string): Promise<Finished> {
    await using process = Process.start("bash", ["-c", line], { cwd: this.path, env: this.#env });
    return await process.end({ deadlineMs: SCRIPT_DEADLINE_MS });
  }

  /** Runs a command as the foreground of a terminal, and presses Ctrl-C once `isDue` succeeds, which gets its output. */
  async interrupted(command: string, isDue: string): Promise<Finished> {
    return await this.shell(`
      set -m
      ./cluster.sh ${command} > interrupted 2>&1 &
      until ${isDue} interrupted; do sleep 0.02; done
      kill -INT -- -$!
      wait $!
      echo $?
      cat interrupted`);
  }

  get #env(): Record<string, string> {
    return {
      KVRAFT_BASE_PORT: `${this.basePort}`,
      KVRAFT_SOURCE: "1",
      PATH: `${dirname(Deno.execPath())}:${Deno.env.get("PATH") ?? ""}`,
    };
  }

  /** Returns the leader. */
  async leader(): Promise<number> {
    return await eventually("there is a leader", async () => {
      const { stdout } = await this.run(["client", "status", "--output", "json"]);
      return JSON.parse(stdout).leader;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run(["stop"]);
    await this.run(["clean"]);
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** Restarts the nodes with flags, and checks the modes of all files. */
async function checkModes(t: Deno.TestContext, copy: Copy): Promise<void> {
  await step(t, "data, logs and pid files are their owner's alone", async () => {
    await copy.run(["stop"]);
    await copy.run(["start", "3", "--", "--log-level", "debug"]);
    const names = [...Deno.readDirSync(`${copy.path}/data`)].map(({ name }) => name).sort();
    const nodes = [1, 2, 3].flatMap((id) => [`node-${id}`, `node-${id}.log`, `node-${id}.pid`]);
    assertEquals(names, ["cluster", "flags", ...nodes]);
    const mode = (Deno.statSync(`${copy.path}/data`).mode ?? 0) & 0o777;
    assertEquals([mode, openPaths(`${copy.path}/data`)], [0o700, []]);
  });
}

Deno.test("cluster.sh: starts a cluster, survives kill -9, and cleans up", async (t) => {
  await using copy = await Copy.make();
  const run = copy.run.bind(copy);

  await step(t, "start puts and gets a first key, and prints the next commands", async () => {
    const { stdout } = await run([]);
    assert(stdout.includes("hello, world"), stdout);
    assert(stdout.includes("./cluster.sh client"), stdout);
  });

  await slips(t, copy);

  await step(t, "a second start prints the status", async () => {
    const { stdout } = await run(["start"]);
    assert(stdout.includes("runs already"), stdout);
  });

  await step(t, "a write succeeds after the leader was killed, and the killed node comes back", async () => {
    await run(["client", "put", "before", "1"]);
    const leader = await copy.leader();
    await run(["kill", `${leader}`]);
    await run(["client", "put", "after", "2"]);
    await run(["restart", `${leader}`]);
    const { stdout } = await run(["status"]);
    assert(!stdout.includes("is down"), stdout);
  });

  await step(t, "stop leaves nothing running, and the data", async () => {
    await run(["stop"]);
    const { stdout } = await run(["status"], { code: 3 });
    assert(stdout.includes("Nothing runs"), stdout);
  });

  await step(t, "every write is in the store after kill -9 of all nodes", async () => {
    await run(["start"]);
    for (const node of ["1", "2", "3"]) await run(["kill", node]);
    await run(["start"]);
    assertEquals((await run(["client", "get", "before"])).stdout, "1");
    assertEquals((await run(["client", "get", "after"])).stdout, "2");
  });

  await step(t, "a suspended node resumes, and its log can be read", async () => {
    await run(["pause", "1"]);
    await run(["resume", "1"]);
    const { stdout } = await run(["logs", "1"]);
    assert(stdout.includes("ready to serve"), stdout);
  });

  await step(t, "add starts one more voter, remove removes it, and its id is not used again", async () => {
    await run(["add"]);
    const voters = async (): Promise<unknown> => {
      const { stdout } = await run(["client", "members", "--output", "json"]);
      return JSON.parse(stdout).members.map(({ id, role }: { id: number; role: string }) => `${role} ${id}`);
    };
    assertEquals(await voters(), ["voter 1", "voter 2", "voter 3", "voter 4"]);
    await run(["restart", "4"]);
    await run(["remove", "4"]);
    assertEquals(await voters(), ["voter 1", "voter 2", "voter 3"]);
    const { stderr } = await run(["restart", "4"], { code: 2 });
    assert(stderr.includes("There is no node 4: this cluster has nodes 1 2 3."), stderr);
  });

  await locksAndFlags(t, copy);

  await step(t, "clean removes every trace", async () => {
    await run(["clean"]);
    const traces = [...Deno.readDirSync(copy.path)].map(({ name }) => name).filter((name) => name === "data");
    assertEquals(traces, []);
  });
});

/** Checks the refusals of a running cluster, and its output for scripts. */
async function slips(t: Deno.TestContext, copy: Copy): Promise<void> {
  await step(t, "surplus arguments are refused", async () => {
    for (const surplus of [["stop", "2"], ["kill", "1", "2"], ["clean", "4"]]) {
      const { stderr } = await copy.run(surplus, { code: 2 });
      assert(stderr.includes(`${surplus[0]} takes `), stderr);
    }
  });

  await step(t, "clean refuses while a node runs, also one whose pid file is lost", async () => {
    for (const lost of ["none", "node-2.pid"]) {
      if (lost !== "none") Deno.removeSync(`${copy.path}/data/${lost}`);
      const { stderr } = await copy.run(["clean"], { code: 1 });
      assert(/it is in use by n1 \(pid \d+\) n2 \(pid \d+\) n3 /.test(stderr), stderr);
    }
    assert(!(await copy.run(["status"])).stdout.includes("is down"));
  });

  await step(t, "a value into a file is its bytes, and an argument that is no UTF-8 is refused", async () => {
    const { code, stdout } = await copy.shell(
      `./cluster.sh client put k 'two words' > /dev/null && ./cluster.sh client get k > value && cat value`,
    );
    assertEquals([code, stdout], [0, "two words"]);
    const piped = await copy.shell(
      "mkfifo pipe && { printf 'through a pipe' > pipe & } && ./cluster.sh client put k --file pipe > /dev/null && " +
        "./cluster.sh client get k",
    );
    assertEquals([piped.code, piped.stdout], [0, "through a pipe"]);
    const refused = await copy.shell(`./cluster.sh client delete "$(printf 'k\\377')"`);
    assert(refused.code === 2 && refused.stderr.includes("--key-base64"), refused.stderr);
    const full = await copy.shell("./cluster.sh client put k v > /dev/full");
    assert(full.code === 5 && full.stderr.includes("The command was carried out: revision "), full.stderr);
  });

  await step(t, "a demo that is interrupted removes its keys", async () => {
    const { stdout } = await copy.interrupted("demo", "grep -qs 'writers, each'");
    assert(/^130\n.*Interrupted: removing the keys.*Removed \d+ keys\./s.test(stdout), stdout);
    assertEquals((await copy.run(["client", "list", "demo/"])).stdout, "");
  });
  await checkModes(t, copy);
}

/** Checks the state kept between commands: a stale lock, and flags for the servers. Leaves the nodes stopped. */
async function locksAndFlags(t: Deno.TestContext, copy: Copy): Promise<void> {
  await step(t, "a lock whose holder was killed is taken over", async () => {
    Deno.mkdirSync(`${copy.path}/.cache/cluster.lock`, { recursive: true });
    Deno.writeTextFileSync(`${copy.path}/.cache/cluster.lock/pid`, "999999999\n");
    assert((await copy.run(["restart", "1"])).stdout.includes("Node 1 serves"));
    await copy.run(["stop"]);
  });

  await step(t, "flags after -- are passed to every server, and kept for later starts", async () => {
    const { stderr } = await copy.run(["start", "--", "--bind", "127.0.0.1:1"], { code: 2 });
    assert(stderr.includes("--bind is given to each node by cluster.sh itself"), stderr);
    const http = freePorts(3);
    await copy.run(["start", "3", "--", "--http", `127.0.0.1:${http}`, "--read-mode=lease"]);
    await copy.run(["restart", "2"]);
    for (const node of [1, 2, 3]) {
      const pid = Deno.readTextFileSync(`${copy.path}/data/node-${node}.pid`).trim();
      const words = Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0");
      // One address can't serve all nodes: each has its own port.
      assertEquals(words.slice(-4, -1), ["--http", `127.0.0.1:${http + node - 1}`, "--read-mode=lease"]);
    }
    await copy.run(["start", "--", "--log-level", "info"], { code: 1 });
    await copy.run(["stop"]);
    await copy.run(["start", "--", `--http=${http}`]);
    for (const node of [1, 2, 3]) {
      const pid = Deno.readTextFileSync(`${copy.path}/data/node-${node}.pid`).trim();
      assert(Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes(`--http=${http + node - 1}\0`));
    }
    await copy.run(["stop"]);
    await copy.run(["start", "--"]);
    const pid = Deno.readTextFileSync(`${copy.path}/data/node-1.pid`).trim();
    assert(!Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes("--read-mode"));
    await copy.run(["stop"]);
  });
}

Deno.test("cluster.sh: wrong flags, an interrupted add and another working folder leave nothing wrong behind", async (t) => {
  await using copy = await Copy.make();
  const run = copy.run.bind(copy);
  const flagsFile = `${copy.path}/data/flags`;

  await step(t, "flags with which no node starts are not stored", async () => {
    const { stderr } = await run(["start", "1", "--", "--no-such-flag"], { code: 1 });
    assert(stderr.includes("There is no option --no-such-flag"), stderr);
    assert(stderr.includes("The flags after -- were not stored."), stderr);
    await run(["start"]);
  });

  await step(t, "the client reads files of the caller's folder, also through a symbolic link", async () => {
    const { code, stdout } = await copy.shell(
      'mkdir other && printf mine > other/x && printf wrong > x && ln -s "$PWD/cluster.sh" other/kv && cd other && ' +
        "./kv client put k --file x > /dev/null && ./kv client get k",
    );
    assertEquals([code, stdout], [0, "mine"]);
  });

  await step(t, "an add that is interrupted before the cluster was asked leaves no node", async () => {
    const { stdout } = await copy.interrupted("add", "[ -s data/node-2.pid ] && test -e");
    assert(stdout.startsWith("130\n"), stdout);
    const { stdout: left } = await copy.shell(
      'ls -d data/node-2*; ps -A -o args= | grep -F "$PWD/data/node-2" | grep -vc grep',
    );
    assertEquals(left, "0\n");
    assert((await run(["add"])).stdout.includes("n2 votes now"));
  });

  await step(t, "a node that never became a member is removed", async () => {
    const { stdout } = await copy.shell(
      "sed -i 's/^2 /3 /' data/cluster && ./cluster.sh remove 3 && ./cluster.sh status",
    );
    assert(stdout.includes("Node 3 is no member of the cluster.") && !stdout.includes("n3 "), stdout);
    await run(["stop"]);
  });

  await step(t, "a start that fails with stored flags says how to remove them", async () => {
    Deno.writeTextFileSync(flagsFile, "--no-such-flag\n");
    const { stderr } = await run(["start"], { code: 1 });
    assert(stderr.includes("--no-such-flag. To remove them: ./cluster.sh start 2 --"), stderr);
    // Node 2 may not have ended yet.
    await copy.shell("until ./cluster.sh status | grep -q 'Nothing runs'; do sleep 0.1; done");
    await run(["start", "2", "--"]);
  });
});

Deno.test("cluster.sh: where clients have to sign in, it says so, and changes members with the caller's user", async (t) => {
  await using copy = await Copy.make();
  await copy.run(["start", "1"]);
  await Deno.writeTextFile(`${copy.path}/ada.password`, "correct horse\n", { mode: 0o600 });
  const { code } = await copy.shell(
    "./cluster.sh client user add ada --new-password-file ada.password && ./cluster.sh client user grant ada root && " +
      "./cluster.sh client auth enable",
  );
  assertEquals(code, 0);
  const signIn = "Clients have to sign in: ./cluster.sh client --user <name>";

  await step(t, "start, whose nodes run, does not fail", async () => {
    assert((await copy.run(["start"])).stdout.includes("The cluster runs already."));
    await copy.run(["stop"]);
    const { stdout } = await copy.run(["start"]);
    assert(stdout.includes(signIn) && stdout.includes("What to try next"), stdout);
    assert((await copy.run(["status"], { code: 6 })).stderr.includes(signIn));
  });

  await step(t, "an add that was refused leaves no node", async () => {
    await copy.run(["add"], { code: 6 });
    assertEquals(
      (await copy.shell("ls -d data/node-2*; cat data/cluster")).stdout,
      `1 ${copy.basePort} 1 \n`,
    );
  });

  await step(t, "a file is one of the caller's directory, and the demo does not begin", async () => {
    const asAda = "--user ada --password-file ../ada.password";
    const { stdout, stderr } = await copy.shell(
      `mkdir other && cd other && ../cluster.sh add ${asAda} && ../cluster.sh add ${asAda} && ` +
        `../cluster.sh status ${asAda} && ../cluster.sh demo; ../cluster.sh remove 3 ${asAda} && cat ../data/cluster`,
    );
    assert(/3 voters[^]*leader n1, term[^]*n3 is removed/.test(stdout), stdout + stderr);
    assert(stderr.includes("The demo does not sign in") && !stderr.includes("A write failed"), stderr);
    assert(stdout.endsWith(`3 ${copy.basePort} 1 3\n`), stdout);
  });
});

Deno.test("cluster.sh: with --tls every command and node uses TLS, and all files are their owner's alone", async (t) => {
  if (!runs("openssl", "version")) return skip("there is no openssl");
  await using copy = await Copy.make();
  const run = copy.run.bind(copy);

  await step(t, "start makes an authority, and the nodes refuse connections without TLS", async () => {
    const { stdout } = await run(["start", "--tls", "2"]);
    assert(stdout.includes("hello, world"), stdout);
    assertEquals(openPaths(`${copy.path}/data`), []);
    const plain = `deno task -q client --cluster 127.0.0.1:${copy.basePort} get greeting`;
    const { code, stderr } = await copy.shell(plain);
    assert(code !== 0 && stderr.includes("it takes connections with TLS only"), stderr);
  });

  await step(t, "client, add and restart use it by themselves, also from another folder", async () => {
    await run(["client", "put", "a", "1"]);
    await run(["add"]);
    await run(["restart", "1"]);
    assertEquals((await run(["client", "get", "a"])).stdout, "1");
    const { stdout } = await run(["status"]);
    assertEquals([...stdout.matchAll(/runs, pid/g)].length, 3, stdout);
  });

  await step(t, "a later start uses it too", async () => {
    await run(["stop"]);
    await run(["start"]);
    assertEquals((await run(["client", "get", "a"])).stdout, "1");
  });
});

Deno.test("cluster.sh: with --etcd every node serves etcd v3, also at later starts, and it prints the line to type", async (t) => {
  await using copy = await Copy.make();
  const run = copy.run.bind(copy);
  const port = freePorts(3);
  const line = `  etcdctl --endpoints=127.0.0.1:${port},127.0.0.1:${port + 1},127.0.0.1:${
    port + 2
  } put greeting hello`;

  await step(t, "start prints the line, and every node answers", async () => {
    const { stdout } = await copy.shell(`KVRAFT_ETCD_PORT=${port} ./cluster.sh start --etcd 3`);
    assert(stdout.split("\n").includes(line), stdout);
    for (const node of [0, 1, 2]) {
      const health = await fetch(`http://127.0.0.1:${port + node}/health`);
      assertEquals(await health.text(), '{"health":"true","reason":""}');
    }
  });

  await step(t, "a start without the flag still serves it, and a taken port is named", async () => {
    await run(["stop"]);
    {
      using _ = Deno.listen({ hostname: "127.0.0.1", port: port + 1 });
      const { stderr } = await run(["start"], { code: 1 });
      assert(stderr.includes(`127.0.0.1:${port + 1}, where it is to serve etcd v3`), stderr);
    }
    assert((await run(["start"])).stdout.split("\n").includes(line));
  });

  await step(t, "a wrong port is refused", async () => {
    await run(["stop"]);
    const { code, stderr } = await copy.shell("KVRAFT_ETCD_PORT=x ./cluster.sh start --etcd");
    assert(code === 2 && stderr.includes("KVRAFT_ETCD_PORT is 'x'"), stderr);
  });
});

Deno.test("cluster.sh: with --denokv every node serves Deno KV, also at later starts, and the lines to type work", async (t) => {
  await using copy = await Copy.make();
  const run = copy.run.bind(copy);
  const port = freePorts(3);

  await step(t, "start prints the lines, by which a program of stock Deno writes and reads", async () => {
    const { stdout } = await copy.shell(`KVRAFT_DENOKV_PORT=${port} ./cluster.sh start --denokv 3`);
    const [, source = "", command = ""] = /^ {2}(const kv = .*)\n {2}(.*)$/m.exec(stdout) ?? [];
    const program = `${source}
      await kv.set(["a"], 1);
      console.log((await kv.get(["a"])).value);
      kv.close();`;
    await Deno.writeTextFile(`${copy.path}/program.ts`, program);
    const { stdout: printed, stderr } = await copy.shell(command);
    assertEquals(printed, "1\n", `${stdout}${stderr}`);
  });

  await step(t, "a second start prints them again, and a restarted node serves at its own port", async () => {
    assert((await run(["start"])).stdout.includes(`Deno.openKv("http://127.0.0.1:${port}")`));
    await run(["restart", "3"]);
    const pid = Deno.readTextFileSync(`${copy.path}/data/node-3.pid`).trim();
    const words = Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0");
    assertEquals(words[words.indexOf("--denokv") + 1], `127.0.0.1:${port + 2}`);
  });

  await step(t, "a start without the flag still serves it, and a taken port is named", async () => {
    await run(["stop"]);
    {
      using _ = Deno.listen({ hostname: "127.0.0.1", port: port + 1 });
      const { stderr } = await run(["start"], { code: 1 });
      assert(stderr.includes(`127.0.0.1:${port + 1}, where it is to serve Deno KV`), stderr);
    }
    assert((await run(["start"])).stdout.includes(`Deno.openKv("http://127.0.0.1:${port}")`));
  });

  await step(
    t,
    "a wrong port is refused, and a cluster that runs without Deno KV keeps running",
    async () => {
      await run(["stop"]);
      const { code, stderr } = await copy.shell("KVRAFT_DENOKV_PORT=x ./cluster.sh start --denokv");
      assert(code === 2 && stderr.includes("KVRAFT_DENOKV_PORT is 'x'"), stderr);
      await run(["clean"]);
      await run(["start", "1"]);
      const refused = await run(["start", "--denokv"], { code: 1 });
      assert(refused.stderr.includes("./cluster.sh stop, then start"), refused.stderr);
    },
  );
});

Deno.test("cluster.sh: of two concurrent starts one starts the nodes, and the other finds them running", async () => {
  await using copy = await Copy.make();
  const both = await Promise.all([copy.run(["start"]), copy.run(["start"])]);
  const found = both.map(({ stdout }) => stdout.includes("The cluster runs already."));
  assertEquals(found.toSorted(), [false, true]);
  assertEquals(both.map(({ stdout }) => stdout.includes("is down")), [false, false]);
  const { stdout } = await copy.shell(
    'ps -A -o args= | grep -F -e "--data-dir $PWD/data/node-" | grep -vc grep',
  );
  assertEquals(stdout, "3\n");
});

Deno.test("cluster.sh: a port in use is named, and nothing is started", async () => {
  await using copy = await Copy.make();
  const port = copy.basePort + 1;
  using _taken = Deno.listen({ hostname: "127.0.0.1", port });
  const { stderr } = await copy.run(["start"], { code: 1 });
  assert(stderr.includes(`127.0.0.1:${port}`) && stderr.includes("KVRAFT_BASE_PORT"), stderr);
});

Deno.test("cluster.sh: an unknown command prints the list of commands", async () => {
  await using copy = await Copy.make();
  assert((await copy.run(["client", "help", "import"])).stdout.startsWith("import "));
  await copy.run(["client", "get", "k"], { code: 1 });
  const { stderr } = await copy.run(["fly"], { code: 2 });
  assert(stderr.includes("./cluster.sh help"), stderr);
  await copy.run(["kill", "1"], { code: 1 });
  await copy.run(["start", "9"], { code: 2 });
});
