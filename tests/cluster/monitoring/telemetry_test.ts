/** Telemetry: the signals that Deno sends of a server by itself, as docs/operations.md says. */
import { assertEquals } from "@std/assert";
import { kvraftCommand, Process, READY_LINE } from "../../support/processes/process.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts, TemporaryFolder } from "../../support/temporary.ts";

Deno.test("OpenTelemetry: with the permissions of the program the metrics of V8 arrive, and nothing else", async () => {
  const paths = new Set<string>();
  let text = "";
  await using collector = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      paths.add(new URL(request.url).pathname);
      text += new TextDecoder().decode(await request.arrayBuffer());
      return new Response(null, { headers: { "content-type": "application/x-protobuf" } });
    },
  );
  await using folder = await TemporaryFolder.make();
  const address = `127.0.0.1:${freePorts(1)}`;
  const [program, ...args] = kvraftCommand([
    "server",
    ...["--node-id", "1", "--bind", address, "--cluster", `1=${address}`, "--data-dir", folder.path],
  ]);
  await using server = Process.start(program, args, {
    cwd: folder.path,
    env: {
      OTEL_DENO: "true",
      OTEL_SERVICE_NAME: "the-service",
      OTEL_METRIC_EXPORT_INTERVAL: "200",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
    },
  });
  await server.waitForOutput(READY_LINE);
  text = "";
  await eventually(
    "the metrics of V8 arrive",
    () => text.includes("v8js.memory.heap.size") && text.includes("the-service") ? true : null,
  );
  assertEquals([...paths], ["/v1/metrics"]);
  assertEquals([text.includes("kvraft_"), text.includes("this node leads")], [false, false]);
});
