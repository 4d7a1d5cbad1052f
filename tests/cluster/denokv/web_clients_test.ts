/** The web server with the clients that programs use: curl, and in Node `node:http2` and fetch (undici). */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import type { WebRequest } from "../../../lib/web/mod.ts";
import { runs, skip } from "../../support/processes/process.ts";
import { TemporaryFolder } from "../../support/temporary.ts";
import { authority, plain, tls, withServer } from "../../support/web/web_server.ts";

const BODY_BYTES = 1_000_000;

/** Sends the body back; below /stream in parts, with trailers. */
async function echo(request: WebRequest): Promise<void> {
  const body = await request.body();
  if (request.path !== "/stream") return void await request.respond({ status: 200, body });
  const stream = request.stream({ status: 200 });
  for (let at = 0; at < body.length; at += 10_000) {
    if (!stream.write(body.subarray(at, at + 10_000))) await stream.whenWritable();
  }
  stream.end({ "x-trailer": "behind" });
}

/** Runs a program, and returns its output. */
async function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args: [...args], env }).output();
  const text = new TextDecoder();
  assertEquals([code, text.decode(stderr)], [0, ""], `${program} succeeds`);
  return text.decode(stdout);
}

const CURL = [
  { version: "1.0", network: plain, flags: ["--http1.0"], reported: "1.1" },
  { version: "1.1", network: plain, flags: ["--http1.1"], reported: "1.1" },
  { version: "2", network: plain, flags: ["--http2-prior-knowledge"], reported: "2" },
  { version: "2 by upgrade, which is not made,", network: plain, flags: ["--http2"], reported: "1.1" },
  { version: "1.1 over TLS", network: tls, flags: ["--http1.1"], reported: "1.1" },
  { version: "2 over TLS", network: tls, flags: ["--http2"], reported: "2" },
] as const;

for (const { version, network, flags, reported } of CURL) {
  Deno.test(`web server: curl with HTTP/${version} gets its body back, at once and in parts`, async () => {
    if (!runs("curl", "--version")) return skip("there is no curl");
    await using folder = await TemporaryFolder.make();
    const [sent, received, ca] = ["sent", "received", "ca.crt"].map((name) => join(folder.path, name));
    const body = new Uint8Array(BODY_BYTES).map((_, at) => at * 7);
    Deno.writeFileSync(sent ?? "", body);
    Deno.writeTextFileSync(ca ?? "", authority.cert);
    await withServer({ network, handler: echo }, async (url) => {
      for (const path of ["/whole", "/stream"]) {
        const output = await run("curl", [
          ...[
            "-sS",
            "-m",
            "60",
            "--cacert",
            ca ?? "",
            "-o",
            received ?? "",
            "-w",
            "%{http_version} %{http_code}",
          ],
          ...["--data-binary", `@${sent}`, ...flags, `${url}${path}`],
        ]);
        assertEquals(output, `${reported} 200`);
        assertEquals(Deno.readFileSync(received ?? ""), body);
      }
    });
  });
}

/** Makes many requests by both clients of Node, and prints what differs from the expected. */
const NODE_PROGRAM = `
const http2 = require("node:http2");
const url = process.argv[1];
const wrong = [];
async function overHttp2() {
  const session = http2.connect(url);
  const one = (path, body) => new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "POST", ":path": path });
    const parts = [];
    let trailer = null;
    stream.on("data", (part) => parts.push(part));
    stream.on("trailers", (fields) => trailer = fields["x-trailer"]);
    stream.on("error", reject);
    stream.on("close", () => {
      if (!Buffer.concat(parts).equals(body)) wrong.push("http2 " + path + " " + body.length);
      if (path === "/stream" && trailer !== "behind") wrong.push("trailer " + trailer);
      resolve();
    });
    stream.end(body);
  });
  const sizes = [0, 1, 100, 16384, 70000, 300000];
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 64 }, (_, at) =>
      one(at % 2 === 0 ? "/whole" : "/stream", Buffer.alloc(sizes[at % sizes.length], at))));
  }
  await new Promise((resolve) => session.close(resolve));
}
async function overFetch() {
  await Promise.all(Array.from({ length: 100 }, async (_, at) => {
    for (let round = 0; round < 5; round++) {
      const body = Buffer.alloc(at * 1000, at);
      const response = await fetch(url + (at % 2 === 0 ? "/whole" : "/stream"), { method: "POST", body });
      if (!Buffer.from(await response.arrayBuffer()).equals(body)) wrong.push("fetch " + at);
    }
  }));
}
Promise.all([overHttp2(), overFetch()]).then(() => {
  console.log("wrong: " + wrong.join(", "));
  process.exit(0);
});
`;

for (const [name, network] of [["TCP", plain], ["TLS", tls]] as const) {
  Deno.test(`web server: node:http2 and fetch of Node get all bodies and trailers back over ${name}`, async () => {
    if (!runs("node", "--version")) return skip("there is no Node");
    await using folder = await TemporaryFolder.make();
    const ca = join(folder.path, "ca.crt");
    Deno.writeTextFileSync(ca, authority.cert);
    await withServer({ network, handler: echo }, async (url) => {
      const output = await run("node", ["-e", NODE_PROGRAM, url], { NODE_EXTRA_CA_CERTS: ca });
      assertEquals(output, "wrong: \n");
    });
  });
}
