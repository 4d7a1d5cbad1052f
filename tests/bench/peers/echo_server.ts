/** The upper bound of the runtime: sends all received bytes back. Usage: echo_server.ts <port> */
const READ_BYTES = 65_536;

async function serve(connection: Deno.TcpConn): Promise<void> {
  connection.setNoDelay(true);
  const buffer = new Uint8Array(READ_BYTES);
  try {
    while (true) {
      const count = await connection.read(buffer);
      if (count === null) break;
      let written = 0;
      while (written < count) written += await connection.write(buffer.subarray(written, count));
    }
  } catch {
    // The client closed the connection: there is nothing to answer.
  }
  connection.close();
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
Deno.stdout.writeSync(new TextEncoder().encode("ready to serve\n"));
for await (const connection of listener) void serve(connection);
